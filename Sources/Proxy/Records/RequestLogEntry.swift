/// Who wants entries about requests.
public struct RequestConsumers: OptionSet, BitwiseCopyable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The requests that its policy chooses.
    public static let accessLog = Self(rawValue: 1 << 0)
    /// Those that are sampled, and those that fail.
    public static let traces = Self(rawValue: 1 << 1)
    /// All of them, live, as long as somebody looks.
    public static let tap = Self(rawValue: 1 << 2)

    static let count = 3
}

/// What of a request an entry is about.
public enum RequestLogSubject: UInt8, BitwiseCopyable, Sendable {
    /// The whole of it, as its client sees it.
    case request
    /// An attempt at it that another one followed.
    case attempt
    /// A copy of it for a mirror.
    case mirror
}

/// What is said of one request besides its record: lies in a queue's memory, the texts behind it.
struct RequestLogSlot: BitwiseCopyable {
    var record = RequestRecord()
    var addresses = RequestLogAddresses()
    var trace = TraceContext()
    /// When the last attempt began, if it was not the first; 0 otherwise. CLOCK_MONOTONIC, nanoseconds.
    var attemptStarted: UInt64 = 0
    var consumers: RequestConsumers = []
    var subject = RequestLogSubject.request
    /// The end of each text in the slot's bytes, in the order of `RequestLogText`.
    var ends = InlineArray<10, UInt16>(repeating: 0)
    var method = HTTPMethod.other
    var minorVersion: UInt8 = 1
    /// False: nothing of the request was understood.
    var hasFacts = false
}

/// The ends of a request's connections; all zero: none.
public struct RequestLogAddresses: BitwiseCopyable, Sendable {
    public var client = ClientAddress(high: 0, low: 0, port: 0)
    /// What the client connected to.
    public var local = ClientAddress(high: 0, low: 0, port: 0)
    public var upstream = ClientAddress(high: 0, low: 0, port: 0)
    /// The proxy's own end of the connection to the backend.
    public var upstreamLocal = ClientAddress(high: 0, low: 0, port: 0)

    public init() {}
}

/// The texts of a request that are kept, each cut at so many bytes.
public enum RequestLogText: Int, CaseIterable, Sendable {
    case method, path, authority, userAgent, requestID, forwardedFor, upgrade, referer
    /// The rule that has refused the request.
    case policy
    /// The SPIFFE id without its scheme that a certificate has proved of the client.
    case principal

    var limit: Int {
        switch self {
        case .method, .upgrade: 16
        case .path: 512
        case .authority, .userAgent, .policy: 128
        case .requestID, .forwardedFor: 64
        case .referer: 96
        case .principal: 608
        }
    }

    /// Room for all of them.
    static let room = 1760
}

/// One request that has ended, as consumers see it; it is valid until they have done with it.
public struct RequestLogEntry: ~Escapable {
    public let record: RequestRecord
    public let addresses: RequestLogAddresses
    /// Its place in its trace; nil: it is in none.
    public let trace: TraceContext?
    /// Of the other ones traces alone are told.
    public let subject: RequestLogSubject
    /// When its spans begin: with the last attempt, if there was more than one. CLOCK_MONOTONIC, nanoseconds.
    public let attemptStarted: UInt64
    /// The number of the worker that has carried it.
    public let worker: Int
    /// Who wants it.
    public let consumers: RequestConsumers
    /// Whether a head was understood: otherwise there are no texts.
    public let hasFacts: Bool
    public let minorVersion: UInt8
    private let ends: InlineArray<10, UInt16>
    private let bytes: RawSpan

    @_lifetime(copy bytes)
    init(_ slot: RequestLogSlot, worker: Int, bytes: RawSpan) {
        self.worker = worker
        record = slot.record
        addresses = slot.addresses
        trace = slot.trace.isPresent ? slot.trace : nil
        subject = slot.subject
        attemptStarted = slot.attemptStarted == 0 ? slot.record.started : slot.attemptStarted
        consumers = slot.consumers
        hasFacts = slot.hasFacts
        minorVersion = slot.minorVersion
        ends = slot.ends
        self.bytes = bytes
    }

    /// Its bytes as they came, possibly cut; empty if the request had none.
    @_lifetime(copy self)
    public func text(_ text: RequestLogText) -> RawSpan {
        let start = text.rawValue == 0 ? 0 : Int(ends[text.rawValue - 1])
        let end = Int(ends[text.rawValue])
        return start <= end && end <= bytes.byteCount ? bytes.extracting(start..<end) : bytes.extracting(0..<0)
    }
}
