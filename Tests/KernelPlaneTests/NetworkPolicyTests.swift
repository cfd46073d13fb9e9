import Mesh
import Testing
import WeftABI

@testable import KernelPlane

/// Compiled NetworkPolicies decide as Kubernetes' rules say: bitmaps and the kernel's own decision function against a
/// reading of the policies one by one.
struct NetworkPolicyTests {
    /// One end of a connection.
    private struct End {
        /// nil: nobody that is known.
        var workload: MeshWorkload?
        var address: IPAddress
    }

    private static let transports: [TransportProtocol] = [.tcp, .udp]

    // MARK: The policies, read one by one

    private static func selects(
        _ peers: [NetworkPolicy.Peer], _ end: End, of policy: NetworkPolicy, in mesh: MeshSnapshot
    ) -> Bool {
        func isMeant(_ workload: MeshWorkload) -> Bool {
            var labels = mesh.namespaceLabels[workload.name.namespace] ?? [:]
            labels["kubernetes.io/metadata.name"] = workload.name.namespace
            return peers.contains { peer in
                guard case .workloads(let namespaces, let pods) = peer else { return false }
                return pods.matches(workload.labels)
                    && (namespaces?.matches(labels) ?? (workload.name.namespace == policy.name.namespace))
            }
        }
        let isInBlock = peers.contains { peer in
            guard case .block(let block, let except) = peer else { return false }
            return block.contains(end.address) && !except.contains { $0.contains(end.address) }
        }
        if isInBlock { return true }
        if let workload = end.workload { return isMeant(workload) }
        // Somebody without an identity is whoever the address belongs to, if all of those are meant.
        let owners = mesh.workloads.values.filter { $0.addresses.contains(end.address) }
        return !owners.isEmpty && owners.allSatisfy(isMeant) && owners.contains { !$0.isLocal || $0.cgroup == nil }
    }

    private static func allows(
        _ port: NetworkPolicy.Port, _ number: UInt16, _ transport: TransportProtocol, at destination: End
    ) -> Bool {
        guard port.transport == transport else { return false }
        switch port.port {
        case nil: return true
        case .number(let first): return (first...max(first, port.endPort ?? first)).contains(number)
        case .name(let name):
            return destination.workload?.ports.contains {
                $0.name == name && $0.transport == transport && $0.port == number
            } ?? false
        }
    }

    private static func isAllowed(
        _ policies: [NetworkPolicy], _ rules: (NetworkPolicy) -> [NetworkPolicy.Rule]?, subject: MeshWorkload,
        peer: End, destination: End, port: UInt16, transport: TransportProtocol, in mesh: MeshSnapshot
    ) -> Bool {
        let applicable = policies.filter {
            $0.name.namespace == subject.name.namespace && $0.podSelector.matches(subject.labels) && rules($0) != nil
        }
        return applicable.isEmpty
            || applicable.contains { policy in
                (rules(policy) ?? []).contains { rule in
                    (rule.peers.isEmpty || selects(rule.peers, peer, of: policy, in: mesh))
                        && (rule.ports.isEmpty || rule.ports.contains { allows($0, port, transport, at: destination) })
                }
            }
    }

    // MARK: The bitmaps, looked up as the programs do

    private static func isAllowed(
        _ group: UInt64, in groups: [UInt64: CompiledPolicy], peer: UInt64?, address: IPAddress, port: UInt16,
        transport: TransportProtocol
    ) throws -> Bool {
        guard group != 0 else { return true }
        let compiled = try #require(groups[group])
        var header = compiled.header
        func asks(_ flag: weft_policy_flags) -> Bool { header.flags & flag.rawValue != 0 }
        var facts = weft_policy_facts()
        facts.identity = header.identity_unknown
        if asks(WEFT_POLICY_BY_IDENTITY), let peer {
            facts.identity =
                compiled.identities.first { $0.key.identity == peer }?.value ?? header.identity_default
        }
        facts.port = header.port_default
        if asks(WEFT_POLICY_BY_PORT) {
            let covering = compiled.ranges.filter { entry in
                let length = entry.key.prefix_length - UInt32(WEFT_POLICY_RANGE_BASE)
                return entry.key.protocol == transport.number
                    && (UInt16(bigEndian: entry.key.port) ^ port) & ~UInt16(truncatingIfNeeded: 0xffff >> length) == 0
            }
            facts.port = covering.max { $0.key.prefix_length < $1.key.prefix_length }?.value ?? header.port_default
        }
        facts.address = header.address_default
        if asks(WEFT_POLICY_BY_ADDRESS) {
            let covering = compiled.prefixes.filter { entry in
                let words = entry.key.address
                let prefix = IPAddress(
                    high: UInt64(words.0) | UInt64(words.1) << 32, low: UInt64(words.2) | UInt64(words.3) << 32)
                let length = UInt8(entry.key.prefix_length - UInt32(WEFT_POLICY_PREFIX_BASE))
                return address.masked(to: length) == prefix.masked(to: length)
            }
            facts.address =
                covering.max { $0.key.prefix_length < $1.key.prefix_length }?.value ?? header.address_default
        }
        var decision = weft_decision()
        unsafe weft_policy_decide(&header, &facts, &decision)
        return decision.verdict == WEFT_VERDICT_ALLOW.rawValue
    }

