/// Which requests are traced. A request that belongs to a trace already is sampled as its caller has decided.
public struct TracingOptions: Sendable, Equatable {
    /// Of the traces that begin here: from 0 to 1.
    public var ratio = 0.01
    /// Requests with a field of this name begin a sampled trace; in lower case.
    public var forcingField = "x-envoy-force-trace"
    /// How the next hop is told in any case, besides the formats that a request came with; empty: traceparent when it came
    /// with none.
    public var formats: TraceFormats = []

    public init() {}
}
