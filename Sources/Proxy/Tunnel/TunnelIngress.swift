import Mesh

/// What NetworkPolicies say of connections that come in through tunnels. The kernel, which decides about all others, sees
/// the agent as the client of these.
struct TunnelIngress: Sendable {
    private struct Rule: Sendable {
        /// nil: whoever it is.
        var peers: [Peer]?
        /// Empty: every port.
        var ports: [ClosedRange<UInt16>]
    }

    private enum Peer: Sendable {
        /// Names of workloads.
        case workloads(Set<ObjectName>)
        case block(IPBlock, except: [IPBlock])
    }

    private struct Client: Sendable {
        var name: ObjectName
        /// The SPIFFE id without its scheme.
        var principal: [UInt8]
    }

    /// By the kernel's identifiers of the workloads that some policy selects; each rule allows.
    private let rules: [UInt64: [Rule]]
    private let clients: [IPAddress: [Client]]
    /// What the denial of a connection is called that none of a workload's policies allows, as the kernel calls it.
    let titles: [UInt64: [UInt8]]
    let denials: NetworkDenials

    /// - Parameter previous: whose counters go on.
    init(_ snapshot: MeshSnapshot, _ identifiers: RouteIdentifiers, previous: TunnelIngress? = nil) {
        var rules: [UInt64: [Rule]] = [:]
        var titles: [UInt64: [UInt8]] = [:]
        for workload in snapshot.workloads.values where workload.isLocal {
            let policies = snapshot.networkPolicies.values.filter {
                $0.ingress != nil && $0.name.namespace == workload.name.namespace
                    && $0.podSelector.matches(workload.labels)
            }
            guard !policies.isEmpty, let id = identifiers.workloads[workload.name] else { continue }
            rules[id] = policies.flatMap { policy in
                (policy.ingress ?? []).compactMap { Self.rule($0, of: policy, for: workload, snapshot) }
            }
            let names = policies.map(\.name.description).sorted().joined(separator: ",")
            titles[id] = Array("NetworkPolicy \(names) (no rule matched)".utf8)
        }
        self.rules = rules
        self.titles = titles
        denials = NetworkDenials(titles, previous: previous?.denials)
        var clients: [IPAddress: [Client]] = [:]
        for workload in snapshot.workloads.values where !workload.addresses.isEmpty {
            let principal = Array(workload.principal(trustDomain: snapshot.trustDomain).utf8)
            for address in workload.addresses {
                clients[address, default: []].append(Client(name: workload.name, principal: principal))
            }
        }
        self.clients = clients
    }

    /// nil: it allows nothing at any TCP port.
    private static func rule(
        _ rule: NetworkPolicy.Rule, of policy: NetworkPolicy, for workload: MeshWorkload, _ snapshot: MeshSnapshot
    ) -> Rule? {
        var ports: [ClosedRange<UInt16>] = []
        for port in rule.ports where port.transport == .tcp {
            switch port.port {
            case nil: ports.append(0...UInt16.max)
            case .number(let first): ports.append(first...max(first, port.endPort ?? first))
            case .name(let name):
                let named = (workload.namedPorts + workload.ports).filter { $0.name == name && $0.transport == .tcp }
                ports += named.map { $0.port...$0.port }
            }
        }
        guard !ports.isEmpty || rule.ports.isEmpty else { return nil }
        guard !rule.peers.isEmpty else { return Rule(peers: nil, ports: ports) }
        let peers = rule.peers.map { peer -> Peer in
            switch peer {
            case .block(let block, let except): return .block(block, except: except)
            case .workloads(let namespaces, let pods):
                let selected = snapshot.workloads.values.filter { workload in
                    let inNamespace =
                        namespaces?.matches(snapshot.labels(ofNamespace: workload.name.namespace))
                        ?? (workload.name.namespace == policy.name.namespace)
                    return inNamespace && pods.matches(workload.labels)
                }
                return .workloads(Set(selected.map(\.name)))
            }
        }
        return Rule(peers: peers, ports: ports)
    }

    /// Whether a workload with that identity has an address.
    func isWorkload(principal: RawSpan, at address: ClientAddress) -> Bool {
        (clients[IPAddress(address)] ?? []).contains {
            unsafe ByteText.equal(principal, $0.principal.span.bytes)
        }
    }

    /// Whether a client may connect to a port of a workload.
    ///
    /// A client is the workload at its address that has the identity which its agent has proved; an address alone proves
    /// nothing but itself.
    func allows(principal: RawSpan, address: ClientAddress, workload: UInt64, port: UInt16) -> Bool {
        guard let rules = rules[workload] else { return true }
        let address = IPAddress(address)
        var names: Set<ObjectName> = []
        for client in clients[address] ?? [] where unsafe ByteText.equal(principal, client.principal.span.bytes) {
            names.insert(client.name)
        }
        return rules.contains { rule in
            guard rule.ports.isEmpty || rule.ports.contains(where: { $0.contains(port) }) else { return false }
            guard let peers = rule.peers else { return true }
            return peers.contains { peer in
                switch peer {
                case .workloads(let allowed): !allowed.isDisjoint(with: names)
                case .block(let block, let except):
                    block.contains(address) && !except.contains { $0.contains(address) }
                }
            }
        }
    }
}

extension IPAddress {
    fileprivate init(_ address: ClientAddress) {
        self.init(high: address.high.bigEndian, low: address.low.bigEndian)
    }
}