    // MARK: Random meshes

    private static func block(_ text: String, _ length: UInt8) -> IPBlock {
        IPBlock(address: IPAddress(text) ?? IPAddress(high: 0, low: 0), prefixLength: length)
    }

    private static func workloads() -> [MeshWorkload] {
        (0..<8).map { index in
            var workload = MeshWorkload(
                name: ObjectName(namespace: ["shop", "pay"].randomElement() ?? "shop", name: "w\(index)"),
                serviceAccount: "default", labels: ["app": ["web", "api"].randomElement() ?? "web"],
                addresses: [IPAddress(v4: 10, 1, UInt8(index / 2), UInt8.random(in: 1...2))], isLocal: Bool.random())
            if Bool.random() { workload.labels["tier"] = "front" }
            if workload.isLocal && Bool.random() { workload.cgroup = "/\(index)" }
            if Bool.random() { workload.addresses.append(IPAddress("fd00::\(index + 1)") ?? workload.addresses[0]) }
            workload.ports = [
                MeshWorkloadPort(name: "http", port: [80, 8080].randomElement() ?? 80, transport: .tcp),
                MeshWorkloadPort(name: "dns", port: 53, transport: .udp),
            ]
            return workload
        }
    }

    private static func selector() -> LabelSelector {
        [
            LabelSelector(), LabelSelector(labels: ["app": "web"]), LabelSelector(labels: ["tier": "front"]),
            LabelSelector(requirements: [.notIn(key: "app", values: ["web"])]),
            LabelSelector(requirements: [.exists(key: "tier")]),
        ].randomElement() ?? LabelSelector()
    }

    private static func rule() -> NetworkPolicy.Rule {
        let namespaces = [
            nil, LabelSelector(), LabelSelector(labels: ["kubernetes.io/metadata.name": "pay"]),
            LabelSelector(labels: ["team": "a"]),
        ]
        let blocks = [
            (block("10.0.0.0", 104), [block("10.1.1.0", 120)]), (block("10.1.0.0", 120), []), (block("::", 0), []),
            (block("0.0.0.0", 96), [block("10.1.0.1", 128)]), (block("fd00::", 64), [block("fd00::2", 128)]),
        ]
        let peers = (0..<Int.random(in: 0...3)).map { _ -> NetworkPolicy.Peer in
            if Bool.random() { return .workloads(namespaces: namespaces.randomElement() ?? nil, pods: selector()) }
            let chosen = blocks.randomElement() ?? blocks[0]
            return .block(chosen.0, except: chosen.1)
        }
        let ports = [
            NetworkPolicy.Port(transport: .tcp), NetworkPolicy.Port(transport: .udp, port: .number(53)),
            NetworkPolicy.Port(transport: .tcp, port: .number(80)),
            NetworkPolicy.Port(transport: .tcp, port: .number(79), endPort: 9000),
            NetworkPolicy.Port(transport: .tcp, port: .name("http")),
            NetworkPolicy.Port(transport: .udp, port: .name("dns")),
            NetworkPolicy.Port(transport: .udp, port: .name("http")),
        ]
        return NetworkPolicy.Rule(peers: peers, ports: Array(ports.shuffled().prefix(Int.random(in: 0...2))))
    }

