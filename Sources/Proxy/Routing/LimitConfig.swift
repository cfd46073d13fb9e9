public import Mesh

/// A rate limit with the place that it is written in.
public struct LimitConfig: Sendable, Equatable {
    public var service: ObjectName
    public var port: UInt16
    /// The rule's title; nil: the service's own.
    public var rule: String?
    public var limit: RateLimit
}
