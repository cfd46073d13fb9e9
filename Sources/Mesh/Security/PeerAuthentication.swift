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
/// `nil` (UNSET) leaves it to the wider one. Of several equally narrow ones the oldest holds.
///
/// ```yaml
/// apiVersion: security.istio.io/v1
/// kind: PeerAuthentication
/// metadata: { name: default, namespace: shop }       # in the root namespace without a selector: for the mesh
/// spec:
///   selector: { matchLabels: { app: web } }          # all workloads of the namespace when omitted
///   mtls: { mode: STRICT }                           # or PERMISSIVE (the default), DISABLE, UNSET
///   portLevelMtls: { 8080: { mode: DISABLE } }       # ports of the workload; only with a selector
/// ```
/// Source: https://istio.io/latest/docs/reference/config/security/peer_authentication/
public struct PeerAuthenticationResource: Sendable, Equatable {
    /// Labels that a workload must have; empty: all of the namespace, or of the mesh in the root namespace.
    public var selector: [String: String] = [:]
    public var mode: MutualTLSMode?
    /// By the workload's own port; only with a selector.
    public var portModes: [UInt16: MutualTLSMode] = [:]

    public init() {}
}
