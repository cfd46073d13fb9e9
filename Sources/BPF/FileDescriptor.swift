import CLibbpf
import CLinux
import Glibc

/// An open file descriptor with one owner, closed when the owner is gone.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number, for system calls made while this value is alive.
    public let rawValue: CInt

    /// Takes over `descriptor`, which nobody else may close from now on.
    public init(owning descriptor: CInt) {
        rawValue = descriptor
    }

    /// Opens a directory, for example a cgroup, to name it in system calls.
    ///
    /// - Throws: `BPFError` with the errno of open(2).
    public init(directory path: String) throws(BPFError) {
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw BPFError(operation: "open the directory", subject: path, errno: weft_errno())
        }
        rawValue = descriptor
    }

    /// Gives up ownership: the caller closes the returned descriptor.
    public consuming func release() -> CInt {
        let descriptor = rawValue
        discard self
        return descriptor
    }

    /// A second descriptor of the same open file, closed on exec.
    ///
    /// - Throws: `BPFError`, for example with EMFILE at the limit of open files.
    public func duplicate() throws(BPFError) -> FileDescriptor {
        try FileDescriptor(duplicating: rawValue, subject: "descriptor \(rawValue)")
    }

    /// What is pinned at `path` in a BPF file system; `kind` names it in errors.
    init(pinnedAt path: String, as kind: String) throws(BPFError) {
        let result = unsafe bpf_obj_get(path)
        guard result >= 0 else { throw BPFError(operation: "open the pinned \(kind)", subject: path, errno: -result) }
        rawValue = result
    }

    /// What is pinned at `path`; nil when nothing is.
    static func ifPinned(at path: String, as kind: String) throws(BPFError) -> FileDescriptor? {
        do throws(BPFError) {
            return try FileDescriptor(pinnedAt: path, as: kind)
        } catch {
            if error.errno == ENOENT { return nil }
            throw error
        }
    }

    init(duplicating descriptor: CInt, subject: String) throws(BPFError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw BPFError(operation: "duplicate the descriptor of", subject: subject, errno: weft_errno())
        }
        rawValue = copy
    }

    deinit {
        close(rawValue)
    }
}
