/// Milliseconds; nil: none.
public struct HTTPTimeouts: Sendable, Equatable {
    /// From the request's head to the end of the response, retries included.
    public var request: UInt32?
    /// One attempt.
    public var backendRequest: UInt32?

    public init(request: UInt32? = nil, backendRequest: UInt32? = nil) {
        self.request = request
        self.backendRequest = backendRequest
    }
}

/// When a failed attempt is tried again. Names are Envoy's.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter
public struct RetryPolicy: Sendable, Equatable {
    public struct Conditions: OptionSet, Sendable, Hashable, BitwiseCopyable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let serverError = Self(rawValue: 1 << 0)  // 5xx
        public static let gatewayError = Self(rawValue: 1 << 1)
        public static let reset = Self(rawValue: 1 << 2)
        public static let resetBeforeRequest = Self(rawValue: 1 << 3)
        public static let connectFailure = Self(rawValue: 1 << 4)
        public static let refusedStream = Self(rawValue: 1 << 5)
        public static let retriable4xx = Self(rawValue: 1 << 6)
        public static let retriableStatusCodes = Self(rawValue: 1 << 7)
        public static let retriableHeaders = Self(rawValue: 1 << 8)
        public static let rateLimited = Self(rawValue: 1 << 9)
        // The status of a gRPC answer, in its trailers or its head.
        public static let grpcCancelled = Self(rawValue: 1 << 10)
        public static let grpcDeadlineExceeded = Self(rawValue: 1 << 11)
        public static let grpcInternal = Self(rawValue: 1 << 12)
        public static let grpcResourceExhausted = Self(rawValue: 1 << 13)
        public static let grpcUnavailable = Self(rawValue: 1 << 14)

        /// Those that are about gRPC's status.
        public static let grpc: Self = [
            .grpcCancelled, .grpcDeadlineExceeded, .grpcInternal, .grpcResourceExhausted, .grpcUnavailable,
        ]

        /// Envoy's names of them.
        public static let names: [(name: StaticString, condition: Self)] = [
            ("5xx", .serverError), ("gateway-error", .gatewayError), ("reset", .reset),
            ("reset-before-request", .resetBeforeRequest), ("connect-failure", .connectFailure),
            ("refused-stream", .refusedStream), ("retriable-4xx", .retriable4xx),
            ("retriable-status-codes", .retriableStatusCodes), ("retriable-headers", .retriableHeaders),
            ("envoy-ratelimited", .rateLimited), ("cancelled", .grpcCancelled),
            ("deadline-exceeded", .grpcDeadlineExceeded), ("internal", .grpcInternal),
            ("resource-exhausted", .grpcResourceExhausted), ("unavailable", .grpcUnavailable),
        ]
    }

    /// Retries after the first attempt.
    public var attempts: UInt32 = 1
    public var conditions: Conditions = []
    /// With `retriableStatusCodes`.
    public var statusCodes: [UInt16] = []
    /// With `retriableHeaders`: answers that have a field of one of these names.
    public var headerNames: [String] = []
    /// Milliseconds; nil: the rule's `backendRequest`.
    public var perTryTimeout: UInt32?
    /// Milliseconds: the base of the jittered exponential back-off (Envoy's default 25) and its cap (10 times the base).
    public var backoffBase: UInt32 = 25
    public var backoffCap: UInt32 = 250
    /// The Gateway API never retries before `backoffBase` has passed; Envoy's full jitter may.
    public var backoffIsMinimum = false
    /// Whether an answer's Retry-After puts the retry off (Envoy's rate-limited back-off); one of more than five minutes
    /// is no reason to wait.
    public var honorsRetryAfter = false
    /// Whether hosts that were tried are avoided.
    public var avoidsPreviousHosts = true

    public init() {}
}

/// How much retries may add to the load: in a sliding window as in Linkerd and the Gateway API's retry constraint, or of
/// the requests under way as in Envoy.
public struct RetryBudget: Sendable, Equatable, BitwiseCopyable {
    /// Of the requests in the interval.
    public var percent: UInt32 = 20
    public var intervalMilliseconds: UInt32 = 10_000
    /// Retries that are allowed whatever the percentage.
    public var minPerSecond: UInt32 = 10
    /// Not nil: Envoy's form (Istio's DestinationRule). Of the requests that are active or pending, `percent` may be
    /// retries, and so many in any case; interval and rate mean nothing then.
    public var minConcurrency: UInt32?

    public init() {}
}

/// Keeps a client on one backend (GEP-1619).
public struct SessionPersistence: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        /// Session cookie, or permanent with a lifetime in seconds.
        case cookie(lifetime: UInt32?)
        case header
    }

    public var kind: Kind
    /// The cookie's or the header's.
    public var name: String
    /// Of a cookie.
    public var path = "/"
    /// Seconds; nil: none.
    public var absoluteTimeout: UInt32?
    public var idleTimeout: UInt32?

    public init(kind: Kind, name: String) {
        self.kind = kind
        self.name = name
    }
}

/// A local rate limit or a quota.
public struct RateLimit: Sendable, Equatable {
    /// What has a bucket of its own.
    public enum Key: Sendable, Equatable {
        /// One bucket for all.
        case all
        /// The calling workload's service account.
        case identity
        case header(String)
        case clientAddress
    }

    public enum Window: Sendable, Equatable {
        /// Token bucket: `requests` per this many milliseconds, with `burst`.
        case bucket(milliseconds: UInt32)
        /// Quotas: the counter starts anew at midnight UTC / on the first of the month and survives a restart.
        case day
        case month
    }

    /// Unique in its service; it is in metrics and in `x-weft-reason`.
    public var name: String
    public var requests: UInt32
    public var burst: UInt32
    public var window: Window
    public var key: Key
    /// Only requests that match one of them; empty: all. The classic free/paid classes are two limits with conditions.
    public var matches: [HTTPMatch] = []
    /// Count and report, let pass.
    public var isShadow = false
    /// 400 to 599.
    public var status: UInt16 = 429

    public init(name: String, requests: UInt32, burst: UInt32? = nil, window: Window, key: Key = .all) {
        self.name = name
        self.requests = requests
        self.burst = burst ?? requests
        self.window = window
        self.key = key
    }
}
