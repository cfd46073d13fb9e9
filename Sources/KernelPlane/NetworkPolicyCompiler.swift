import Mesh
import WeftABI

/// Turns the NetworkPolicies of a snapshot into policy groups: for each direction one for each different set that applies
/// to some workload.
///
/// Peers that are workloads are told apart by what the policies' selectors can tell of them (`peer(of:)`), so that a
/// workload that comes is one entry, and no group changes. A peer that comes without an identity, because it is on another
/// node, is known by its address.
struct NetworkPolicyCompiler {
    private(set) var groups: [UInt64: CompiledPolicy] = [:]
    /// Policies that the kernel cannot hold, with the reason.
    private(set) var failures: [ObjectName: String] = [:]

    private let policies: [NetworkPolicy]
    private let workloads: [MeshWorkload]
    private let namespaceLabels: [String: [String: String]]
    /// Those of all policies.
    private let selectors: [Selector]
    private let egressPortNames: [PortName]
    /// By workload: what `peer(of:)` says of it.
    private var peers: [ObjectName: Peer] = [:]
    private let addressOwners: [IPAddress: [ObjectName]]
    private var groupOfSet: [GroupKey: UInt64] = [:]

    enum Direction: String, Hashable { case ingress, egress }

    struct Selector: Hashable {
        var policyNamespace: String
        var namespaces: LabelSelector?
        var pods: LabelSelector
    }

    struct PortName: Hashable, Comparable {
        var transport: TransportProtocol
        var name: String

        static func < (a: Self, b: Self) -> Bool { (a.transport.rawValue, a.name) < (b.transport.rawValue, b.name) }
    }

    /// What policies can tell of a workload.
    struct Peer: Hashable {
        var selectors: Set<Selector>
        var ports: [PortName: UInt16]
        var id: UInt64
    }

    private struct GroupKey: Hashable {
        var direction: Direction
        var policies: [ObjectName]
        var ports: [PortName: UInt16]
    }

    init(_ snapshot: MeshSnapshot) {
        policies = snapshot.networkPolicies.values.sorted { $0.name < $1.name }
        guard !policies.isEmpty else {
            (workloads, namespaceLabels, selectors, egressPortNames, addressOwners) = ([], [:], [], [], [:])
            return
        }
        workloads = snapshot.workloads.values.sorted { $0.name < $1.name }
        var labels = snapshot.namespaceLabels
        for namespace in Set(workloads.map(\.name.namespace)) {
            // The label that every namespace has (Kubernetes 1.22).
            labels[namespace, default: [:]]["kubernetes.io/metadata.name"] = namespace
        }
        namespaceLabels = labels
        var selectors: Set<Selector> = []
        var names: Set<PortName> = []
        for policy in policies {
            for rule in (policy.ingress ?? []) + (policy.egress ?? []) {
                for case .workloads(let namespaces, let pods) in rule.peers {
                    selectors.insert(
                        Selector(policyNamespace: policy.name.namespace, namespaces: namespaces, pods: pods))
                }
            }
            for port in (policy.egress ?? []).flatMap(\.ports) { if let name = port.portName { names.insert(name) } }
        }
        self.selectors = Array(selectors)
        egressPortNames = names.sorted()
        var owners: [IPAddress: [ObjectName]] = [:]
        for workload in workloads {
            for address in Set(workload.addresses) { owners[address, default: []].append(workload.name) }
        }
        addressOwners = owners
        for workload in workloads { peers[workload.name] = makePeer(workload) }
    }

    /// Identifies what policies can tell of a workload; 0 if there are none.
    func peer(of workload: MeshWorkload) -> UInt64 { peers[workload.name]?.id ?? 0 }

