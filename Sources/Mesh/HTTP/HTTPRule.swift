/// What HTTP requests to one port of a service go through: a sequence of rules, whichever API they were written in.
///
/// The rules of all `HTTPRoute`s (or of the one `VirtualService`) of the port, flattened: one element for each rule of an
/// object. Precedence among the matches of `HTTPRoute`s is the specification's and is computed when the routing table is
/// compiled; `order` says which of two equally specific ones is first. Rules of a `VirtualService` are tried in order.
public struct HTTPRouting: Sendable, Equatable {
    public enum Precedence: Sendable, Equatable {
        /// Gateway API: most specific match first.
        case specificity
        /// Istio: first rule that matches.
        case order
    }

    public var precedence: Precedence
    /// In the order that decides between equals: oldest object first, then by name, then as written. Never empty in a
    /// snapshot: where no object has a rule, one rule forwards every request to the service itself.
    public var rules: [HTTPRule]
    /// By namespace: what stands in place of `precedence` and `rules` for its clients. These are the routes of that
    /// namespace whose parent is a service of another one. They have no `consumers` of their own.
    /// Source: GEP-1426, "Namespace boundaries" and "Multiple routes for a Service".
    public var consumers: [String: HTTPRouting] = [:]

    public init(precedence: Precedence = .specificity, rules: [HTTPRule] = []) {
        self.precedence = precedence
        self.rules = rules
    }
}

/// One rule: what it matches, what it does to a request, and where the request goes.
public struct HTTPRule: Sendable, Equatable {
    /// The object that it stands in.
    public var origin: ObjectKey
    /// Its place in the object, from 0.
    public var index: Int
    /// The name that its writer gave it; nil for none.
    public var name: String?
    /// Lower-case host names, `*.` for a wildcard's first label; empty: any host.
    public var hostnames: [String] = []
    /// Any one of them suffices; empty: every request.
    public var matches: [HTTPMatch] = []
    public var requestHeaders = HeaderModification()
    public var responseHeaders = HeaderModification()
    public var rewrite: URLRewrite?
    public var cors: CORSPolicy?
    public var mirrors: [HTTPMirror] = []
    public var fault: HTTPFault?
    public var timeouts = HTTPTimeouts()
    public var retry: RetryPolicy?
    public var persistence: SessionPersistence?
    public var rateLimits: [RateLimit] = []
    public var action: HTTPAction

    public init(origin: ObjectKey, index: Int, name: String? = nil, action: HTTPAction) {
        self.origin = origin
        self.index = index
        self.name = name
        self.action = action
    }

    /// How people and logs call it: `HTTPRoute shop/web rule 0`, with the rule's name where it has one.
    public var title: String { "\(origin) rule \(name ?? String(index))" }

    /// What counters and logs know it by across snapshots: the hash of its title (FNV-1a), never 0.
    public var identifier: UInt64 {
        let hash = title.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return hash == 0 ? 1 : hash
    }
}

/// What a rule does with a request that no filter has answered.
public enum HTTPAction: Sendable, Equatable {
    /// Weighted; empty: 500 (`HTTPRoute` without backendRefs and without a redirect).
    case forward([HTTPBackend])
    case redirect(HTTPRedirect)
    case respond(DirectResponse)
}

/// One backend of a rule.
public struct HTTPBackend: Sendable, Equatable {
    public enum Target: Sendable, Equatable {
        /// `subset` is one of the service's subsets (DestinationRule).
        case service(ObjectName, port: UInt16, subset: String?)
        /// Its share of the requests gets 500; the text says why.
        case invalid(String)
    }

    public var target: Target
    /// Relative to the other backends of the rule; 0 takes nothing.
    public var weight: UInt32 = 1
    public var requestHeaders = HeaderModification()
    public var responseHeaders = HeaderModification()
    public var rewrite: URLRewrite?
    public var redirect: HTTPRedirect?
    public var mirrors: [HTTPMirror] = []

    public init(target: Target, weight: UInt32 = 1) {
        self.target = target
        self.weight = weight
    }
}

// MARK: - Matches

/// All of its parts must match.
public struct HTTPMatch: Sendable, Equatable {
    public var path: PathMatch?
    /// As on the wire, case-sensitive; nil: any.
    public var method: TextMatch?
    /// Names lower-case; every element must match.
    public var headers: [NamedMatch] = []
    /// Header matches that must not hold (Istio's `withoutHeaders`).
    public var withoutHeaders: [NamedMatch] = []
    public var query: [NamedMatch] = []
    /// Istio's `authority` and `scheme`.
    public var authority: TextMatch?
    public var scheme: TextMatch?
    /// Labels that the calling workload has (Istio's `sourceLabels`) and its namespace; empty/nil: any.
    public var sourceLabels: [String: String] = [:]
    public var sourceNamespace: String?
    /// Istio's `ignoreUriCase`.
    public var ignoresPathCase = false

    public init() {}
}

public enum PathMatch: Sendable, Equatable {
    /// The normalised path, without query.
    case exact(String)
    /// By path elements, a trailing `/` ignored (Gateway API `PathPrefix`).
    case prefix(String)
    /// By characters (Istio's `prefix`).
    case textPrefix(String)
    /// RE2 syntax, the whole path.
    case regex(String)
}

public enum TextMatch: Sendable, Equatable {
    case exact(String)
    case prefix(String)
    /// RE2 syntax, the whole value.
    case regex(String)
    /// There, whatever its value.
    case present
}

public struct NamedMatch: Sendable, Equatable {
    /// Header names lower-case; query parameter names as they are.
    public var name: String
    public var value: TextMatch

    public init(name: String, value: TextMatch) {
        self.name = name
        self.value = value
    }
}
