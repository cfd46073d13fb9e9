/// A connection that came to a workload of this node through a tunnel, and has ended or was refused.
public struct TunnelFlow: BitwiseCopyable, Sendable {
    /// In the order of `enum weft_flow_event`.
    public enum Event: UInt8, BitwiseCopyable, Sendable {
        case closed
        /// The application could not be reached.
        case failed
        /// A policy has refused it, or does not allow it any more.
        case denied
    }

    public var event = Event.closed
    /// Identifiers as in the kernel's maps; 0: unknown.
    public var source: UInt64 = 0
    public var destination: UInt64 = 0
    /// The client, as its agent gives it, and what it has asked for.
    public var client: ClientAddress
    public var target: ClientAddress
    /// CLOCK_MONOTONIC, nanoseconds.
    public var started: UInt64
    public var ended: UInt64
    /// Payload that the application has sent, and received.
    public var sent: UInt64 = 0
    public var received: UInt64 = 0
    /// errno of one that failed; 0: none.
    public var error: Int32 = 0
    /// Of HTTP/1 that was read on its way.
    public var requests = ConnectionRequests.Summary(firstClass: 0, count: 0)

    public init(client: ClientAddress, target: ClientAddress, started: UInt64, ended: UInt64) {
        self.client = client
        self.target = target
        self.started = started
        self.ended = ended
    }
}

/// One record as its reader sees it; it is valid until the reader has done with it.
public struct TunnelFlowEntry: ~Escapable {
    public let flow: TunnelFlow
    /// The client's SPIFFE id without its scheme.
    public let peer: RawSpan
    /// The rule that has decided, `namespace/policy[rule]`; empty: none applies, or it is not known any more.
    public let rule: RawSpan

    @_lifetime(copy peer, copy rule)
    init(_ flow: TunnelFlow, peer: RawSpan, rule: RawSpan) {
        self.flow = flow
        self.peer = peer
        self.rule = rule
    }
}
