/// What a DestinationRule or a TrafficPolicy says about the traffic to a service; nil where it says nothing.
public struct TrafficSettings: Sendable, Equatable {
    public var balancer: HTTPBalancer?
    public var limits: ConnectionLimits?
    public var outlier: OutlierDetection?
    public var healthCheck: HealthCheck?
    public var retryBudget: RetryBudget?
    public var panicThreshold: UInt32?
    /// Whether the service that it names exists is not looked into here.
    public var fallback: HTTPBackend.Target?
    public var rateLimits: [RateLimit] = []
    /// Names of those of its fields that only a proxy can carry out.
    public var proxyFields: [String] = []

    public init() {}

    /// What it says stands in place of what `base` says.
    func over(_ base: TrafficSettings?) -> TrafficSettings {
        guard let base else { return self }
        var result = base
        result.balancer = balancer ?? base.balancer
        result.limits = limits ?? base.limits
        result.outlier = outlier ?? base.outlier
        result.healthCheck = healthCheck ?? base.healthCheck
        result.retryBudget = retryBudget ?? base.retryBudget
        result.panicThreshold = panicThreshold ?? base.panicThreshold
        result.fallback = fallback ?? base.fallback
        if !rateLimits.isEmpty { result.rateLimits = rateLimits }
        return result
    }

    var traffic: HTTPTraffic {
        var traffic = HTTPTraffic()
        traffic.balancer = balancer ?? traffic.balancer
        traffic.limits = limits ?? traffic.limits
        traffic.outlier = outlier
        traffic.healthCheck = healthCheck
        traffic.retryBudget = retryBudget
        traffic.panicThreshold = panicThreshold ?? traffic.panicThreshold
        traffic.fallback = fallback
        traffic.rateLimits = rateLimits
        return traffic
    }
}
