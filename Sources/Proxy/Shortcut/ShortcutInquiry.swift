// Unsafe code of this file: the bytes of a head are copied into the window that the kernel's code reads.

import Mesh
import WeftABI

/// Whether the kernel's programs would decide about a request that nobody has sent: what they are told for its service and
/// caller, and their own code over its head.
struct ShortcutInquiry {
    let table: RouteTable
    let authorization: AuthorizationTable
    let snapshot: MeshSnapshot

    /// Why they would not, for people; nil: they would, on a connection that has its legs.
    ///
    /// - Parameters:
    ///   - service: as in the tables.
    ///   - source: as in the tables, and by its name; nil: from outside of the mesh.
    ///   - host: Host's value.
    ///   - head: the whole head as it is sent, without a body.
    func refusal(
        service: UInt64, source: (identifier: UInt64, name: ObjectName)?, host: String, head: [UInt8]
    ) -> String? {
        guard let source else { return "its client is no workload of the mesh" }
        guard let workload = snapshot.workloads[source.name], workload.isLocal, workload.isAccelerated else {
            return "\(source.name) is not accelerated on this node"
        }
        do throws(CompiledShortcuts.Refusal) {
            var compiled = try ShortcutCompiler.compile(
                table, authorization, service: service, source: source.identifier, host: Array(host.utf8),
                groups: groups(ofCluster:), endpoints: endpoints(ofCluster:))
            return decide(&compiled, head)
        } catch {
            return error.rawValue
        }
    }

    private func groups(ofCluster cluster: Int) -> Set<Int32> {
        let workloads = table.clusterIdentities[cluster].workloads
        return Set(
            table.clusters[cluster].endpoints.enumerated().map { place, endpoint in
                authorization.group(ofEndpoint: endpoint, workload: place < workloads.count ? workloads[place] : 0)
            })
    }

    /// As with a worker that has sent nothing yet; see `ClusterState.evenEndpoints`.
    private func endpoints(ofCluster cluster: Int) -> Int? {
        let config = table.clusters[cluster]
        switch config.traffic.balancer.algorithm {
        case .ringHash, .maglev: return nil
        case .peakEWMA, .leastRequest, .roundRobin, .random: break
        }
        let limits = config.traffic.limits
        let isEven = Set(config.endpoints.map(\.weight)).count == 1 && Set(config.distances).count <= 1
        guard isEven, limits.maxRequests == nil, limits.maxRequestsPerConnection == nil else { return nil }
        return min(config.endpoints.count, ClusterState.spread)
    }

    private func decide(_ compiled: inout CompiledShortcuts, _ bytes: [UInt8]) -> String? {
        var head = weft_shortcut_head()
        var scan = weft_http_scan()
        guard bytes.count <= Int(WEFT_HTTP_ROOM) else { return "its head is too long" }
        unsafe withUnsafeMutableBytes(of: &scan.window) { window in
            for (place, byte) in bytes.enumerated() { unsafe window[place] = byte }
        }
        guard unsafe weft_shortcut_read_request(&head, &scan, UInt32(bytes.count)) != 0 else {
            return "its head has what only the agent understands"
        }
        var choice = weft_shortcut_choice()
        let reason = unsafe weft_shortcut_decide(&compiled.table, &head, &choice, .random(in: 0 ... .max))
        switch weft_shortcut_reason(UInt32(reason)) {
        case WEFT_SHORTCUT_TAKEN: break
        case WEFT_SHORTCUT_DENIED: return "a policy denies it, or may: the agent says so"
        default: return "its rule, or the backend that it leads to, needs the agent"
        }
        let cluster = compiled.clusters[Int(choice.cluster)]
        for endpoint in table.clusters[cluster].endpoints {
            guard let name = endpoint.workload, let workload = snapshot.workloads[name], workload.isLocal,
                workload.isAccelerated
            else { return "\(endpoint.workload?.description ?? "an endpoint") is not accelerated on this node" }
        }
        return nil
    }
}
