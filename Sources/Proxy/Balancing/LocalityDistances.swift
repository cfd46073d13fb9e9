import Mesh

/// How far workloads are from this node, by the well-known labels of Kubernetes' topology: the same zone of the same
/// region, the same region, elsewhere. Where the node's own place is not known, its own workloads are near.
struct LocalityDistances {
    private struct Locality: Equatable {
        var region: String
        var zone: String?

        init?(_ labels: [String: String]) {
            guard let region = labels["topology.kubernetes.io/region"] else { return nil }
            self.region = region
            zone = labels["topology.kubernetes.io/zone"]
        }
    }

    private let here: Locality?

    /// The node is where its workloads are; the first by name decides if they do not agree.
    init(_ snapshot: MeshSnapshot) {
        let local = snapshot.workloads.values.filter { $0.isLocal && Locality($0.labels) != nil }
        here = local.min { $0.name < $1.name }.flatMap { Locality($0.labels) }
    }

    /// nil: an endpoint of no known workload.
    func distance(to workload: MeshWorkload?) -> UInt8 {
        guard let workload else { return 3 }
        guard let here else { return workload.isLocal ? 0 : 1 }
        guard let there = Locality(workload.labels) else { return workload.isLocal ? 0 : 3 }
        if there == here { return 0 }
        return there.region == here.region ? 1 : 2
    }
}
