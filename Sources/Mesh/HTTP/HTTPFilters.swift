/// Changes of header fields: removed, then set, then added.
public struct HeaderModification: Sendable, Equatable {
    /// Names keep the case in which they were written; they are compared without it.
    public struct Field: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    public var set: [Field] = []
    public var add: [Field] = []
    public var remove: [String] = []

    public init(set: [Field] = [], add: [Field] = [], remove: [String] = []) {
        self.set = set
        self.add = add
        self.remove = remove
    }

    public var isEmpty: Bool { self.set.isEmpty && add.isEmpty && remove.isEmpty }
}

/// Replaces parts of the request's URL before it is forwarded.
public struct URLRewrite: Sendable, Equatable {
    public var hostname: String?
    public var path: PathModification?

    public init(hostname: String? = nil, path: PathModification? = nil) {
        self.hostname = hostname
        self.path = path
    }
}

public enum PathModification: Sendable, Equatable {
    /// The whole path; the query stays.
    case full(String)
    /// What the path of the match that was hit covers: the elements of a `prefix`, the characters of a `textPrefix` (of
    /// "/" where the match has no path), the whole of an exact path or an expression. The rest and the query stay.
    case prefix(String)
    /// What the RE2 expression matches is replaced, `\1` stands for a group (Istio's `uriRegexRewrite`).
    case regex(String, substitution: String)
}

/// Answers with a redirect; what is nil is taken from the request.
public struct HTTPRedirect: Sendable, Equatable {
    public var scheme: String?
    public var hostname: String?
    public var path: PathModification?
    /// nil: the well-known port of `scheme` where one is given, otherwise the request's port.
    public var port: UInt16?
    /// 301, 302, 303, 307 or 308.
    public var status: UInt16 = 302

    public init() {}
}

/// Answers with a fixed response (Istio's `directResponse`).
public struct DirectResponse: Sendable, Equatable {
    /// 200 to 599.
    public var status: UInt16
    public var body: String
    public var contentType: String

    public init(status: UInt16, body: String = "", contentType: String = "text/plain") {
        self.status = status
        self.body = body
        self.contentType = contentType
    }
}

/// Cross-origin requests (Fetch standard, section 3.2): preflights are answered here, others get the headers.
public struct CORSPolicy: Sendable, Equatable {
    /// Of the whole origin. Those that the Gateway API writes with a wildcard are expressions here.
    public var allowOrigins: [TextMatch] = []
    public var allowsAnyOrigin = false
    /// `*` alone: any.
    public var allowMethods: [String] = []
    /// `*` alone: any.
    public var allowHeaders: [String] = []
    /// `*` alone: any.
    public var exposeHeaders: [String] = []
    public var allowCredentials = false
    /// Seconds; nil: 5, the standard's own default.
    public var maxAge: UInt32?

    public init() {}
}

/// A copy of the request for another backend, whose answer is thrown away.
public struct HTTPMirror: Sendable, Equatable {
    public var target: HTTPBackend.Target
    /// Of a million requests, how many are copied.
    public var partsPerMillion: UInt32 = 1_000_000

    public init(target: HTTPBackend.Target, partsPerMillion: UInt32 = 1_000_000) {
        self.target = target
        self.partsPerMillion = partsPerMillion
    }
}

/// Faults made on purpose (Istio's `fault`): the delay first, then the abort.
public struct HTTPFault: Sendable, Equatable {
    public struct Delay: Sendable, Equatable {
        /// nil: as the request's `x-envoy-fault-delay-request` says; without it there is none.
        public var milliseconds: UInt32?
        /// The request's `x-envoy-fault-delay-request-percentage` can only make it less.
        public var partsPerMillion: UInt32

        public init(milliseconds: UInt32?, partsPerMillion: UInt32 = 1_000_000) {
            self.milliseconds = milliseconds
            self.partsPerMillion = partsPerMillion
        }
    }

    public struct Abort: Sendable, Equatable {
        /// 200 to 599. nil: as the request's `x-envoy-fault-abort-request` or `x-envoy-fault-abort-grpc-request` says;
        /// without either there is none.
        public var status: UInt16?
        /// For gRPC: the code in place of an HTTP status.
        public var grpcStatus: UInt16?
        /// The request's `x-envoy-fault-abort-request-percentage` can only make it less.
        public var partsPerMillion: UInt32

        public init(status: UInt16?, grpcStatus: UInt16? = nil, partsPerMillion: UInt32 = 1_000_000) {
            self.status = status
            self.grpcStatus = grpcStatus
            self.partsPerMillion = partsPerMillion
        }
    }

    /// How fast bodies of responses go to their clients.
    public struct ResponseRateLimit: Sendable, Equatable {
        /// KiB in a second, above 0. nil: as the request's `x-envoy-fault-throughput-response` says; without it there is no
        /// limit.
        public var kibibytesPerSecond: UInt32?
        /// The request's `x-envoy-fault-throughput-response-percentage` can only make it less.
        public var partsPerMillion: UInt32

        public init(kibibytesPerSecond: UInt32?, partsPerMillion: UInt32 = 1_000_000) {
            self.kibibytesPerSecond = kibibytesPerSecond
            self.partsPerMillion = partsPerMillion
        }
    }

    public var delay: Delay?
    public var abort: Abort?
    public var responseRateLimit: ResponseRateLimit?
    /// Only requests that match all of them.
    public var headers: [NamedMatch] = []

    public init(
        delay: Delay? = nil, abort: Abort? = nil, responseRateLimit: ResponseRateLimit? = nil,
        headers: [NamedMatch] = []
    ) {
        self.delay = delay
        self.abort = abort
        self.responseRateLimit = responseRateLimit
        self.headers = headers
    }
}
