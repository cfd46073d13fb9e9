import DNS
import Mesh

/// Who asks: the namespace in which a short name is looked for.
struct DNSCallers {
    /// Where a caller that is no workload's is taken to be.
    static let defaultNamespace = "default"

    private var namespaces: [IPAddress: String] = [:]

    init(_ snapshot: MeshSnapshot) {
        var shared: Set<IPAddress> = []
        for workload in snapshot.workloads.values {
            // A loopback address is everybody's.
            for address in workload.addresses where !address.isLoopback {
                if let known = namespaces[address], known != workload.name.namespace { shared.insert(address) }
                namespaces[address] = workload.name.namespace
            }
        }
        for address in shared { namespaces[address] = nil }
    }

    func namespace(of peer: DNSUpstream, at local: DNSUpstream, isStream: Bool) -> String {
        namespaces[peer.address] ?? Self.defaultNamespace
    }
}
