/// A part of a head, by its place in the bytes of the head. A head has at most 60 KiB.
public struct HeadSlice: BitwiseCopyable, Sendable, Equatable {
    public var start: UInt16
    public var count: UInt16

    public init(start: UInt16, count: UInt16) {
        self.start = start
        self.count = count
    }

    public static let empty = HeadSlice(start: 0, count: 0)

    public var isEmpty: Bool { count == 0 }
    public var range: Range<Int> { Int(start)..<(Int(start) + Int(count)) }
}

/// One header field, in the order of the wire. The bytes keep their case.
public struct HeadField: BitwiseCopyable, Sendable {
    public var name: HeadSlice
    /// Without the white space around it.
    public var value: HeadSlice
    /// The whole line with its CRLF, for forwarding it as it is.
    public var line: HeadSlice
    public var known: KnownField

    public init(name: HeadSlice, value: HeadSlice, line: HeadSlice, known: KnownField) {
        self.name = name
        self.value = value
        self.line = line
        self.known = known
    }
}

/// The field names that the proxy itself looks at.
public enum KnownField: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case other
    // Framing and connection (RFC 9110 section 7.6.1, RFC 9112 section 6): never forwarded as they are.
    case connection, keepAlive, proxyConnection, te, transferEncoding, upgrade, contentLength, trailer
    case host, expect
    // Read by routing, limits, logs and traces.
    case cookie, setCookie, origin, accessControlRequestMethod, accessControlRequestHeaders, authorization
    case userAgent, contentType, date, server, location, retryAfter, age, vary, referer
    case forwarded, xForwardedFor, xForwardedProto, xForwardedHost, xRequestID
    case traceparent, tracestate, b3, xB3Traceid, xB3Spanid, xB3Parentspanid, xB3Sampled, xB3Flags
    case grpcTraceBin
    case grpcStatus, grpcTimeout
    /// Any name that starts with `x-envoy-`.
    case envoy
}

/// How the end of a message's body is found (RFC 9112 section 6.3).
public enum BodyFraming: BitwiseCopyable, Sendable, Equatable {
    case none
    case length(UInt64)
    case chunked
    /// Responses only: the connection's end.
    case untilClose
}

public enum HTTPMethod: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case other, get, head, post, put, delete, connect, options, trace, patch
}

/// The form of the request target (RFC 9112 section 3.2).
public enum TargetForm: UInt8, BitwiseCopyable, Sendable {
    case origin, absolute, authority, asterisk
}

/// A request's head: the start line, and what its fields mean for the message as a whole.
public struct RequestHead: BitwiseCopyable, Sendable {
    public var method = HTTPMethod.get
    public var methodText = HeadSlice.empty
    /// As written.
    public var target = HeadSlice.empty
    public var form = TargetForm.origin
    /// Of the target, without query; `/` (empty slice) if an absolute target has none.
    public var path = HeadSlice.empty
    /// Without the `?`.
    public var query = HeadSlice.empty
    public var hasQuery = false
    /// The host that the request is for, with its port as written: an absolute target's, otherwise Host's. Empty only
    /// for an HTTP/1.0 request without Host. An absolute target's replaces Host when the request is forwarded
    /// (RFC 9112 section 3.2.2).
    public var authority = HeadSlice.empty
    /// Of `authority`: without port and without a trailing dot, in the letters' case as written. An IPv6 address has its
    /// brackets.
    public var host = HeadSlice.empty
    public var hostHasUppercase = false
    /// Of `authority`; 0: none there.
    public var port: UInt16 = 0
    /// 0 or 1.
    public var minorVersion: UInt8 = 1
    public var framing = BodyFraming.none
    /// Whether the connection may carry another request afterwards, as far as the client says.
    public var isPersistent = true
    /// `Connection: upgrade` and `Upgrade` are both there, and the protocol is none that would carry further requests past
    /// the proxy: neither h2c nor another HTTP nor TLS. Otherwise the request is one without an upgrade.
    public var wantsUpgrade = false
    public var upgrade = HeadSlice.empty
    public var expectsContinue = false
    /// The path may not be its own normal form: it has to go through `PathNormalizer`.
    public var needsNormalization = false
    /// `Connection` names fields other than the well-known hop-by-hop ones: they have to be removed too. Fields that
    /// Weft or the recipient relies on (Host, Cookie, X-Forwarded-For, ...) are never named: such a head is refused.
    public var hasConnectionOptions = false
    public var acceptsTrailers = false
    /// There is a field whose name starts with `x-envoy-`.
    public var hasEnvoyFields = false
    /// Of the head, with the empty line (and an empty line before it, which is allowed).
    public var byteCount: UInt16 = 0

    public init() {}
}

/// A response's head.
public struct ResponseHead: BitwiseCopyable, Sendable {
    /// 100 to 999.
    public var status: UInt16 = 0
    public var reason = HeadSlice.empty
    public var minorVersion: UInt8 = 1
    /// `none` for 1xx, 204, 304 and for answers to HEAD, whatever their fields say.
    public var framing = BodyFraming.none
    /// Whether the connection may carry another response afterwards, as far as the server says.
    public var isPersistent = true
    /// `Connection: upgrade` and `Upgrade` are both there.
    public var wantsUpgrade = false
    public var upgrade = HeadSlice.empty
    public var hasConnectionOptions = false
    public var byteCount: UInt16 = 0

    public init() {}
}
