import Mesh
import Testing
import WeftABI

@testable import KernelPlane

/// Compiled policies decide as Istio's rules say: bitmaps and the kernel's own decision function against a reading of the
/// rules one by one.
struct PolicyCompilerTests {
    struct Connection {
        var principal: String?
        var namespace: String?
        var address: IPAddress
        var port: UInt16
    }

    static let namespaces = ["shop", "pay", "ops"]
    static let accounts = ["web", "api", "job"]
    static let ports: [UInt16] = [80, 443, 8080]

    private static func workload(_ namespace: String, _ account: String) -> MeshWorkload {
        MeshWorkload(name: ObjectName(namespace: namespace, name: account), serviceAccount: account)
    }

    private static func block(_ text: String, _ length: UInt8) -> IPBlock {
        IPBlock(address: IPAddress(text) ?? IPAddress(high: 0, low: 0), prefixLength: length + 96)
    }

    // MARK: The rules, read one by one

    private static func matches(_ source: AuthorizationPolicy.Source, _ connection: Connection) -> Bool {
        func any(_ values: [StringMatch], _ value: String?) -> Bool {
            value.map { value in values.contains { $0.matches(value) } } ?? false
        }
        return (source.principals.isEmpty || any(source.principals, connection.principal))
            && !any(source.notPrincipals, connection.principal)
            && (source.namespaces.isEmpty || any(source.namespaces, connection.namespace))
            && !any(source.notNamespaces, connection.namespace)
            && (source.ipBlocks.isEmpty || source.ipBlocks.contains { $0.contains(connection.address) })
            && !source.notIPBlocks.contains { $0.contains(connection.address) }
    }

    /// What a connection matches of a rule, and whether that says something of requests, for each way in which it matches.
    private static func matches(_ rule: AuthorizationPolicy.Rule, _ connection: Connection) -> [Bool] {
        let sources = rule.sources.isEmpty ? [AuthorizationPolicy.Source()] : rule.sources
        let operations = rule.operations.isEmpty ? [AuthorizationPolicy.Operation()] : rule.operations
        return sources.filter { matches($0, connection) }.flatMap { source in
            operations.filter { operation in
                (operation.ports.isEmpty || operation.ports.contains(connection.port))
                    && !operation.notPorts.contains(connection.port)
            }.map { operation in
                source.concernsRequests || operation.concernsRequests
                    || rule.conditions.contains(where: \.concernsRequests)
            }
        }
    }

    /// - Parameter isRead: whether requests are read at the connection's port.
    private static func isDenied(
        _ policies: [AuthorizationPolicy], _ connection: Connection, isRead: Bool
    ) -> Bool {
        let enforced = policies.filter { !$0.isShadow }
        /// Whether a rule of that action matches: by what a connection has, or by what requests have.
        func hit(_ action: AuthorizationPolicy.Action, requests: Bool) -> Bool {
            enforced.contains { policy in
                policy.action == action && policy.rules.contains { matches($0, connection).contains(requests) }
            }
        }
        if hit(.deny, requests: false) { return true }
        // What the proxy cannot ask of requests that nobody reads counts as if it matched.
        if !isRead && (hit(.deny, requests: true) || hit(.custom, requests: true) || hit(.custom, requests: false)) {
            return true
        }
        guard enforced.contains(where: { $0.action == .allow }) else { return false }
        // Where requests are read, the proxy says the rest.
        return !hit(.allow, requests: false) && !(isRead && hit(.allow, requests: true))
    }

    // MARK: The bitmaps, looked up as the programs do

    private static func decide(_ group: CompiledPolicy, _ connection: Connection) -> weft_decision {
        var facts = weft_policy_facts()
        facts.identity = group.header.identity_unknown
        if let principal = connection.principal {
            let id = Identifier.identity("spiffe://\(principal)")
            facts.identity =
                group.identities.first { $0.key.identity == id }?.value ?? group.header.identity_default
        }
        facts.port =
            group.ports.first { UInt16(bigEndian: $0.key.port) == connection.port }?.value ?? group.header.port_default
        let covering = group.prefixes.filter { entry in
            let words = entry.key.address
            let address = IPAddress(
                high: UInt64(words.0) | UInt64(words.1) << 32, low: UInt64(words.2) | UInt64(words.3) << 32)
            let length = UInt8(entry.key.prefix_length - UInt32(WEFT_POLICY_PREFIX_BASE))
            return IPBlock(address: address, prefixLength: length).contains(connection.address)
        }
        facts.address =
            covering.max { $0.key.prefix_length < $1.key.prefix_length }?.value ?? group.header.address_default
        var decision = weft_decision()
        var header = group.header
        unsafe weft_policy_decide(&header, &facts, &decision)
        return decision
    }

