/// The policies of a workload, or of a service.
struct AuthorizationGroup: BitwiseCopyable {
    // Rules, as runs of the table's `members`.
    /// By provider; those without one come first.
    var custom = RouteRun.empty
    var deny = RouteRun.empty
    var allow = RouteRun.empty
    var shadowDeny = RouteRun.empty
    var shadowAllow = RouteRun.empty
    var audit = RouteRun.empty
    /// There is an ALLOW policy, even if it has no rule: what none of them matches is denied.
    var hasAllow = false
    var hasShadowAllow = false
    /// Nothing is known of whom it is for.
    var deniesAll = false
    /// A rule speaks of requests, or somebody else decides.
    var concernsRequests = false
    /// A rule speaks of paths.
    var hasPaths = false
    /// Stand for the denial of what no ALLOW rule matches.
    var implicitRule: Int32 = -1
    var shadowImplicitRule: Int32 = -1

    var hasShadow: Bool { hasShadowAllow || !shadowDeny.isEmpty || !audit.isEmpty }
}

/// One rule of a policy: any source, any operation, and all conditions.
struct AuthorizationRule: BitwiseCopyable {
    static let unknownProvider: Int32 = -2

    /// Runs of `clauses`; empty: any.
    var sources = RouteRun.empty
    var operations = RouteRun.empty
    /// Of `tests`.
    var conditions = RouteRun.empty
    /// Of CUSTOM.
    var provider: Int32 = -1
    /// DENY and CUSTOM: where there is no request, what is said of one counts as true; of others, the rule does not match.
    var takesMissingAsMatch = false
    var title = RouteText.empty
}

/// One list of values that a rule compares an attribute with.
struct AttributeTest: BitwiseCopyable {
    enum Attribute: UInt8, BitwiseCopyable {
        case principal, namespace, sourceAddress, destinationAddress, destinationPort
        case serverName, remoteAddress, host, method, path
        /// `authority` and `target` are the request's own parts under the names that headers have for them in HTTP/2.
        case header, authority, target
        case requestPrincipal, audiences, presenter, claim

        /// A connection does not have it.
        var isOfRequest: Bool { rawValue >= Self.serverName.rawValue }
    }

    var attribute: Attribute
    /// None of the values may match.
    var isNegated = false
    /// Of `patterns`, `hosts`, `blocks`, `ports` or `paths`, as the attribute has it.
    var values = RouteRun.empty
    /// Of a header, in lower case.
    var name = RouteText.empty
    /// The elements of a claim's path, of `names`.
    var claim = RouteRun.empty
}

/// Istio's string forms.
struct TextPattern: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case exact, prefix, suffix, present }

    var kind: Kind
    var text = RouteText.empty
}

/// A pattern of a host, in lower case, split at its port.
struct HostPattern: BitwiseCopyable {
    var host: TextPattern
    /// nil: the request's port does not matter. A request without one matches no pattern with one.
    var port: TextPattern?
}

struct PolicyPath: BitwiseCopyable {
    /// nil: a template.
    var text: TextPattern?
    /// Of `elements`: before and after `{**}`; without one everything is before.
    var leading = RouteRun.empty
    var trailing = RouteRun.empty
    var hasAny = false
}

/// One element of a path template.
struct TemplatePart: BitwiseCopyable {
    /// nil: `{*}`.
    var literal: RouteText?
}

/// An address block, in the words of `ClientAddress`.
struct BlockPattern: BitwiseCopyable {
    var high: UInt64
    var low: UInt64
    var highMask: UInt64
    var lowMask: UInt64
    /// It holds IPv4 addresses, in mapped form.
    var takesIPv4: Bool
}

/// Who a workload is to policies.
struct WorkloadPrincipal: BitwiseCopyable {
    var principal = RouteText.empty
    var namespace = RouteText.empty
    /// The first ones of each family; all zero: none.
    var address = ClientAddress(high: 0, low: 0, port: 0)
    var address6 = ClientAddress(high: 0, low: 0, port: 0)
    /// It is on another node whose agent takes tunnels for it, and decides itself about what they carry.
    var decidesAtHome = false
    /// Nothing is tunnelled towards its ports, but `plainPorts`; and the other way round.
    var isPlain = false
    var plainPorts = RouteRun.empty
}

/// What is done while somebody who is to decide cannot be asked.
struct AuthorizationProvider: BitwiseCopyable {
    /// Milliseconds.
    var timeout: UInt32
    var failsOpen: Bool
    var statusOnError: UInt16
}
