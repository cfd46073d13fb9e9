import Mesh
import Proxy
import Synchronization

/// What the admin API says of the proxy lane.
final class ProxyInquiry {
    /// Made of the snapshot in force when somebody asks.
    private var explainer: (generation: UInt64, RequestExplainer)?
    private var policies: (generation: UInt64, PolicyExplainer)?
    private let trustedProxies: Int

    /// - Parameter trustedProxies: what the workers have it at.
    init(trustedProxies: Int) { self.trustedProxies = trustedProxies }

    func explain(_ inquiry: RequestInquiry, in snapshot: MeshSnapshot) throws(InquiryProblem) -> RequestAccount {
        let current: RequestExplainer
        if let explainer, explainer.generation == snapshot.generation {
            current = explainer.1
        } else {
            current = RequestExplainer(snapshot, trustedHops: trustedProxies)
            explainer = (snapshot.generation, current)
        }
        return try current.explain(inquiry)
    }

    func test(_ inquiry: PolicyInquiry, in snapshot: MeshSnapshot) throws(InquiryProblem) -> PolicyAccount {
        let current: PolicyExplainer
        if let policies, policies.generation == snapshot.generation {
            current = policies.1
        } else {
            current = PolicyExplainer(snapshot, trustedHops: trustedProxies)
            policies = (snapshot.generation, current)
        }
        return try current.explain(inquiry)
    }
}

/// The endpoints of a cluster (one port of a service, or of one subset of it) as the proxy sees them.
struct ClusterReport: Encodable {
    struct Endpoint: Encodable {
        /// `ip:port`.
        var endpoint: String
        var workload: String?
        var weight: UInt16
        /// `healthy`, or why it gets no requests: `ejected`, `unhealthy`, `draining`, `removed`, `unchecked`.
        var state: String
        var activeRequests: Int
        /// Peak EWMA, decayed to now; nil before the first request.
        var averageMilliseconds: Double?
        var requests: UInt64
        var failures: UInt64
        var ejections: UInt64
    }

    /// `namespace/name`.
    var service: String
    var port: UInt16
    var subset: String?
    var endpoints: [Endpoint]

    init(_ cluster: Cluster) {
        let key = cluster.config.key
        service = key.service.description
        port = key.port
        subset = key.subset
        endpoints = cluster.endpoints.map(Endpoint.init)
    }
}

extension ClusterReport.Endpoint {
    init(_ endpoint: Cluster.Endpoint) {
        let address = endpoint.config.address
        self.endpoint = address.isIPv4 ? "\(address):\(endpoint.config.port)" : "[\(address)]:\(endpoint.config.port)"
        workload = endpoint.config.workload?.description
        weight = endpoint.config.weight
        let shared = endpoint.shared.reference
        state = Self.state(shared.value.flags)
        averageMilliseconds = shared.value.averageLatency.map { Double($0) / 1_000_000 }
        activeRequests = max(0, shared.value.active.load(ordering: .relaxed))
        requests = shared.value.requests.load(ordering: .relaxed)
        failures = shared.value.failures.load(ordering: .relaxed)
        ejections = shared.value.ejections.load(ordering: .relaxed)
    }

    private static func state(_ flags: EndpointShared.Flags) -> String {
        if flags.contains(.removed) { return "removed" }
        if flags.contains(.ejected) { return "ejected" }
        if flags.contains(.failedCheck) { return "unhealthy" }
        if flags.contains(.draining) { return "draining" }
        if flags.contains(.awaitsCheck) { return "unchecked" }
        return "healthy"
    }
}
