import BPF
import CLinux
import Glibc
import WeftABI

/// Whether the programs are really called for the processes of a cgroup.
public enum HookCheck: Sendable, Equatable {
    case called
    /// The connection went past the programs.
    case notCalled
    /// It could not be tried, and why.
    case unknown(String)

    /// Connects, from a child process in a cgroup of its own below `cgroup`, to an address that only the hook answers.
    /// No packet is sent.
    public static func run(cgroup: String) -> HookCheck {
        let child = "\(cgroup)/weft-check-\(getpid())"
        let code = FileSystem.makeDirectory(child, mode: 0o755)
        guard code == 0 || code == EEXIST else { return .unknown("cannot make the cgroup \(child): errno \(code)") }
        defer { FileSystem.removeDirectory(child) }
        let directory = FileSystem.openDirectory(child)
        guard directory.rawValue >= 0 else {
            return .unknown("cannot open the cgroup \(child): errno \(weft_errno())")
        }
        switch weft_connect_in_cgroup(directory.rawValue, UInt32(WEFT_PROBE_ADDRESS).bigEndian, UInt16(WEFT_PROBE_PORT))
        {
        case CInt(WEFT_PROBE_ERRNO): return .called
        case -1: return .unknown("cannot start a process in the cgroup \(child): errno \(weft_errno())")
        default: return .notCalled
        }
    }
}
