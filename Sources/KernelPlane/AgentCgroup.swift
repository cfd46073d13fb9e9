public import BPF
import CLinux
import Glibc

/// The cgroup of the agent's own process, and of nothing else: by it the programs know the agent's sockets, which they
/// leave alone. So no connection of the proxy can ever be captured.
public struct AgentCgroup: Sendable {
    public let path: String
    /// Where the process was before; nil if it had a cgroup to itself.
    private let origin: String?

    private static let prefix = "weftd-"

    /// Takes the cgroup that the process is in if nothing else is or can come to be in it, as when a service manager has
    /// made one for it. Otherwise makes one below it, so that limits set there still hold, or below `attachRoot` if the
    /// kernel does not allow that (cgroups(7), "no internal processes" and threaded cgroups), and moves there.
    ///
    /// - Parameters:
    ///   - mount: where the cgroup v2 hierarchy is mounted.
    ///   - attachRoot: the cgroup whose processes are in the mesh. It is never the agent's own.
    ///   - standby: the process that holds an earlier agent's sockets; 0: none. It is in that agent's cgroup, which the
    ///     programs know those sockets by, and which is this agent's too then.
    public static func enter(mount: String, attachRoot: String, standby: CInt = 0) throws(BPFError) -> AgentCgroup {
        guard let relative = path(of: "self") else {
            throw BPFError(operation: "find the cgroup of", subject: "the agent", errno: ENOENT)
        }
        let present = relative == "/" ? mount : mount + relative
        if standby != 0, let theirs = path(of: "\(standby)"), theirs != "/", "\(mount)\(theirs)" != attachRoot,
            FileSystem.write("\(getpid())", to: "\(mount)\(theirs)/cgroup.procs") == 0
        {
            return AgentCgroup(path: mount + theirs, origin: theirs == relative ? nil : present)
        }
        if isExclusive(present), !"\(attachRoot)/".hasPrefix("\(present)/") {
            return AgentCgroup(path: present, origin: nil)
        }
        var reason: CInt = 0
        for parent in [present, attachRoot] {
            removeAbandoned(below: parent)
            let path = "\(parent)/\(prefix)\(getpid())"
            reason = FileSystem.makeDirectory(path, mode: 0o755)
            guard reason == 0 || reason == EEXIST else { continue }
            reason = FileSystem.write("\(getpid())", to: "\(path)/cgroup.procs")
            if reason == 0 { return AgentCgroup(path: path, origin: present) }
            FileSystem.removeDirectory(path)
        }
        throw BPFError(
            operation: "make a cgroup for the agent below", subject: present, errno: reason,
            detail: "it shares that one with other processes, and needs its own so that its connections are not"
                + " captured: start it in a cgroup of its own, as a service manager does")
    }

    /// Goes back to where the process came from, and removes the cgroup that was made for it.
    public func leave() {
        guard let origin, FileSystem.write("\(getpid())", to: "\(origin)/cgroup.procs") == 0 else { return }
        FileSystem.removeDirectory(path)
    }

    /// A process's place in the v2 hierarchy (cgroups(7), /proc/pid/cgroup).
    private static func path(of process: String) -> String? {
        guard let text = FileSystem.text("/proc/\(process)/cgroup") else { return nil }
        return text.split(separator: "\n").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) }
    }

    private static func isExclusive(_ cgroup: String) -> Bool {
        guard let processes = FileSystem.text("\(cgroup)/cgroup.procs")?.split(separator: "\n") else { return false }
        return processes.allSatisfy { $0 == "\(getpid())" } && !hasChildren(cgroup)
    }

    private static func hasChildren(_ cgroup: String) -> Bool {
        FileSystem.entries(of: cgroup).contains { FileSystem.exists("\(cgroup)/\($0)/cgroup.procs") }
    }

    /// Removes the cgroups of agents that were killed.
    ///
    /// - Returns: their paths.
    @discardableResult
    public static func removeAbandoned(below parent: String, dryRun: Bool = false) -> [String] {
        FileSystem.entries(of: parent).compactMap { name in
            guard name.hasPrefix(prefix), let process = pid_t(name.dropFirst(prefix.count)), process > 0,
                kill(process, 0) != 0, weft_errno() == ESRCH
            else { return nil }
            let path = "\(parent)/\(name)"
            return dryRun || FileSystem.removeDirectory(path) == 0 ? path : nil
        }
    }

    /// The same for a whole hierarchy.
    public static func removeAbandoned(in hierarchy: String, dryRun: Bool) -> [String] {
        var removed = removeAbandoned(below: hierarchy, dryRun: dryRun)
        for name in FileSystem.entries(of: hierarchy) where FileSystem.exists("\(hierarchy)/\(name)/cgroup.procs") {
            removed += removeAbandoned(in: "\(hierarchy)/\(name)", dryRun: dryRun)
        }
        return removed
    }
}
