import CLibbpf
import Glibc

/// A BPF operation that the kernel or libbpf refused: what was tried, on what, and why it failed.
public struct BPFError: Error, Sendable, Equatable {
    /// What was tried, as a phrase that reads after "cannot": `load the object`, `update the entry`.
    public let operation: String
    /// The program, map, object or path that it was tried on.
    public let subject: String
    /// The error number: one of errno(3), or one of libbpf's own (4000 and above).
    public let errno: CInt
    /// The verifier's or libbpf's own words, or what to do about it; may be empty.
    public let detail: String
    /// Of a batch that stopped half way: how many entries had been applied. The next one is the one that failed.
    public let appliedCount: Int?

    public init(operation: String, subject: String, errno: CInt, detail: String = "", appliedCount: Int? = nil) {
        self.operation = operation
        self.subject = subject
        self.errno = errno
        self.detail = detail
        self.appliedCount = appliedCount
    }

    /// The meaning of `errno` in words.
    public var reason: String {
        if errno == RawMap.notSupported { return "not supported by this kernel (ENOTSUPP)" }
        return errorText(errno)
    }
}

extension BPFError: CustomStringConvertible {
    public var description: String {
        let head = "cannot \(operation) \(subject): \(reason)"
        if detail.isEmpty { return head }
        return detail.contains("\n") ? "\(head)\n\(detail)" : "\(head): \(detail)"
    }
}