    @Test func decideAsTheRulesSayOnRandomMeshes() throws {
        var checked = 0
        var denied = 0
        for _ in 0..<150 {
            let policies = (0..<Int.random(in: 1...3)).map { index in
                NetworkPolicy(
                    name: ObjectName(namespace: ["shop", "pay"].randomElement() ?? "shop", name: "p\(index)"),
                    podSelector: Self.selector(),
                    ingress: Bool.random() ? (0..<Int.random(in: 0...3)).map { _ in Self.rule() } : nil,
                    egress: Bool.random() ? (0..<Int.random(in: 0...3)).map { _ in Self.rule() } : nil)
            }
            let workloads = Self.workloads()
            var mesh = MeshSnapshot(workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) }))
            mesh.networkPolicies = Dictionary(policies.map { ($0.name, $0) }) { first, _ in first }
            mesh.namespaceLabels = ["shop": ["team": "a"]]
            let all = Array(mesh.networkPolicies.values)
            var compiler = NetworkPolicyCompiler(mesh)
            let groups = workloads.map { (compiler.group(.ingress, of: $0), compiler.group(.egress, of: $0)) }

            let strangers =
                try workloads.flatMap(\.addresses)
                + ["10.9.9.9", "192.0.2.1", "fd00::99"].map {
                    try #require(IPAddress($0))
                }
            let ends =
                workloads.flatMap { workload in workload.addresses.map { End(workload: workload, address: $0) } }
                + strangers.map { End(workload: nil, address: $0) }
            for (subject, group) in zip(workloads, groups) {
                let own = End(workload: subject, address: subject.addresses[0])
                for peer in ends where peer.workload != subject {
                    for (port, transport) in [(80, .tcp), (8080, .tcp), (53, .udp), (9001, .tcp), (80, .udp)]
                        as [(UInt16, TransportProtocol)]
                    {
                        let id = peer.workload.map { compiler.peer(of: $0) }
                        for (rules, group, destination) in [
                            ({ $0.ingress }, group.0, own), ({ $0.egress }, group.1, peer),
                        ] as [((NetworkPolicy) -> [NetworkPolicy.Rule]?, UInt64, End)] {
                            let expected = Self.isAllowed(
                                all, rules, subject: subject, peer: peer, destination: destination, port: port,
                                transport: transport, in: mesh)
                            let found = try Self.isAllowed(
                                group, in: compiler.groups, peer: id, address: peer.address, port: port,
                                transport: transport)
                            #expect(found == expected, "\(policies) \(subject) \(peer) \(port) \(transport)")
                            checked += 1
                            if !expected { denied += 1 }
                        }
                    }
                }
            }
        }
        #expect(checked > 50_000)
        #expect(denied > 5_000 && denied < checked - 5_000)
    }

    // MARK: Golden

    private let web = MeshWorkload(
        name: ObjectName(namespace: "shop", name: "web"), serviceAccount: "web", labels: ["app": "web"])

    private func mesh(_ workloads: [MeshWorkload], _ policies: [NetworkPolicy]) -> MeshSnapshot {
        var mesh = MeshSnapshot(workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) }))
        mesh.networkPolicies = Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) })
        return mesh
    }

    @Test func rulesAreNamedAfterTheirPolicies() throws {
        let deny = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "deny"), podSelector: LabelSelector(), ingress: [])
        let some = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "some"), podSelector: LabelSelector(),
            ingress: [.init(peers: [.workloads(namespaces: nil, pods: LabelSelector())])])
        let compiled = CompiledMaps(mesh([web], [deny, some]))
        let workload = try #require(compiled.workloads[web.name])
        #expect(workload.value.egress == 0 && workload.value.policy == 0 && workload.value.peer != 0)
        let names = try #require(compiled.policies[workload.value.ingress]).names.map(\.text)
        #expect(
            Set(names) == [
                "NetworkPolicy ingress shop/deny,shop/some", "NetworkPolicy shop/deny,shop/some (no rule matched)",
                "NetworkPolicy shop/some",
            ])
    }

    /// What comes and goes beside a group leaves it what it is, so that nothing is programmed anew.
    @Test func workloadsThatComeLeaveGroupsAlone() throws {
        let policy = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "some"), podSelector: LabelSelector(labels: ["app": "web"]),
            ingress: [.init(peers: [.workloads(namespaces: nil, pods: LabelSelector(labels: ["app": "api"]))])])
        let before = CompiledMaps(mesh([web], [policy]))
        let api = MeshWorkload(
            name: ObjectName(namespace: "shop", name: "api"), serviceAccount: "api", labels: ["app": "api"],
            addresses: [IPAddress(v4: 10, 0, 0, 7)], isLocal: false)
        let after = CompiledMaps(mesh([web, api], [policy]))
        #expect(before.policies.keys == after.policies.keys)
        let group = try #require(after.policies.values.first)
        #expect(group.identities.count == 1 && group.prefixes.count == 1)
        #expect(before.policies.values.first?.identities.isEmpty == true)
    }

    @Test func portRangesAreTheFewestPrefixes() {
        func texts(_ ports: ClosedRange<UInt16>) -> [String] {
            PortRange(transport: .tcp, ports: ports).prefixes.map { "\($0.ports)/\($0.length)" }
        }
        #expect(texts(0...65535) == ["0...65535/0"])
        #expect(texts(80...80) == ["80...80/16"])
        #expect(texts(1...4) == ["1...1/16", "2...3/15", "4...4/16"])
        #expect(texts(65535...65535) == ["65535...65535/16"])
        for _ in 0..<200 {
            let first = UInt16.random(in: 0...65535)
            let range = first...UInt16.random(in: first...65535)
            let prefixes = PortRange(transport: .tcp, ports: range).prefixes
            #expect(prefixes.flatMap { Array($0.ports) } == Array(range))
            #expect(prefixes.count <= 30)
        }
    }

    @Test func moreClausesThanTheKernelHoldsDenyEverythingAndSaySo() throws {
        let rules = (0...UInt16(WEFT_POLICY_CLAUSES)).map {
            NetworkPolicy.Rule(ports: [.init(transport: .tcp, port: .number($0 + 1))])
        }
        let policy = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "huge"), podSelector: LabelSelector(), ingress: rules)
        let compiled = CompiledMaps(mesh([web], [policy]))
        #expect(compiled.networkFailures[policy.name]?.contains("257 clauses") == true)
        let group = try #require(compiled.workloads[web.name]?.value.ingress)
        #expect(
            try !Self.isAllowed(
                group, in: compiled.policies, peer: nil, address: IPAddress(v4: 10, 0, 0, 1), port: 1, transport: .tcp))
    }
}
