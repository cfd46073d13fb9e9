import CLinux
import Glibc

/// Standard output and standard error, written at once: what a command printed is on the other side of a pipe before
/// the command waits for anything.
enum Console {
    /// Writes to standard output. A reader that went away ends the process by SIGPIPE, as it ends every filter.
    static func write(_ text: String) { write(text, to: STDOUT_FILENO) }

    static func line(_ text: String) { write(text + "\n") }

    static func error(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

    static func write(_ text: String, to descriptor: CInt) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                bytes = bytes.dropFirst(written)
            } else if weft_errno() != EINTR {
                let message = errorText(weft_errno())
                if descriptor == STDOUT_FILENO { error("weft: cannot write the answer: \(message)") }
                // A full disk behind a redirection; an answer that is cut must not look like a whole one.
                exit(descriptor == STDOUT_FILENO ? ExitStatus.unknown.rawValue : ExitStatus.no.rawValue)
            }
        }
    }
}
