/// The identity by which an agent itself connects to workloads of other nodes: for active health checks, and to ask
/// authorizers on behalf of clients that have none.
public enum AgentIdentity {
    public static let namespace = "weft-system"
    public static let serviceAccount = "weftd"

    /// What policies that let it in name as a principal; the same on every node.
    public static func principal(trustDomain: String) -> String {
        "\(trustDomain)/ns/\(namespace)/sa/\(serviceAccount)"
    }

    public static func spiffeID(trustDomain: String) -> String { "spiffe://\(principal(trustDomain: trustDomain))" }
}

extension MeshSnapshot {
    /// Whether an agent may have to connect to workloads of other nodes itself, for which it needs its certificate.
    public var needsAgentIdentity: Bool {
        guard workloads.values.contains(where: { !$0.isLocal && $0.takesTunnel }) else { return false }
        return !authorizers.isEmpty || services.values.contains { $0.isHealthChecked }
    }
}

extension MeshService {
    fileprivate var isHealthChecked: Bool {
        traffic.healthCheck != nil || ports.contains { $0.traffic?.healthCheck != nil }
            || subsets.contains { subset in
                subset.traffic.healthCheck != nil || subset.portTraffic.values.contains { $0.healthCheck != nil }
            }
    }
}
