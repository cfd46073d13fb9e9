public import Mesh

/// Which SPIFFE id the processes of a cgroup have: that of the workload with the nearest enclosing cgroup, as the kernel
/// programs find it.
public struct WorkloadIdentities: Sendable, Equatable {
    /// By the workload's cgroup, without a trailing slash.
    private var ids: [String: String] = [:]

    public init() {}

    /// Those of the workloads of this node.
    public init(_ snapshot: MeshSnapshot, trustDomain: String) {
        for workload in snapshot.workloads.values where workload.isLocal {
            guard let cgroup = workload.cgroup else { continue }
            ids[Self.canonical(cgroup)] = workload.spiffeID(trustDomain: trustDomain)
        }
    }

    /// - Parameter cgroup: a path below the root of the cgroup v2 hierarchy.
    /// - Returns: nil if no workload encloses it.
    public func spiffeID(ofCgroup cgroup: String) -> String? {
        var path = Self.canonical(cgroup)[...]
        while true {
            if let id = ids[String(path)] { return id }
            guard let slash = path.lastIndex(of: "/") else { return nil }
            path = path[..<slash]
        }
    }

    private static func canonical(_ path: String) -> String {
        var path = path
        while path.hasSuffix("/") { path.removeLast() }
        return path
    }
}
