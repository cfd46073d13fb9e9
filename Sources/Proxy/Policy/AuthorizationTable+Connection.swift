// Connections about whose requests nothing is known (plain TCP).
extension AuthorizationTable {
    /// Decides about a connection to a workload: what rules say of requests is true in DENY and CUSTOM policies and matches
    /// nothing in others, and nobody else is asked.
    ///
    /// - Parameters:
    ///   - awaitsRequests: requests on the connection are read and decided about one by one: what rules say of requests
    ///     hinders nothing yet. Only for ports where `decidesRequests(workload:port:)` says so.
    ///   - principal: of the authenticated peer, `trust.domain/ns/NAMESPACE/sa/ACCOUNT`; empty: there is none.
    ///   - peer: the client's address.
    ///   - destination: of the workload, with the port that is connected to.
    func authorizeConnection(
        workload: UInt64, principal: RawSpan, peer: ClientAddress, destination: ClientAddress,
        awaitsRequests: Bool = false
    ) -> AuthorizationDecision {
        let group = group(ofWorkload: workload)
        guard group >= 0 else { return AuthorizationDecision() }
        let attributes = AuthorizationAttributes(
            principal: principal, namespace: PeerPrincipals.namespace(of: principal), source: peer,
            destination: destination, awaitsRequests: awaitsRequests)
        let decision = evaluate(group, attributes)
        return decision.verdict == .external ? AuthorizationDecision(denied: decision.rule) : decision
    }
}
