/// Where a request goes. Indices are places in the route table's arrays, -1 for none.
public struct RouteDecision: BitwiseCopyable, Sendable, Equatable {
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// To an endpoint of `cluster`.
        case forward
        /// Answered here: see `RouteTable.writeLocalResponse`.
        case redirect, respond, preflight
        /// Answered here with `status`.
        case refuse
    }

    /// How the path was matched, for rewriting its prefix.
    enum PathKind: UInt8, BitwiseCopyable, Sendable { case exact, element, text, regex, any }

    public var kind: Kind
    public var rule: Int32 = -1
    public var backend: Int32 = -1
    public var cluster: Int32 = -1
    /// With `refuse` only; 0 otherwise.
    public var status: UInt16 = 0
    public var detail = ResponseDetail.viaUpstream
    /// The rule's CORS policy allows the request's origin.
    public var allowsOrigin = false
    var pathKind = PathKind.any
    /// Bytes of the path that the rule's prefix matched; all of them if it is not a prefix.
    var matchedBytes: UInt16 = 0

    init(_ kind: Kind) { self.kind = kind }

    static let notFound: RouteDecision = {
        var decision = RouteDecision(.refuse)
        decision.status = 404
        decision.detail = .routeNotFound
        return decision
    }()
}
