/// Weft's `TrafficPolicy`: how the traffic to services is spread, protected and limited. It stands over what a
/// DestinationRule says of the same service. Whatever only a proxy can do makes the service's HTTP ports go through it:
/// everything here but the algorithms Random, RoundRobin, LeastConnections and Maglev, `sessionAffinity`, `retryBudget`,
/// `failureMode` and `acceleration`. Values below are the defaults, where a field has one; durations are the Gateway API's (GEP-2257).
///
/// ```yaml
/// apiVersion: weft.dev/v1alpha1
/// kind: TrafficPolicy
/// metadata: { name: web, namespace: shop }
/// spec:
///   targetRefs: [{ group: "", kind: Service, name: web }]   # of the same namespace
///   loadBalancer:
///     algorithm: PeakEWMA              # LeastRequest, RingHash: by the proxy. Random, RoundRobin, LeastConnections,
///                                      # Maglev: by the kernel, or by the proxy where something else needs it
///     hashKey: { header: x-user }      # RingHash and Maglev; or query: NAME, cookie: { name, path, ttl: 1h },
///                                      # sourceAddress: true (the default)
///     minimumRingSize: 1024            # RingHash
///     slowStart: { window: 30s, minimumPercent: 10, aggression: 1 }
///     locality: Ignore                 # or Prefer
///     sessionAffinity: { timeout: 1h } # of connections, by client, since its last one
///   circuitBreaker: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3,
///                     maxRequestsPerConnection: 1000, connectTimeout: 5s, idleTimeout: 1h } # counts: none is no limit
///   outlierDetection: { consecutive5xx: 5, consecutiveGatewayErrors: 0, consecutiveLocalFailures: 0,
///                       splitLocalErrors: false, interval: 10s, baseEjectionTime: 30s, maxEjectionTime: 300s,
///                       maxEjectionPercent: 10, minHealthPercent: 0,
///                       successRate: { factor: 1.9, minimumHosts: 5, minimumRequests: 100 } } # off when omitted
///   healthCheck: { http: { path: /, host: web, statuses: [200, 204-299] }, interval: 10s, timeout: 1s,
///                  unhealthyThreshold: 3, healthyThreshold: 2, port: 8080 }                   # or tcp: {}
///   panicThreshold: 0                  # below this percentage of healthy endpoints health is ignored
///   # For rules of routes that say nothing themselves:
///   retry: { attempts: 1, conditions: [connect-failure, refused-stream], codes: [503], perTryTimeout: 1s,
///            backoff: { base: 25ms, max: 250ms }, avoidPreviousHosts: true }                  # Envoy's conditions
///   timeouts: { request: 10s, backendRequest: 2s }
///   fault: { delay: { duration: 1s, percent: 100 }, abort: { status: 503, percent: 0.1 },     # or grpcStatus: UNAVAILABLE
///            responseRateLimit: { limitKbps: 64, percent: 10 }, # KiB/s of bodies, as Envoy's
///            headers: [{ name: x-fault, value: "yes" }] }                                     # as HTTPRoute matches them
///   retryBudget: { percent: 20, interval: 10s, minPerSecond: 10 }
///   rateLimits:
///   - { name: free, requests: 10, unit: Second, burst: 10, # unit: or Minute, Hour; burst: as many as requests
///       key: All,                      # one bucket for all, or for each Identity, ClientAddress or { header: x-api-key }
///       matches: [{ headers: [{ name: x-plan, value: free }] }], # HTTPRoute matches; any one; all requests when omitted
///       mode: Enforce, status: 429 }   # Shadow: count only
///   quotas:
///   - { name: daily, requests: 10000, period: Day, key: Identity } # or Month (UTC); matches, mode, status as above
///   fallback: { name: web-static, port: 80 }   # instead of 503 when no endpoint is available
///   failureMode: Closed                # connections that need the proxy while the agent is not there; or Open
///   # Of a policy whose target is its own namespace ({ group: "", kind: Namespace, name: shop }):
///   acceleration: "On"                 # or "Off": what holds for the namespace's workloads that do not say it themselves
/// ```
public struct TrafficPolicyResource: Sendable, Equatable {
    /// Names of services in its own namespace.
    public var targets: [String] = []
    /// Whether its own namespace is a target of it.
    public var targetsNamespace = false
    /// For the workloads of that namespace which do not say it themselves.
    public var acceleration: Bool?
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

    /// Whether it decides what holds for workloads of its namespace that do not say it themselves.
    var setsAcceleration: Bool { targetsNamespace && acceleration != nil }

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
    /// False when it is not in force at all.
    public var isUsable = true

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

    /// The services whose traffic it governs.
    func governed(from namespace: String) -> Set<ObjectName> {
        guard isUsable, let service = service(from: namespace) else { return [] }
        return [service]
    }
}

/// Istio's `AuthorizationPolicy`, as written.
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

/// Istio's `RequestAuthentication`, as written.
public struct RequestAuthenticationResource: Sendable, Equatable {
    /// Its `isMeshWide` is decided when the snapshot is built.
    public var authentication: RequestAuthentication
    /// False when it has no effect at all.
    public var isUsable: Bool

    public init(authentication: RequestAuthentication, isUsable: Bool = true) {
        self.authentication = authentication
        self.isUsable = isUsable
    }
}
