/// Ways in which requests say what trace they belong to.
public struct TraceFormats: OptionSet, BitwiseCopyable, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `traceparent` and `tracestate` (https://www.w3.org/TR/trace-context-1/).
    public static let w3c = Self(rawValue: 1 << 0)
    /// `b3` (https://github.com/openzipkin/b3-propagation).
    public static let b3 = Self(rawValue: 1 << 1)
    /// `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled` and the others.
    public static let b3Multi = Self(rawValue: 1 << 2)
    /// `grpc-trace-bin`, OpenCensus's binary form
    /// (https://github.com/census-instrumentation/opencensus-specs/blob/master/encodings/BinaryEncoding.md).
    public static let openCensus = Self(rawValue: 1 << 3)
}

/// A request's place in its trace.
public struct TraceContext: BitwiseCopyable, Sendable, Equatable {
    /// The trace's 128 bits; all zero: there is no trace.
    public var traceHigh: UInt64 = 0
    public var traceLow: UInt64 = 0
    /// The span that the caller was in; 0: the trace begins here.
    public var parent: UInt64 = 0
    /// The span that the request is sent on with, which the next hop's spans are children of.
    public var span: UInt64 = 0
    /// One for between the two, when the client's and the server's end of the request are both reported here.
    public var clientSpan: UInt64 = 0
    /// Whether its spans are kept, as those who come after it are told.
    public var isSampled = false
    /// B3's debug flag: kept by everybody.
    public var isDebug = false
    /// How it is said to the next hop.
    public var formats: TraceFormats = []
    /// The request's `tracestate` is none, or belongs to another trace.
    var dropsState = false

    public init() {}

    public var isPresent: Bool { traceHigh | traceLow != 0 }
}