    /// The group that guards connections to `workload`, or those that it opens; 0 if no policy applies.
    mutating func group(_ direction: Direction, of workload: MeshWorkload) -> UInt64 {
        let applicable = policies.filter { policy in
            policy.name.namespace == workload.name.namespace && policy.rules(direction) != nil
                && policy.podSelector.matches(workload.labels)
        }
        guard !applicable.isEmpty else { return 0 }
        var ports: [PortName: UInt16] = [:]
        if direction == .ingress {
            for name in applicable.flatMap({ $0.ingress ?? [] }).flatMap(\.ports).compactMap(\.portName) {
                ports[name] = workload.port(name)
            }
        }
        let key = GroupKey(direction: direction, policies: applicable.map(\.name), ports: ports)
        if let known = groupOfSet[key] { return known }
        let group = compile(direction, applicable, ports)
        groups[group.id] = group
        groupOfSet[key] = group.id
        return group.id
    }

    private mutating func compile(
        _ direction: Direction, _ applicable: [NetworkPolicy], _ ports: [PortName: UInt16]
    ) -> CompiledPolicy {
        var clauses: [NetworkClause] = []
        for policy in applicable {
            for rule in policy.rules(direction) ?? [] { clauses += self.clauses(of: rule, policy, direction, ports) }
        }
        let names = applicable.map(\.name.description).joined(separator: ",")
        if clauses.count > Int(WEFT_POLICY_CLAUSES) {
            // Fail closed: a group that cannot be held denies everything, and its policies say so.
            let reason =
                "the policies \(names) have \(clauses.count) clauses for one workload and the kernel holds"
                + " \(WEFT_POLICY_CLAUSES): its \(direction.rawValue) is denied until there are fewer rules"
            for policy in applicable { failures[policy.name] = reason }
            clauses = []
        }
        return CompiledPolicy(
            network: clauses, direction: direction, policies: names, peers: Set(peers.values.map(\.id)))
    }

    // MARK: Rules

    /// A rule is `any(peers) AND any(ports)`: one clause for each kind of peer.
    private func clauses(
        of rule: NetworkPolicy.Rule, _ policy: NetworkPolicy, _ direction: Direction, _ ports: [PortName: UInt16]
    ) -> [NetworkClause] {
        let name = "NetworkPolicy \(policy.name)"
        var chosen: Set<Selector> = []
        var blocks: [NetworkClause.Block] = []
        for peer in rule.peers {
            switch peer {
            case .workloads(let namespaces, let pods):
                chosen.insert(Selector(policyNamespace: policy.name.namespace, namespaces: namespaces, pods: pods))
            case .block(let block, let except): blocks.append(.init(block: block, except: except))
            }
        }

        var result: [NetworkClause] = []
        // Ports by number hold for every kind of peer. A rule whose ports have no number here matches nothing by them.
        var numbered: [PortRange] = []
        for port in rule.ports {
            if let name = port.portName {
                if direction == .ingress, let number = ports[name] {
                    numbered.append(PortRange(transport: name.transport, ports: number...number))
                }
            } else if let range = port.range {
                numbered.append(range)
            }
        }
        if rule.ports.isEmpty || !numbered.isEmpty {
            let ranges = rule.ports.isEmpty ? nil : numbered
            if rule.peers.isEmpty { result.append(NetworkClause(rule: name, identity: .any, ports: ranges)) }
            if !blocks.isEmpty {
                result.append(NetworkClause(rule: name, identity: .any, blocks: blocks, ports: ranges))
            }
            if !chosen.isEmpty {
                let meant = Set(peers.values.filter { !$0.selectors.isDisjoint(with: chosen) })
                let ids = Set(meant.map(\.id))
                result += [
                    NetworkClause(rule: name, identity: .known(ids, content(of: chosen)), ports: ranges),
                    NetworkClause(rule: name, identity: .unknown, blocks: places(of: meant), ports: ranges),
                ]
            }
        }
        guard direction == .egress else { return result }
        // A port's name has the number that it has at the destination.
        for portName in Set(rule.ports.compactMap(\.portName)).sorted() {
            for number in Set(peers.values.compactMap { $0.ports[portName] }).sorted() {
                let ranges = [PortRange(transport: portName.transport, ports: number...number)]
                let having = peers.values.filter { $0.ports[portName] == number }
                let meant = having.filter { rule.peers.isEmpty || !$0.selectors.isDisjoint(with: chosen) }
                if rule.peers.isEmpty || !chosen.isEmpty {
                    let choice = "\(portName.name) \(content(of: chosen))"
                    result.append(
                        NetworkClause(rule: name, identity: .known(Set(meant.map(\.id)), choice), ports: ranges))
                }
                if !blocks.isEmpty {
                    result.append(
                        NetworkClause(
                            rule: name, identity: .known(Set(having.map(\.id)), portName.name), blocks: blocks,
                            ports: ranges))
                }
            }
        }
        return result
    }

