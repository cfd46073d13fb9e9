/// How requests to one service (or one subset of it) are spread and protected: DestinationRule and TrafficPolicy.
/// Defaults are the ones of a service without any policy.
public struct HTTPTraffic: Sendable, Equatable {
    public var balancer = HTTPBalancer()
    public var limits = ConnectionLimits()
    /// nil: none.
    public var outlier: OutlierDetection?
    public var healthCheck: HealthCheck?
    public var retryBudget: RetryBudget?
    /// Below this share of healthy endpoints (percent) health is ignored; 0: never.
    public var panicThreshold: UInt32 = 0
    /// Used instead of 503 when no endpoint is available.
    public var fallback: HTTPBackend.Target?
    /// Applied before any rule's.
    public var rateLimits: [RateLimit] = []

    public init() {}
}

public struct HTTPBalancer: Sendable, Equatable {
    public enum Algorithm: Sendable, Equatable {
        /// Power of two choices by peak-EWMA latency: the default.
        case peakEWMA
        case leastRequest
        case roundRobin
        case random
        case ringHash(minimumSize: UInt32)
        case maglev
    }

    /// What ring hash and Maglev hash.
    public enum HashKey: Sendable, Equatable {
        case header(String)
        case query(String)
        case sourceAddress
        /// Made with this lifetime (seconds) and path if the request has none.
        case cookie(name: String, path: String, lifetime: UInt32)
    }

    public var algorithm: Algorithm = .peakEWMA
    public var hashKey: HashKey?
    /// Milliseconds in which a new endpoint's share grows to its whole; 0: at once.
    public var slowStart: UInt32 = 0
    /// The share that a new endpoint begins with, percent.
    public var slowStartMinimum: UInt32 = 10
    /// How fast it grows, in thousandths: 1000 is linear, more is faster at first.
    public var slowStartAggression: UInt32 = 1000
    /// Prefer endpoints of this node's locality, fail over by distance.
    public var prefersLocality = false

    public init() {}
}

/// Istio's connectionPool and Envoy's circuit breakers. nil: unlimited.
public struct ConnectionLimits: Sendable, Equatable {
    public var maxConnections: UInt32?
    public var maxPendingRequests: UInt32?
    public var maxRequests: UInt32?
    public var maxRetries: UInt32?
    public var maxRequestsPerConnection: UInt32?
    /// Milliseconds.
    public var connectTimeout: UInt32 = 5_000
    public var idleTimeout: UInt32 = 3_600_000

    public init() {}
}

/// Envoy's outlier detection, Istio's field names; times in milliseconds.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
public struct OutlierDetection: Sendable, Equatable {
    /// 0: off.
    public var consecutive5xx: UInt32 = 5
    public var consecutiveGatewayErrors: UInt32 = 0
    public var consecutiveLocalFailures: UInt32 = 0
    public var splitsLocalErrors = false
    public var interval: UInt32 = 10_000
    public var baseEjection: UInt32 = 30_000
    public var maxEjection: UInt32 = 300_000
    public var maxEjectionPercent: UInt32 = 10
    /// One endpoint is ejected even where that is more than `maxEjectionPercent` (Envoy's `always_eject_one_host`).
    public var alwaysEjectsOne = false
    /// Below this share of healthy endpoints ejections are ignored: a panic threshold of its own.
    public var minHealthPercent: UInt32 = 0
    /// Success rate: factor of the standard deviation in thousandths; 0: off.
    public var successRateFactor: UInt32 = 0
    public var successRateHosts: UInt32 = 5
    public var successRateRequests: UInt32 = 100
    /// Share of failures (percent) from which an endpoint is ejected whatever the others do; 0: off.
    public var failurePercentage: UInt32 = 0
    public var failurePercentageHosts: UInt32 = 5
    public var failurePercentageRequests: UInt32 = 50

    public init() {}
}

/// Active health checks; times in milliseconds.
public struct HealthCheck: Sendable, Equatable {
    public enum Probe: Sendable, Equatable {
        case tcp
        /// Statuses that are healthy: 200 when empty.
        case http(path: String, host: String?, statuses: [ClosedRange<UInt16>])
    }

    public var probe: Probe
    public var interval: UInt32 = 10_000
    public var timeout: UInt32 = 1_000
    public var unhealthyThreshold: UInt32 = 3
    public var healthyThreshold: UInt32 = 2
    /// nil: the endpoint's own port.
    public var port: UInt16?

    public init(probe: Probe) { self.probe = probe }
}

/// What happens to connections whose rules need the proxy while the agent is not there.
public enum FailureMode: String, Sendable, Equatable {
    /// Refused.
    case closed = "Closed"
    /// Balanced by the kernel, without the L7 rules.
    case open = "Open"
}

/// A named part of a service's endpoints (DestinationRule).
public struct HTTPSubset: Sendable, Equatable {
    public var name: String
    public var labels: [String: String]
    public var traffic: HTTPTraffic
    /// Of those ports of the service that have a traffic of their own.
    public var portTraffic: [UInt16: HTTPTraffic] = [:]

    public init(name: String, labels: [String: String], traffic: HTTPTraffic) {
        self.name = name
        self.labels = labels
        self.traffic = traffic
    }
}