    @Test func decidesAsTheRulesSayOnRandomPolicies() throws {
        var random = SystemRandomNumberGenerator()
        func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
        let matchers: [StringMatch] = [
            .exact("cluster.local/ns/shop/sa/web"), .prefix("cluster.local/ns/pay/"), .suffix("/sa/job"), .present,
        ]
        let blocks = [
            Self.block("10.0.0.0", 8), Self.block("10.1.0.0", 16), Self.block("10.1.2.3", 32), Self.block("0.0.0.0", 0),
        ]
        var checked = 0
        for _ in 0..<400 {
            var policies: [ObjectName: AuthorizationPolicy] = [:]
            for index in 0..<Int.random(in: 1...3, using: &random) {
                let rules = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                    let sources = (0..<Int.random(in: 0...2, using: &random)).map { _ in
                        var source = AuthorizationPolicy.Source()
                        if chance(40) { source.principals = [matchers.randomElement(using: &random) ?? .present] }
                        if chance(20) { source.notPrincipals = [matchers.randomElement(using: &random) ?? .present] }
                        if chance(30) { source.namespaces = [.exact(Self.namespaces.randomElement() ?? "")] }
                        if chance(20) { source.notNamespaces = [.exact(Self.namespaces.randomElement() ?? "")] }
                        if chance(40) { source.ipBlocks = Array(blocks.shuffled().prefix(2)) }
                        if chance(20) { source.notIPBlocks = Array(blocks.dropLast().shuffled().prefix(1)) }
                        if chance(15) { source.requestPrincipals = [.present] }
                        if chance(10) { source.notRemoteIPBlocks = Array(blocks.prefix(1)) }
                        return source
                    }
                    let operations = (0..<Int.random(in: 0...2, using: &random)).map { _ in
                        var operation = AuthorizationPolicy.Operation()
                        if chance(60) { operation.ports = [Self.ports.randomElement() ?? 80] }
                        if chance(20) { operation.notPorts = [Self.ports.randomElement() ?? 80] }
                        if chance(20) { operation.methods = [.exact("GET")] }
                        if chance(10) { operation.notPaths = [.text(.prefix("/admin"))] }
                        return operation
                    }
                    let header = AuthorizationPolicy.Condition.requestHeader(
                        name: "x", values: [.present], notValues: [])
                    return AuthorizationPolicy.Rule(
                        sources: sources, operations: operations, conditions: chance(10) ? [header] : [])
                }
                let actions: [AuthorizationPolicy.Action] = [.allow, .allow, .deny, .deny, .custom, .audit]
                let name = ObjectName(namespace: "shop", name: "p\(index)")
                policies[name] = AuthorizationPolicy(
                    name: name, action: actions.randomElement() ?? .allow, isShadow: chance(15), rules: rules)
            }
            var target = Self.workload("shop", "target")
            target.requestPorts = Set(Self.ports.filter { _ in chance(50) })
            var workloads = [target.name: target]
            for namespace in Self.namespaces {
                for account in Self.accounts {
                    let source = Self.workload(namespace, account)
                    workloads[source.name] = source
                }
            }
            var compiler = PolicyCompiler(MeshSnapshot(workloads: workloads, policies: policies))
            let compiled = compiler.compiled(for: target)
            let group = try #require(compiled)

            for source in [nil] + Array(workloads.values) {
                for address in ["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.168.1.1"] {
                    for port in Self.ports {
                        let connection = Connection(
                            principal: source.map { String($0.spiffeID(trustDomain: "cluster.local").dropFirst(9)) },
                            namespace: source?.name.namespace, address: try #require(IPAddress(address)), port: port)
                        let decision = Self.decide(group, connection)
                        #expect(
                            (decision.verdict == WEFT_VERDICT_DENY.rawValue)
                                == Self.isDenied(
                                    Array(policies.values), connection, isRead: target.requestPorts.contains(port)),
                            "\(policies) \(connection) \(target.requestPorts)")
                        checked += 1
                    }
                }
            }
        }
        #expect(checked > 10_000)
    }

    /// The same policies mean something else where requests are read at another port.
    @Test func groupsDifferByWhereRequestsAreRead() throws {
        var (a, b, c) = (Self.workload("shop", "a"), Self.workload("shop", "b"), Self.workload("shop", "c"))
        (a.requestPorts, b.requestPorts, c.requestPorts) = ([80], [443], [80])
        var operation = AuthorizationPolicy.Operation()
        operation.methods = [.exact("GET")]
        let name = ObjectName(namespace: "shop", name: "p")
        let workloads = Dictionary(uniqueKeysWithValues: [a, b, c].map { ($0.name, $0) })
        var policy = AuthorizationPolicy(name: name, rules: [.init(operations: [operation])])
        var compiler = PolicyCompiler(MeshSnapshot(workloads: workloads, policies: [name: policy]))
        #expect(compiler.group(for: a) == compiler.group(for: c))
        #expect(compiler.group(for: a) != compiler.group(for: b))

        policy.rules = []
        compiler = PolicyCompiler(MeshSnapshot(workloads: workloads, policies: [name: policy]))
        #expect(compiler.group(for: a) == compiler.group(for: b))
    }

    @Test func allowWithoutRulesDeniesAllAndDenyWithoutRulesNothing() {
        let target = Self.workload("shop", "web")
        let connection = Connection(address: IPAddress("10.0.0.1") ?? IPAddress(high: 0, low: 0), port: 80)
        for (action, denied) in [(AuthorizationPolicy.Action.allow, true), (.deny, false)] {
            let policy = AuthorizationPolicy(name: ObjectName(namespace: "shop", name: "p"), action: action)
            var compiler = PolicyCompiler(
                MeshSnapshot(workloads: [target.name: target], policies: [policy.name: policy]))
            let group = compiler.compiled(for: target)
            let decision = group.map { Self.decide($0, connection) }
            #expect((decision?.verdict == WEFT_VERDICT_DENY.rawValue) == denied)
        }
    }

    /// While the source's address is unknown a DENY by address holds, and an ALLOW by address does not.
    @Test func unknownAddressFailsClosed() throws {
        let target = Self.workload("shop", "web")
        var source = AuthorizationPolicy.Source()
        source.ipBlocks = [Self.block("10.0.0.0", 8)]
        for action in [AuthorizationPolicy.Action.allow, .deny] {
            let policy = AuthorizationPolicy(
                name: ObjectName(namespace: "shop", name: "p"), action: action, rules: [.init(sources: [source])])
            var compiler = PolicyCompiler(
                MeshSnapshot(workloads: [target.name: target], policies: [policy.name: policy]))
            let compiled = compiler.compiled(for: target)
            var group = try #require(compiled)
            var facts = weft_policy_facts()
            facts.identity = group.header.identity_unknown
            facts.port = group.header.port_default
            facts.address = group.header.address_unknown
            var decision = weft_decision()
            unsafe weft_policy_decide(&group.header, &facts, &decision)
            #expect(decision.verdict == WEFT_VERDICT_DENY.rawValue)
        }
    }

    @Test func moreClausesThanTheKernelHoldsDenyEverythingAndSaySo() throws {
        let target = Self.workload("shop", "web")
        var rules: [AuthorizationPolicy.Rule] = []
        for index in 0...Int(WEFT_POLICY_CLAUSES) {
            var source = AuthorizationPolicy.Source()
            source.principals = [.exact("cluster.local/ns/shop/sa/\(index)")]
            rules.append(.init(sources: [source]))
        }
        let policy = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "huge"), action: .deny, rules: rules)
        var compiler = PolicyCompiler(MeshSnapshot(workloads: [target.name: target], policies: [policy.name: policy]))
        let compiled = compiler.compiled(for: target)
        let group = try #require(compiled)
        let connection = Connection(address: try #require(IPAddress("10.0.0.1")), port: 80)
        #expect(Self.decide(group, connection).verdict == WEFT_VERDICT_DENY.rawValue)
        #expect(compiler.failures[policy.name]?.contains("257 clauses") == true)
    }
}

extension PolicyCompiler {
    /// The group that guards `workload`.
    fileprivate mutating func compiled(for workload: MeshWorkload) -> CompiledPolicy? {
        let id = group(for: workload)
        return groups[id]
    }
}
