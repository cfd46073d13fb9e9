import KernelPlane
import Mesh
import Testing
import WeftABI

@testable import weft

/// A shop: a web service of two endpoints whose workload allows shop/client alone.
@Suite struct ExplanationTests {
    private var node = TableMaps()
    private let client: UInt64
    private let stranger: UInt64
    private let web: UInt64
    private let rule: UInt64

    init() throws {
        client = node.name(.workload, "shop/client")
        stranger = node.name(.workload, "shop/stranger")
        web = node.name(.workload, "shop/web-1")
        rule = node.name(.rule, "shop/allow-client[0]")
        let group = node.name(.policy, "shop/allow-client")
        let implicit = node.name(.rule, "shop/allow-client (no rule matched)")
        let identities = ["client", "stranger", "web"].map { node.name(.identity, "spiffe://mesh/ns/shop/sa/\($0)") }
        for (workload, identity) in zip([client, stranger, web], identities) {
            var entry = weft_workload()
            entry.identity = identity
            entry.policy = workload == web ? group : 0
            node.workloads.append((workload, entry))
        }
        var policy = weft_policy()
        policy.allow = clauses(0)
        policy.deny = clauses(1)
        policy.port_default = clauses(0, 1)
        policy.address_default = clauses(0)
        policy.address_unknown = clauses(0, 1)
        policy.identity_unknown = clauses(1)
        policy.identity_default = clauses(1)
        policy.flags =
            WEFT_POLICY_HAS_ALLOW.rawValue | WEFT_POLICY_BY_IDENTITY.rawValue | WEFT_POLICY_BY_ADDRESS.rawValue
        policy.implicit_rule = implicit
        policy.clause_count = 2
        node.policies.append((group, policy))
        node.policyIdentities.append((weft_policy_identity_key(policy: group, identity: identities[0]), clauses(0, 1)))
        node.policyRules.append((weft_policy_rule_key(policy: group, clause: 0, reserved: 0), rule))
        let deny = node.name(.rule, "shop/deny-range[0]")
        node.policyRules.append((weft_policy_rule_key(policy: group, clause: 1, reserved: 0), deny))
        let range = try #require(IPBlock("10.1.0.0/16"))
        var prefix = weft_policy_address_key(policy: group, address: weft_address(range.address))
        prefix.prefix_length = UInt32(WEFT_POLICY_PREFIX_BASE) + UInt32(range.prefixLength)
        node.policyPrefixes.append((prefix, clauses(0, 1)))
        _ = try node.service(
            "shop/web:http", at: "127.96.0.10:80",
            backends: [
                ("127.0.0.1:8081", web, WEFT_BACKEND_ACTIVE), ("127.0.0.1:8082", web, WEFT_BACKEND_ACTIVE),
                ("127.0.0.1:8083", web, WEFT_BACKEND_DRAINING),
            ])
        node.addresses.append((weft_endpoint_key(try #require(Endpoint("127.0.0.1:8081"))), web))
    }

    private func explain(_ destination: String, from workload: UInt64, cookie: UInt64? = nil) throws -> Explanation {
        let maps = node.maps
        var source = Source(workload: workload, finding: "test")
        source.netnsCookie = cookie
        return try Explanation(try #require(Endpoint(destination)), from: source, maps, Resolver(maps))
    }

    @Test func aServiceSplitsAmongItsActiveEndpoints() throws {
        let explanation = try explain("127.96.0.10:80", from: client)
        #expect(explanation.outcome == .connects && explanation.lane == "kernel")
        #expect(explanation.candidates.map(\.backend.endpoint.host) == ["127.0.0.1:8081", "127.0.0.1:8082"])
        #expect(explanation.candidates.allSatisfy { abs(($0.share ?? 0) - 0.5) < 1e-6 && $0.decision?.rule == rule })
    }

    @Test func anotherWorkloadIsDeniedByTheImplicitRule() throws {
        let explanation = try explain("127.96.0.10:80", from: stranger)
        #expect(explanation.outcome == .denied)
        #expect(
            explanation.steps.contains {
                $0.name == "policy" && $0.text.contains("shop/allow-client (no rule matched)")
            })
    }

    @Test func aProcessWithoutIdentityIsDenied() throws {
        #expect(try explain("127.96.0.10:80", from: 0).outcome == .denied)
    }

    @Test func aWorkloadsOwnAddressIsOfTheMesh() throws {
        let explanation = try explain("127.0.0.1:8081", from: stranger)
        #expect(explanation.outcome == .denied && explanation.service == 0)
        #expect(try explain("127.0.0.1:8081", from: client).outcome == .connects)
    }

    @Test func anUnknownAddressPassesThrough() throws {
        let explanation = try explain("192.0.2.1:443", from: client)
        #expect(explanation.outcome == .connects && explanation.lane == "passthrough")
        #expect(explanation.steps.contains { $0.text.contains("public") })
        // The protocol is a part of a service's address.
        #expect(try explain("127.96.0.10:80/udp", from: client).lane == "passthrough")
    }

    @Test mutating func aServiceWithoutEndpointsRefuses() throws {
        _ = try node.service("shop/empty:http", at: "127.96.0.11:80", backends: [])
        let explanation = try explain("127.96.0.11:80", from: client)
        #expect(explanation.outcome == .refused && explanation.steps.contains { $0.text.contains("ECONNREFUSED") })
    }

    @Test mutating func affinityKeepsAClientWhileItsEntryLives() throws {
        let service = try node.service(
            "shop/sticky:http", at: "127.96.0.12:80", affinity: 600,
            backends: [("127.0.0.1:9001", 0, WEFT_BACKEND_ACTIVE), ("127.0.0.1:9002", 0, WEFT_BACKEND_ACTIVE)])
        let key = weft_affinity_key(service: service, netns_cookie: 7, workload: client, source: .init(high: 0, low: 0))
        let backend = TableMaps.backendID(try #require(Endpoint("127.0.0.1:9002")))
        node.affinity = [(key, weft_affinity(backend: backend, last_used_ns: monotonicNanoseconds() - 1_000_000_000))]
        #expect(try explain("127.96.0.12:80", from: client, cookie: 7).candidates.map(\.share) == [0, 1])
        #expect(try explain("127.96.0.12:80", from: client, cookie: 8).candidates.allSatisfy { ($0.share ?? 0) > 0.4 })

        node.affinity[0].1.last_used_ns = 0
        node.services[node.services.count - 1].1.affinity_seconds = 1
        #expect(try explain("127.96.0.12:80", from: client, cookie: 7).candidates.allSatisfy { ($0.share ?? 0) > 0.4 })
    }

    @Test mutating func maglevGivesAKnownClientItsOneBackend() throws {
        let service = try node.service(
            "shop/hash:http", at: "127.96.0.13:80", algorithm: WEFT_ALGORITHM_MAGLEV,
            backends: [("127.0.0.1:9001", 0, WEFT_BACKEND_ACTIVE), ("127.0.0.1:9002", 0, WEFT_BACKEND_ACTIVE)])
        let table = try ["127.0.0.1:9001", "127.0.0.1:9002"].map { TableMaps.backendID(try node.parse($0)) }
        node.maglev = [(service, table)]
        var key = weft_affinity_key(service: service, netns_cookie: 7, workload: client, source: .init(high: 0, low: 0))
        let chosen = table[Int(unsafe weft_client_hash(&key) % 2)]
        let known = try explain("127.96.0.13:80", from: client, cookie: 7)
        #expect(known.candidates.first { $0.share == 1 }?.backend.id == chosen)
        #expect(try explain("127.96.0.13:80", from: client).candidates.map(\.share) == [0.5, 0.5])
    }

    // MARK: policy test

    private func decide(_ source: UInt64, from address: String?) throws -> PolicyDecision {
        try PolicyDecision(
            .init(source: source, destination: web, sourceAddress: address.flatMap { IPAddress($0) }, port: 8081),
            in: node.maps)
    }

    @Test func theLongestPrefixThatCoversTheSourceDecides() throws {
        #expect(try decide(client, from: "10.2.0.1").isDenied == false)
        #expect(try decide(client, from: "10.1.0.1").isDenied)
        // An address that is not known yet satisfies a DENY.
        #expect(try decide(client, from: nil).isDenied)
    }

    @Test mutating func aMissingEntryDenies() throws {
        node.policies = []
        let decision = try decide(client, from: "10.2.0.1")
        #expect(decision.isDenied && decision.reason == .incomplete)
    }

    @Test mutating func aShadowRuleIsReportedAndNotEnforced() throws {
        node.policies[0].1.deny = clauses()
        node.policies[0].1.shadow_deny = clauses(1)
        node.policies[0].1.flags |= WEFT_POLICY_HAS_SHADOW.rawValue
        let decision = try decide(client, from: "10.1.0.1")
        #expect(!decision.isDenied && decision.shadow?.isDenied == true)
        #expect(decision.shadowExplanation(Resolver(node.maps))?.contains("shop/deny-range[0]") == true)
        #expect(try decide(client, from: "10.2.0.1").shadow == .init(isDenied: false, rule: rule))
    }

    // MARK: the proxy lane

    /// The web service captured, with its workload as the one that its requests may be sent to.
    private func captured(agentPID: UInt32, mode: FailureMode = .closed) throws -> TableMaps {
        var node = node
        let place = try #require(
            node.services.firstIndex { Endpoint($0.0.address, 0, 0).host.hasPrefix("127.96.0.10") })
        let id = node.services[place].1.id
        node.services[place].1.lane = UInt8(WEFT_LANE_PROXY.rawValue)
        var capture = weft_capture()
        capture.flags = mode == .open ? WEFT_CAPTURE_FAIL_OPEN.rawValue : 0
        capture.guard_count = 1
        capture.guards.0.workload = web
        capture.guards.0.port = UInt16(8081).bigEndian
        node.captures.append((id, capture))
        var reason = weft_name()
        reason.kind = UInt8(WEFT_NAME_REASON.rawValue)
        unsafe withUnsafeMutableBytes(of: &reason.text) { unsafe $0.copyBytes(from: "HTTPRoute shop/web".utf8) }
        node.names.append((Identifier.reason(service: id), reason))
        node.settings.agent_pid = agentPID
        node.proxy.outbound4 = IPAddress(v4: 127, 0, 0, 1).abi
        node.proxy.outbound_port = UInt16(15001).bigEndian
        return node
    }

    private func explain(_ node: TableMaps, from workload: UInt64) throws -> Explanation {
        let maps = node.maps
        return try Explanation(
            node.parse("127.96.0.10:80"), from: Source(workload: workload, finding: "given"), maps, Resolver(maps))
    }

    @Test func theProxyLaneSaysWhoseRulesDemandIt() throws {
        let explanation = try explain(captured(agentPID: 1), from: client)
        #expect(explanation.outcome == .connects)
        #expect(explanation.lane == "proxy")
        let steps = Dictionary(explanation.steps.map { ($0.name, $0.text) }) { first, _ in first }
        #expect(steps["lane"] == "proxy: demanded by HTTPRoute shop/web")
        #expect(steps["agent"]?.contains("127.0.0.1:15001") == true)
        #expect(explanation.candidates.isEmpty)
    }

    @Test func theProxyLaneHasItsPolicyAtConnect() throws {
        let explanation = try explain(captured(agentPID: 1), from: stranger)
        #expect(explanation.outcome == .denied)
        #expect(explanation.steps.contains { $0.name == "policy" && $0.text.contains("EPERM") })
    }

    @Test func withoutAnAgentTheFailureModeDecides() throws {
        #expect(try explain(captured(agentPID: 0), from: client).outcome == .refused)
        let open = try explain(captured(agentPID: 0, mode: .open), from: client)
        #expect(open.outcome == .connects)
        #expect(open.lane == "kernel")
        #expect(!open.candidates.isEmpty)
    }

    // MARK: the tunnel lane

    /// The web service's workload on another node, with an agent there.
    private func tunnelled(agentPID: UInt32) throws -> TableMaps {
        var node = node
        let place = try #require(node.workloads.firstIndex { $0.0 == web })
        node.workloads[place].1.flags = WEFT_WORKLOAD_TUNNEL.rawValue
        node.settings.agent_pid = agentPID
        node.proxy.outbound4 = IPAddress(v4: 127, 0, 0, 1).abi
        node.proxy.outbound_port = UInt16(15001).bigEndian
        return node
    }

    @Test(arguments: ["127.96.0.10:80", "127.0.0.1:8081"])
    func whatIsOnAnotherNodeIsReachedThroughATunnel(destination: String) throws {
        let maps = try tunnelled(agentPID: 1).maps
        let explanation = try Explanation(
            node.parse(destination), from: Source(workload: client, finding: "given"), maps, Resolver(maps))
        #expect(explanation.outcome == .connects)
        #expect(explanation.lane == "tunnel")
        #expect(explanation.steps.contains { $0.name == "agent" && $0.text.contains("127.0.0.1:15001") })
        let denied = try Explanation(
            node.parse(destination), from: Source(workload: stranger, finding: "given"), maps, Resolver(maps))
        #expect(denied.outcome == .denied)
    }

    @Test func withoutAnAgentATunnelledDestinationIsRefused() throws {
        #expect(try explain(tunnelled(agentPID: 0), from: client).outcome == .refused)
    }
}
