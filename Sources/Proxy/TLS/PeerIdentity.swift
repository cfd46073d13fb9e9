import Mesh

/// Whom the peer's verified certificate names.
struct PeerIdentity: Sendable, Equatable {
    /// `spiffe://td/ns/shop/sa/web`.
    let spiffeID: String
    let trustDomain: String
    /// Both empty unless the id has Istio's form for a workload.
    let namespace: String
    let serviceAccount: String

    /// nil for the id of a trust domain itself, which is no workload's.
    init?(_ id: SPIFFEID) {
        guard !id.path.isEmpty else { return nil }
        spiffeID = id.description
        trustDomain = id.trustDomain
        let elements = id.path.split(separator: "/")
        let isIstio = elements.count == 4 && elements[0] == "ns" && elements[2] == "sa"
        namespace = isIstio ? String(elements[1]) : ""
        serviceAccount = isIstio ? String(elements[3]) : ""
    }
}
