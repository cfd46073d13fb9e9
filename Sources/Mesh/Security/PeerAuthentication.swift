/// Whether connections from other nodes have to be mutually authenticated (Istio's PeerAuthentication modes).
public enum MutualTLSMode: String, Sendable, Equatable {
    /// Plaintext from outside of the node is refused.
    case strict = "STRICT"
    /// Both are taken; what can be a tunnel is one.
    case permissive = "PERMISSIVE"
    /// Nothing is tunnelled towards it.
    case disable = "DISABLE"
}

/// Istio's `PeerAuthentication`. The narrowest one holds: that of a workload over that of its namespace over the mesh's;
/// `nil` (UNSET) leaves it to the wider one.
/// Source: https://istio.io/latest/docs/reference/config/security/peer_authentication/
public struct PeerAuthenticationResource: Sendable, Equatable {
    /// Labels that a workload must have; empty: all of the namespace, or of the mesh in the root namespace.
    public var selector: [String: String] = [:]
    public var mode: MutualTLSMode?
    /// By the workload's own port; only with a selector.
    public var portModes: [UInt16: MutualTLSMode] = [:]

    public init() {}
}
