/// Who is at the other end of a tunnel.
struct TunnelPeer: BitwiseCopyable {
    /// Number of its identity in the worker's `peers`; every peer of a tunnel has one.
    var principal: UInt32
    /// The client's address, as its agent gives it.
    var address: ClientAddress
}

extension Worker {
    /// Whether a peer may connect to a port of a workload of this node: asked when a stream is opened, and again of those
    /// that are open when policies or workloads have changed. What nobody here knows how to decide is not allowed.
    ///
    /// - Returns: with rules of the configuration that is in force now.
    func authorize(
        _ peer: TunnelPeer, _ inbound: TunnelTable.Inbound, _ target: ClientAddress
    ) -> AuthorizationDecision {
        guard peer.principal != PeerPrincipals.none, generations.current >= 0, let table = tunnels.table,
            table.ingress.allows(
                principal: peers.principal(peer.principal), address: peer.address, workload: inbound.workload,
                port: target.port)
        else { return AuthorizationDecision(denied: -1) }
        // The engine decides, about the connection and about each of its requests.
        if inbound.service != 0 { return AuthorizationDecision() }
        return generations[generations.current].authorization.authorizeConnection(
            workload: inbound.workload, principal: peers.principal(peer.principal), peer: peer.address,
            destination: target)
    }

    /// Counts a decision about a stream that was asked for.
    func count(_ decision: AuthorizationDecision, _ inbound: TunnelTable.Inbound) {
        // AuthorizationPolicies name a rule whenever they deny.
        if decision.verdict == .denied, decision.rule < 0 {
            tunnels.table?.ingress.denials.add(workload: inbound.workload)
        }
        guard generations.current >= 0 else { return }
        generations[generations.current].policyCounts.add(decision)
    }
}
