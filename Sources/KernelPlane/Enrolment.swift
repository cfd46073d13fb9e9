import BPF
import WeftABI

/// Keeps the `cgroups` map equal to the local workloads' cgroups. A service manager removes and makes a unit's cgroup
/// anew at every restart, with another id, so paths are looked up again at each turn.
struct Enrolment: ~Copyable {
    /// By cgroup id.
    private var enrolled: [UInt64: UInt64] = [:]
    private var isFirst = true

    /// - Parameters:
    ///   - mount: where the cgroup v2 hierarchy is mounted.
    ///   - agent: the id of the agent's cgroup; 0 if it has none to itself.
    /// - Returns: whether anything changed, and the cgroup paths that do not exist (yet).
    mutating func refresh(
        _ workloads: [(cgroup: String, id: UInt64)], agent: UInt64, mount: String, maps: borrowing PinnedMaps
    ) throws(BPFError) -> (changed: Bool, missing: [String]) {
        if isFirst {
            for (cgroup, workload) in try maps.cgroups.entries() { enrolled[cgroup] = workload }
            isFirst = false
        }
        var desired: [UInt64: UInt64] = [:]
        var missing: [String] = []
        for workload in workloads {
            let id = FileSystem.cgroupID(mount + workload.cgroup)
            if id == 0 {
                missing.append(workload.cgroup)
            } else {
                desired[id] = workload.id
            }
        }
        if agent != 0 { desired[agent] = WEFT_WORKLOAD_AGENT }
        guard desired != enrolled else { return (false, missing) }
        for (cgroup, workload) in desired where enrolled[cgroup] != workload {
            try maps.cgroups.set(cgroup, workload)
            enrolled[cgroup] = workload
        }
        for cgroup in enrolled.keys where desired[cgroup] == nil {
            _ = try maps.cgroups.delete(cgroup)
            enrolled[cgroup] = nil
        }
        return (true, missing)
    }
}
