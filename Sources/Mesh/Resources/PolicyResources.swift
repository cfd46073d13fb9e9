/// The balancing part of Weft's `TrafficPolicy`.
///
/// ```yaml
/// apiVersion: weft.dev/v1alpha1
/// kind: TrafficPolicy
/// metadata: { name: web, namespace: shop }
/// spec:
///   targetRefs: [{ group: "", kind: Service, name: web }]   # of the same namespace
///   loadBalancer:
///     algorithm: LeastConnections      # Random, RoundRobin, LeastConnections or Maglev
///     sessionAffinity: { timeout: 1h } # by client, since its last connection; none when omitted
/// ```
public struct TrafficPolicyResource: Sendable, Equatable {
    /// Names of services in its own namespace.
    public var targets: [String] = []
    public var algorithm: Balancing.Algorithm?
    public var affinitySeconds: UInt32?

    public init() {}
}

/// The load balancer part of Istio's `DestinationRule`.
/// Source: https://istio.io/latest/docs/reference/config/networking/destination-rule/
public struct DestinationRuleResource: Sendable, Equatable {
    /// As written: short, namespace-qualified or fully qualified.
    public var host = ""
    /// nil: the default.
    public var algorithm: Balancing.Algorithm?

    public init() {}

    /// The service that `host` names, seen from `namespace`; nil when it cannot be one of the cluster.
    public func service(from namespace: String) -> ObjectName? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.allSatisfy({ !$0.isEmpty && $0 != "*" }) else { return nil }
        switch parts.count {
        case 1: return ObjectName(namespace: namespace, name: parts[0])
        case 2: return ObjectName(namespace: parts[1], name: parts[0])
        default:
            let domain = parts[2...].joined(separator: ".")
            guard domain == "svc" || domain == "svc.cluster.local" else { return nil }
            return ObjectName(namespace: parts[1], name: parts[0])
        }
    }
}

/// Istio's `AuthorizationPolicy`, with what only a proxy can see already turned into its effect on connections.
public struct AuthorizationPolicyResource: Sendable, Equatable {
    /// Its `isMeshWide` is decided when the snapshot is built; principals are as written.
    public var policy: AuthorizationPolicy
    /// False when it has no effect at all.
    public var isUsable: Bool

    public init(policy: AuthorizationPolicy, isUsable: Bool = true) {
        self.policy = policy
        self.isUsable = isUsable
    }
}
