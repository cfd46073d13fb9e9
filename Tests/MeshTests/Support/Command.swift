import Foundation

/// A test's own failure: what was tried, and what came of it.
struct TestFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A program started by a test: its own process group, its output in files, always reaped.
///
/// Commands end with `stop()`; everything that a `Sandbox` started also ends with the sandbox.
final class Command {
    struct Result {
        /// The exit code, or 128 + the signal that ended it, as a shell reports it.
        let status: Int32
        let output: String
        let errors: String
        var succeeded: Bool { status == 0 }
    }

    let name: String
    let pid: pid_t
    private let outputPath: String
    private let errorPath: String
    private var inputDescriptor: Int32
    private var status: Int32?

    /// Starts `arguments[0]`, found in PATH. `directory` takes the files with its output.
    init(_ arguments: [String], directory: String, environment: [String: String] = [:]) throws {
        name = arguments.joined(separator: " ")
        outputPath = "\(directory)/\(UUID().uuidString).out"
        errorPath = outputPath.replacingOccurrences(of: ".out", with: ".err")

        var pipe: [Int32] = [-1, -1]
        guard unsafe Glibc.pipe(&pipe) == 0 else { throw TestFailure("pipe failed: \(Command.message(errno))") }
        // The test runner's descriptors are not the child's business: wrk, for one, has no place for a connection whose
        // number is too high.
        for descriptor in 3..<Int32(512) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, pipe[0], 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        unsafe posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o644)

        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // Signal dispositions of the test runner are not the child's business.
        var defaults = sigset_t()
        unsafe sigfillset(&defaults)
        unsafe posix_spawnattr_setsigdefault(&attributes, &defaults)
        var mask = sigset_t()
        unsafe sigemptyset(&mask)
        unsafe posix_spawnattr_setsigmask(&attributes, &mask)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var child: pid_t = 0
        let error = unsafe Command.withCStrings(arguments) { argv in
            unsafe Command.withCStrings(variables) { envp in
                unsafe posix_spawnp(&child, arguments[0], &actions, &attributes, argv, envp)
            }
        }
        close(pipe[0])
        guard error == 0 else {
            close(pipe[1])
            throw TestFailure("\(arguments[0]) cannot be started: \(Command.message(error))")
        }
        pid = child
        inputDescriptor = pipe[1]
    }

    deinit { stop() }

    /// Everything written to standard output so far.
    var output: String { Command.contents(outputPath) }
    /// Everything written to standard error so far.
    var errors: String { Command.contents(errorPath) }
    /// Its complete lines of output so far.
    var lines: [Substring] { output.split(separator: "\n", omittingEmptySubsequences: true) }

    var isRunning: Bool {
        if status != nil { return false }
        var raw: Int32 = 0
        guard unsafe waitpid(pid, &raw, WNOHANG) == pid else { return true }
        status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
        closeInput()
        return false
    }

    /// Writes one line to its standard input.
    func write(line: String) throws {
        var bytes = Array((line + "\n").utf8)
        let count = unsafe Glibc.write(inputDescriptor, &bytes, bytes.count)
        guard count == bytes.count else { throw TestFailure("\(name): its standard input is closed") }
    }

    func closeInput() {
        if inputDescriptor >= 0 { close(inputDescriptor) }
        inputDescriptor = -1
    }

    /// Sends a signal to the process alone.
    func signal(_ number: Int32) {
        if isRunning { kill(pid, number) }
    }

    /// Waits for its end, and kills it when it takes longer than `timeout` seconds.
    @discardableResult
    func wait(timeout: Double = 60) throws -> Result {
        do {
            try eventually("\(name) ends", within: timeout) { !isRunning }
        } catch {
            stop()
            throw TestFailure("\(name) did not end within \(timeout) s\noutput: \(output)\nerrors: \(errors)")
        }
        return Result(status: status ?? -1, output: output, errors: errors)
    }

    /// Kills it and what it started, and waits for its end.
    func stop() {
        closeInput()
        guard isRunning else { return }
        kill(-pid, SIGKILL)
        kill(pid, SIGKILL)
        var raw: Int32 = 0
        while unsafe waitpid(pid, &raw, 0) == -1 && errno == EINTR {}
        status = 128 + SIGKILL
    }

    /// Waits until `condition` holds for its output.
    func waitForOutput(_ what: String, within seconds: Double = 10, _ condition: (String) -> Bool) throws {
        try eventually("\(name): \(what)", within: seconds) {
            if condition(output) { return true }
            if !isRunning, !condition(output) {
                throw TestFailure("\(name) ended before \(what)\noutput: \(output)\nerrors: \(errors)")
            }
            return false
        }
    }

    static func message(_ error: Int32) -> String { unsafe String(cString: strerror(error)) }

    private static func contents(_ path: String) -> String {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    private static func withCStrings<R>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
        var pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("the array ends with nil") }
            return unsafe body(base)
        }
    }
}

/// Asks again every few milliseconds until `condition` holds; fails after `seconds`.
func eventually(_ what: String, within seconds: Double = 10, _ condition: () throws -> Bool) throws {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(seconds)
    while true {
        if try condition() { return }
        guard clock.now < deadline else { throw TestFailure("not within \(seconds) s: \(what)") }
        usleep(10_000)
    }
}
