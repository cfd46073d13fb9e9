import CLinux
import Glibc

/// A system call that failed: what was attempted and the kernel's reason.
public struct SystemError: Error, Equatable, CustomStringConvertible {
    /// What was attempted, with its object: `bind 127.0.0.1:15000`.
    public let operation: String
    /// errno.
    public let code: CInt

    public init(_ operation: String, code: CInt) {
        self.operation = operation
        self.code = code
    }

    /// With the errno of the call just made, read before `operation` is put together.
    init(_ operation: @autoclosure () -> String) {
        code = weft_errno()
        self.operation = operation()
    }

    /// `bind 127.0.0.1:15000: Address already in use`.
    public var description: String {
        guard let reason = unsafe strerror(code) else { return "\(operation): error \(code)" }
        return unsafe "\(operation): \(String(cString: reason))"
    }
}
