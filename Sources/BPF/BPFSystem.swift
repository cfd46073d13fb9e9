import CLibbpf
import CLinux
import Glibc

/// What concerns the machine and this process rather than one object.
public enum BPFSystem {
    /// libbpf's levels of messages.
    public enum LogLevel: Sendable {
        case warning
        case info
        case debug
    }

    /// Hands libbpf's messages to `log` instead of standard error. Messages that belong to a failed call are in its
    /// `BPFError.detail` as well. `log` is called on any thread.
    public static func configure(log: @escaping @Sendable (LogLevel, String) -> Void) {
        LibbpfLog.setHandler(log)
    }

    /// Number of CPUs that the kernel may ever have: the number of values in one entry of a per-CPU map.
    public static let possibleCPUs: Int = max(1, Int(LibbpfLog.capturing { libbpf_num_possible_cpus() }.0))

    /// Mounts a BPF file system at the directory `path`, which is created if it does not exist.
    ///
    /// - Throws: `BPFError` with the errno of mkdir(2) or mount(2).
    public static func mountBPFFS(at path: String) throws(BPFError) {
        if unsafe mkdir(path, 0o700) != 0 {
            let code = weft_errno()
            guard code == EEXIST else { throw BPFError(operation: "create the directory", subject: path, errno: code) }
        }
        if unsafe mount("bpf", path, "bpf", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), "mode=0700") != 0 {
            throw BPFError(
                operation: "mount a BPF file system at", subject: path, errno: weft_errno(),
                detail: "mounting needs root (CAP_SYS_ADMIN)")
        }
    }

    /// Whether `path` lies on a mounted BPF file system.
    public static func isBPFFS(_ path: String) -> Bool {
        var information = statfs()
        guard unsafe statfs(path, &information) == 0 else { return false }
        return UInt32(truncatingIfNeeded: information.f_type) == WEFT_BPF_FS_MAGIC
    }

    /// Lifts the limit of locked memory, which kernels before 5.11 charge maps to. Newer ones charge the cgroup.
    ///
    /// - Throws: `BPFError` with EPERM without CAP_SYS_RESOURCE.
    public static func raiseLockedMemoryLimit() throws(BPFError) {
        if weft_set_memlock_limit(rlim_t.max) != 0 {
            throw BPFError(operation: "raise the limit", subject: "RLIMIT_MEMLOCK", errno: weft_errno())
        }
    }

    /// Makes the kernel count run time and runs of every BPF program for as long as the result lives (Linux 5.8).
    ///
    /// - Throws: `BPFError`, with EPERM without CAP_SYS_ADMIN.
    public static func enableRunTimeStatistics() throws(BPFError) -> FileDescriptor {
        let result = bpf_enable_stats(BPF_STATS_RUN_TIME)
        guard result >= 0 else {
            throw BPFError(operation: "enable", subject: "BPF run time statistics", errno: -result)
        }
        return FileDescriptor(owning: result)
    }
}
