/// One rule as requests go through it. Indices are places in the route table's arrays, -1 for none; times are in
/// milliseconds, 0 for none.
public struct RouteRule: BitwiseCopyable, Sendable {
    public enum Kind: UInt8, BitwiseCopyable, Sendable { case forward, redirect, respond }

    public var kind = Kind.forward
    public var backends = RouteRun.empty
    var totalWeight: UInt64 = 0
    var redirect: Int32 = -1
    var response: Int32 = -1
    /// For answers that no backend gave.
    var responseEdit: Int32 = -1
    var cors: Int32 = -1
    public var fault: Int32 = -1
    public var retry: Int32 = -1
    public var persistence: Int32 = -1
    public var limits = RouteRun.empty
    public var requestTimeout: UInt32 = 0
    public var backendTimeout: UInt32 = 0
}

/// One backend of a rule, with what the rule and the backend do to a request already put together.
public struct RouteBackend: BitwiseCopyable, Sendable {
    /// Weights up to and including this one's: a random number below it, and not below its predecessor's, chooses it.
    var threshold: UInt64
    /// -1: invalid, its share of the requests gets 500.
    public var cluster: Int32 = -1
    /// Why it is invalid.
    public var problem = RouteText.empty
    var requestEdit: Int32 = -1
    var responseEdit: Int32 = -1
    var rewrite: Int32 = -1
    var redirect: Int32 = -1
    public var mirrors = RouteRun.empty
}

/// A copy of a request for another cluster.
public struct RouteMirror: BitwiseCopyable, Sendable {
    /// -1: invalid, no copy is made.
    public var cluster: Int32
    public var partsPerMillion: UInt32

    /// Whether this request is copied; `random` is of all 64 bits.
    public func isChosen(random: UInt64) -> Bool {
        Percentage.isChosen(partsPerMillion, random: random)
    }
}

public enum Percentage {
    /// Whether a uniform random number of 64 bits falls into the given parts of a million.
    @inline(__always)
    public static func isChosen(_ partsPerMillion: UInt32, random: UInt64) -> Bool {
        random.multipliedFullWidth(by: 1_000_000).high < UInt64(partsPerMillion)
    }
}

/// Faults made on purpose: the delay first, then the abort.
public struct RouteFault: BitwiseCopyable, Sendable {
    /// Milliseconds.
    public var delay: UInt32 = 0
    public var delayPartsPerMillion: UInt32 = 0
    /// The request says how long, or which status: see `RequestedFault`.
    public var delaysByRequest = false
    public var abortsByRequest = false
    public var abortStatus: UInt16 = 0
    /// -1: the HTTP status.
    public var abortGRPCStatus: Int16 = -1
    public var abortPartsPerMillion: UInt32 = 0
    /// KiB in a second; 0: as fast as it can.
    public var responseRate: UInt32 = 0
    public var limitsRateByRequest = false
    public var ratePartsPerMillion: UInt32 = 0
    /// Only requests for which all hold; see `RouteTable.applies(_:to:)`.
    var conditions = RouteRun.empty
}

/// A rule's retries; see `RetryPolicy` in the model.
public struct RouteRetry: BitwiseCopyable, Sendable {
    /// `RetryPolicy.Conditions`.
    public var conditions: UInt16
    public var attempts: UInt32
    /// Places in `RouteTable.retriableStatuses`.
    public var statuses: RouteRun
    /// Lower-case names: places in `RouteTable.names`.
    var headers: RouteRun
    /// Milliseconds; 0: the rule's `backendTimeout`.
    public var perTryTimeout: UInt32
    public var backoffBase: UInt32
    public var backoffCap: UInt32
    public var backoffIsMinimum: Bool
    public var avoidsPreviousHosts: Bool
}

public struct RoutePersistence: BitwiseCopyable, Sendable {
    public var isCookie: Bool
    /// The cookie's or the header's; a header's in lower case.
    public var name: RouteText
    /// Seconds. Cookies: nil for one of the session.
    public var cookieLifetime: UInt32?
    public var absoluteTimeout: UInt32?
    public var idleTimeout: UInt32?
}

/// A rate limit of a service or a rule. The bucket or counter itself is found by `config`.
public struct RouteRateLimit: BitwiseCopyable, Sendable {
    public enum Key: UInt8, BitwiseCopyable, Sendable { case all, identity, header, clientAddress }

    /// Its place in `RouteTable.limitConfigs`.
    public var config: UInt32
    public var key: Key
    /// Of the key's header, lower-case.
    public var header: RouteText
    /// Runs of conditions of which one has to hold; empty: every request. See `RouteTable.applies(_:to:)`.
    var matches: RouteRun
    public var isShadow: Bool
    public var status: UInt16
}

struct RouteRewrite: BitwiseCopyable {
    var host = RouteText.empty
    var path = RoutePathEdit()
}

struct RouteRedirect: BitwiseCopyable {
    /// Empty: the request's.
    var scheme = RouteText.empty
    var host = RouteText.empty
    /// 0: by the scheme, otherwise the request's.
    var port: UInt16 = 0
    var path = RoutePathEdit()
    var status: UInt16 = 302
}

struct RoutePathEdit: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case none, full, prefix, regex }

    var kind = Kind.none
    var value = RouteText.empty
    var regex: UInt32 = 0
}

struct RouteDirectResponse: BitwiseCopyable {
    var status: UInt16
    var body: RouteText
    var contentType: RouteText
}

/// Changes of header fields, put together from the rule's and the backend's.
struct RouteHeaderEdit: BitwiseCopyable {
    /// Lower-case names of which no field of the message is kept: places in `RouteTable.names`.
    var dropped = RouteRun.empty
    /// Whole lines that are written after the message's own.
    var lines = RouteText.empty
    /// In place of Host's value; empty: none.
    var host = RouteText.empty
}