    /// The addresses by which these workloads are known where their identity is not.
    private func places(of meant: Set<Peer>) -> [NetworkClause.Block] {
        func contains(_ name: ObjectName) -> Bool { peers[name].map(meant.contains) ?? false }
        // What is enrolled here is known by its cgroup. An address that others have too says nothing of whose it is.
        return workloads.filter { contains($0.name) && (!$0.isLocal || $0.cgroup == nil) }.flatMap(\.addresses)
            .filter { !$0.isLoopback && (addressOwners[$0] ?? []).allSatisfy(contains) }
            .map { .init(block: IPBlock(address: $0, prefixLength: 128), except: []) }
    }

    private func content(of selectors: Set<Selector>) -> String {
        selectors.map(\.content).sorted().joined(separator: ",")
    }

    // MARK: Workloads

    private func matches(_ selector: Selector, _ workload: MeshWorkload) -> Bool {
        let namespace = workload.name.namespace
        let isInNamespace =
            selector.namespaces.map { $0.matches(namespaceLabels[namespace] ?? [:]) }
            ?? (namespace == selector.policyNamespace)
        return isInNamespace && selector.pods.matches(workload.labels)
    }

    private func makePeer(_ workload: MeshWorkload) -> Peer {
        let matching = Set(selectors.filter { matches($0, workload) })
        var ports: [PortName: UInt16] = [:]
        for name in egressPortNames { ports[name] = workload.port(name) }
        var hash = ContentHash()
        for text in matching.map(\.content).sorted() { hash.add(text) }
        hash.add("ports")
        for (name, port) in ports.sorted(by: { $0.key < $1.key }) { hash.add("\(name)=\(port)") }
        return Peer(selectors: matching, ports: ports, id: hash.value == 0 ? 1 : hash.value)
    }
}

extension NetworkPolicyCompiler.Selector {
    /// The same for equal selectors, in every run.
    fileprivate var content: String {
        func text(_ selector: LabelSelector) -> String {
            let labels = selector.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            return "\(labels)\(selector.requirements)"
        }
        return "\(namespaces == nil ? policyNamespace : "")|\(namespaces.map(text) ?? "")|\(text(pods))"
    }
}

extension NetworkPolicy {
    fileprivate func rules(_ direction: NetworkPolicyCompiler.Direction) -> [Rule]? {
        direction == .ingress ? ingress : egress
    }
}

extension NetworkPolicy.Port {
    fileprivate var portName: NetworkPolicyCompiler.PortName? {
        guard case .name(let name)? = port else { return nil }
        return .init(transport: transport, name: name)
    }

    /// nil for a port that is given by name.
    fileprivate var range: PortRange? {
        switch port {
        case .name: nil
        case nil: PortRange(transport: transport, ports: 0...UInt16.max)
        case .number(let first): PortRange(transport: transport, ports: first...max(first, endPort ?? first))
        }
    }
}

extension MeshWorkload {
    fileprivate func port(_ name: NetworkPolicyCompiler.PortName) -> UInt16? {
        (namedPorts + ports).first { $0.name == name.name && $0.transport == name.transport }?.port
    }
}
