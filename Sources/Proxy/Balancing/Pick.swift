/// What is asked of a balancer for one attempt.
public struct PickWish: BitwiseCopyable, Sendable {
    /// Of the key that ring hash and Maglev hash; nil if the request has none.
    public var hash: UInt64?
    /// The endpoint that the client's session names.
    public var sessionID: UInt64?
    /// Avoided as long as there are others. Ignored where `hash` decides.
    public var excluded = TriedEndpoints()

    public init() {}
}

/// A balancer's answer.
public enum Pick: BitwiseCopyable, Sendable, Equatable {
    case endpoint(EndpointIndex)
    case none(Reason)

    public enum Reason: UInt8, BitwiseCopyable, Sendable {
        /// The cluster has no endpoints at all.
        case noEndpoints
        /// All are being drained, or have weight 0.
        case allDraining
        /// None has passed its first health check yet.
        case awaitingChecks
        /// All are ejected or fail their health checks.
        case allUnhealthy
    }
}
