import CLinux

/// The processes of a cgroup and of those below it, without those that belong to others.
public struct CgroupProcesses: Sendable, Equatable {
    /// The cgroup's directory.
    public let directory: String
    /// Ids of cgroups below it whose processes are another workload's.
    public let others: Set<UInt64>

    public init(directory: String, others: Set<UInt64> = []) {
        self.directory = directory
        self.others = others
    }

    /// Ids of the cgroups that are its own. More than a workload can have are never walked.
    func cgroups() -> [UInt64: String] {
        var found: [UInt64: String] = [:]
        var waiting = [directory]
        while let path = waiting.popLast(), found.count < 4096 {
            let id = unsafe weft_cgroup_id(path)
            guard id != 0, !others.contains(id) else { continue }
            found[id] = path
            for name in ProcFiles.entries(path) ?? [] where ProcFiles.identity("\(path)/\(name)/cgroup.procs") != nil {
                waiting.append("\(path)/\(name)")
            }
        }
        return found
    }

    /// Ids of the processes that are in it now.
    public func processes() -> Set<Int32> {
        var found: Set<Int32> = []
        for path in cgroups().values {
            for line in (ProcFiles.text("\(path)/cgroup.procs") ?? "").split(separator: "\n") {
                if let process = Int32(line), process > 0 { found.insert(process) }
            }
        }
        return found
    }
}
