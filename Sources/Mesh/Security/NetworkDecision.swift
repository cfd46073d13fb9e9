/// What the NetworkPolicies of one workload say of a connection in one direction.
public struct NetworkDecision: Sendable, Equatable {
    public enum Direction: String, Sendable, Hashable { case ingress, egress }

    /// The policy of which a rule allows it; nil: none does, and it is denied.
    public var allowing: ObjectName?
    /// Those that apply.
    public var policies: [ObjectName]

    public var isAllowed: Bool { allowing != nil }

    /// What the decision is counted for, as in `weft_policy_decisions_total`.
    public var rule: String {
        if let allowing { return "NetworkPolicy \(allowing)" }
        return "NetworkPolicy \(policies.map(\.description).joined(separator: ",")) (no rule matched)"
    }
}

extension MeshSnapshot {
    /// The other end of a connection, as one end's policies see it.
    public struct NetworkPeer {
        /// nil: what has its address is taken for it where that is certain, as for a client of another node.
        public var workload: MeshWorkload?
        /// nil: not known; no block contains it.
        public var address: IPAddress?

        public init(workload: MeshWorkload?, address: IPAddress?) {
            self.workload = workload
            self.address = address
        }
    }

    /// What NetworkPolicies say of a connection that a workload takes or opens; nil: none applies to it.
    ///
    /// The obvious evaluation of what the kernel has in compiled form (see `CompiledPolicy`).
    ///
    /// - Parameter port: of the destination.
    public func networkDecision(
        _ direction: NetworkDecision.Direction, of workload: MeshWorkload, _ peer: NetworkPeer, port: UInt16,
        transport: TransportProtocol = .tcp
    ) -> NetworkDecision? {
        guard peer.workload?.name != workload.name else { return nil }
        let applying = networkPolicies.values.filter {
            $0.rules(direction) != nil && $0.name.namespace == workload.name.namespace
                && $0.podSelector.matches(workload.labels)
        }.sorted { $0.name < $1.name }
        guard !applying.isEmpty else { return nil }
        let destination = direction == .ingress ? workload : peer.workload
        let allowing = applying.first { policy in
            (policy.rules(direction) ?? []).contains { rule in
                (rule.ports.isEmpty || rule.ports.contains { $0.contains(port, transport, of: destination) })
                    && (rule.peers.isEmpty || rule.peers.contains { matches($0, peer, of: policy) })
            }
        }
        return NetworkDecision(allowing: allowing?.name, policies: applying.map(\.name))
    }

    private func matches(_ meant: NetworkPolicy.Peer, _ peer: NetworkPeer, of policy: NetworkPolicy) -> Bool {
        switch meant {
        case .block(let block, let except):
            guard let address = peer.address else { return false }
            return block.contains(address) && !except.contains { $0.contains(address) }
        case .workloads(let namespaces, let pods):
            func isMeant(_ workload: MeshWorkload) -> Bool {
                let isInNamespace =
                    namespaces?.matches(labels(ofNamespace: workload.name.namespace))
                    ?? (workload.name.namespace == policy.name.namespace)
                return isInNamespace && pods.matches(workload.labels)
            }
            if let workload = peer.workload { return isMeant(workload) }
            guard let address = peer.address, !address.isLoopback else { return false }
            let owners = workloads.values.filter { $0.addresses.contains(address) }
            // What is enrolled here is known by its cgroup, not by its address.
            return owners.allSatisfy(isMeant) && owners.contains { !$0.isLocal || $0.cgroup == nil }
        }
    }
}

extension NetworkPolicy {
    fileprivate func rules(_ direction: NetworkDecision.Direction) -> [Rule]? {
        direction == .ingress ? ingress : egress
    }
}

extension NetworkPolicy.Port {
    fileprivate func contains(_ port: UInt16, _ transport: TransportProtocol, of destination: MeshWorkload?) -> Bool {
        guard transport == self.transport else { return false }
        switch self.port {
        case nil: return true
        case .number(let first): return (first...max(first, endPort ?? first)).contains(port)
        case .name(let name):
            let named = destination.map { $0.namedPorts + $0.ports } ?? []
            return named.first { $0.name == name && $0.transport == transport }?.port == port
        }
    }
}
