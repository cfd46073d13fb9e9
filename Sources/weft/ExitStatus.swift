import ArgumentParser

/// What the exit status of `weft` means.
enum ExitStatus: Int32 {
    /// The answer is yes, or the command did what it was asked to do.
    case yes = 0
    /// The answer is no: denied, not found, invalid, not passed.
    case no = 1
    /// The command line is wrong.
    case usage = 2
    /// The answer could not be found out: no maps, no agent, no permission.
    case unknown = 3
}

/// Why a command ends with another status than 0. The message says what, where and what to do about it.
struct Failure: Error, CustomStringConvertible {
    var status: ExitStatus
    var description: String
    /// Somebody else holds what is needed.
    var isLocked = false

    static func no(_ message: String) -> Failure { Failure(status: .no, description: message) }
    static func usage(_ message: String) -> Failure { Failure(status: .usage, description: message) }
    static func unknown(_ message: String) -> Failure { Failure(status: .unknown, description: message) }
}

/// Ends the command with a status and without a message: the answer is printed already.
func end(with status: ExitStatus) -> ExitCode { ExitCode(status.rawValue) }
