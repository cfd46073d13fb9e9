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
    /// For connections that the kernel balances.
    public var algorithm: Balancing.Algorithm?
    public var affinitySeconds: UInt32?
    public var settings = TrafficSettings()
    /// For rules that have none of their own.
    public var retry: RetryPolicy?
    public var timeouts = HTTPTimeouts()
    public var fault: HTTPFault?
    public var failureMode: FailureMode?

    public init() {}

    /// Names of those of its fields that only a proxy can carry out.
    var proxyFields: [String] {
        var fields = settings.proxyFields
        if retry != nil { fields.append("retry") }
        if timeouts != HTTPTimeouts() { fields.append("timeouts") }
        if fault != nil { fields.append("fault") }
        return fields
    }

    /// The services that it names as backends.
    var references: Set<ObjectName> {
        if case .service(let name, _, _)? = settings.fallback { [name] } else { [] }
    }
}

/// Istio's `DestinationRule`.
/// Source: https://istio.io/latest/docs/reference/config/networking/destination-rule/
public struct DestinationRuleResource: Sendable, Equatable {
    /// As written: short, namespace-qualified or fully qualified.
    public var host = ""
    /// For connections that the kernel balances; nil: the default.
    public var algorithm: Balancing.Algorithm?
    public var settings = TrafficSettings()
    /// In place of `settings` as a whole (`portLevelSettings`), by port number.
    public var portSettings: [UInt16: TrafficSettings] = [:]
    public var subsets: [Subset] = []

    public init() {}

    public struct Subset: Sendable, Equatable {
        public var name: String
        public var labels: [String: String] = [:]
        /// Over the rule's own.
        public var settings = TrafficSettings()
        public var portSettings: [UInt16: TrafficSettings] = [:]

        public init(name: String) { self.name = name }
    }

    /// The service that `host` names, seen from `namespace`; nil when it cannot be one of the cluster.
    public func service(from namespace: String) -> ObjectName? { ServiceHost.service(host, from: namespace) }
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
