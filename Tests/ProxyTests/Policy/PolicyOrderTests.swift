import Mesh
import Testing

@testable import Proxy

/// In which order policies decide, whom they are for, and what they say of plain connections.
@Suite struct PolicyOrderTests {
    typealias Policy = AuthorizationPolicy

    private static let everything = Policy.Rule()
    private static let getting = Policy.Rule.to { $0.methods = [.exact("GET")] }
    private static let connection: PolicyFacts = {
        var facts = PolicyFacts()
        facts.request = nil
        return facts
    }()

    private func verdict(_ policies: [Policy], _ facts: PolicyFacts = .get()) throws -> String {
        try PolicyFixture(policies).verdict(facts)
    }

    @Test func withoutPoliciesEverythingIsAllowed() throws {
        #expect(try verdict([]) == "allow")
    }

    @Test func anEmptySpecDeniesAndAnEmptyRuleAllows() throws {
        #expect(try verdict([.make("p")]) == "deny shop/p (no rule matched)")
        #expect(try verdict([.make("p", .allow, [Self.everything])]) == "allow shop/p[0]")
        #expect(try verdict([.make("p", .deny)]) == "allow")
        #expect(try verdict([.make("p", .deny, [Self.everything])]) == "deny shop/p[0]")
    }

    @Test func customComesBeforeDenyBeforeAllow() throws {
        let allow = Policy.make("a", .allow, [Self.everything])
        let deny = Policy.make("d", .deny, [Self.getting])
        let custom = Policy.make("c", .custom, [Self.getting])
        #expect(try verdict([allow, deny, custom]) == "ask opa shop/c[0]")
        #expect(try verdict([allow, deny]) == "deny shop/d[0]")
        #expect(try verdict([allow, deny, custom], .get(method: "PUT")) == "allow shop/a[0]")
        let fixture = PolicyFixture([allow, deny, custom])
        #expect(try fixture.verdict(.get(), after: 0) == "deny shop/d[0]")
    }

    @Test func everyProviderIsAskedOnce() throws {
        let fixture = PolicyFixture([
            .make("a", .custom, [Self.getting]) { $0.provider = "quota" }, .make("b", .custom, [Self.getting]),
            .make("c", .custom, [Self.everything]),
        ])
        #expect(try fixture.verdict(.get()) == "ask opa shop/b[0]")
        #expect(try fixture.verdict(.get(), after: 0) == "ask quota shop/a[0]")
        #expect(try fixture.verdict(.get(), after: 1) == "allow")
    }

    @Test func whoIsNotKnownToDecideDenies() throws {
        let policy = Policy.make("c", .custom, [Self.getting]) { $0.provider = "nobody" }
        let nameless = Policy.make("n", .custom, [Self.getting]) { $0.provider = nil }
        #expect(try verdict([policy]) == "deny shop/c[0]")
        #expect(try verdict([nameless]) == "deny shop/n[0]")
        #expect(try verdict([policy], .get(method: "PUT")) == "allow")
    }

    @Test func policiesAreForWhomTheySelect() throws {
        func denies(_ change: (inout Policy) -> Void) throws -> Bool {
            try verdict([.make("p", .deny, [Self.everything], change)]) != "allow"
        }
        #expect(try denies { $0.selector = ["app": "web"] })
        #expect(try !denies { $0.selector = ["app": "other"] })
        #expect(try !denies { $0.name.namespace = "pay" })
        #expect(
            try denies {
                $0.name.namespace = "istio-system"
                $0.isMeshWide = true
            })
        #expect(try !denies { $0.targetServices = ["web"] })
    }

    @Test func policiesOfServicesAreForAllTheirPorts() throws {
        let fixture = PolicyFixture([.make("p", .deny, [Self.getting]) { $0.targetServices = ["web"] }])
        for identifier in [PolicyFixture.serviceID, PolicyFixture.serviceID + 1] {
            #expect(try fixture.verdict(.get(), group: fixture.table.group(ofService: identifier)) == "deny shop/p[0]")
        }
        #expect(fixture.table.group(ofService: 1) == -1)
    }

    @Test func unknownWorkloadsAreClosedOnceThereIsAPolicy() throws {
        let fixture = PolicyFixture([.make("p", .deny, [Self.getting])])
        #expect(try fixture.verdict(.get(), group: fixture.table.group(ofWorkload: 4711)) == "deny unknown workload")
        #expect(PolicyFixture([]).table.group(ofWorkload: 4711) == -1)
        var shadow = Policy.make("p", .deny, [Self.everything])
        shadow.isShadow = true
        #expect(PolicyFixture([shadow]).table.group(ofWorkload: 4711) == -1)
    }

    // MARK: Connections

    @Test func whatConnectionsDoNotHaveMatchesInDenyOnly() throws {
        #expect(try verdict([.make("d", .deny, [Self.getting])], Self.connection) == "deny shop/d[0]")
        #expect(try verdict([.make("a", .allow, [Self.getting])], Self.connection) == "deny shop/a (no rule matched)")
        let not = Policy.Rule.to { $0.notPaths = [.text(.present)] }
        #expect(try verdict([.make("d", .deny, [not])], Self.connection) == "deny shop/d[0]")
        #expect(try verdict([.make("a", .allow, [not])], Self.connection) == "deny shop/a (no rule matched)")
        // What a connection has still counts.
        let elsewhere = Policy.Rule.to {
            $0.methods = [.exact("GET")]
            $0.ports = [9]
        }
        #expect(try verdict([.make("d", .deny, [elsewhere])], Self.connection) == "allow")
    }

    private func authorize(
        _ policies: [Policy], port: UInt16 = 8080, workload: UInt64 = PolicyFixture.webID, awaitsRequests: Bool = false
    ) -> AuthorizationDecision.Verdict {
        let principal = Array("cluster.local/ns/shop/sa/client".utf8)
        let peer = ClientAddress(high: 0, low: 0xffff_0a00_0009, port: 1)
        return PolicyFixture(policies).table.authorizeConnection(
            workload: workload, principal: unsafe principal.span.bytes, peer: peer,
            destination: ClientAddress(high: 0, low: 0xffff_0a01_0001, port: port), awaitsRequests: awaitsRequests
        ).verdict
    }

    @Test func nobodyIsAskedAboutConnections() {
        #expect(authorize([.make("c", .custom, [Self.getting])]) == .denied)
        #expect(authorize([.make("c", .custom, [.to { $0.ports = [9] }])]) == .allowed)
        #expect(authorize([.make("c", .custom, [Self.getting])], awaitsRequests: true) == .allowed)
        #expect(authorize([.make("d", .deny, [Self.getting])], workload: 4711) == .denied)
    }

    @Test func whatIsDecidedLaterDoesNotHinderAConnection() {
        #expect(authorize([.make("a", .allow, [Self.getting])], awaitsRequests: true) == .allowed)
        #expect(authorize([.make("d", .deny, [Self.getting])], awaitsRequests: true) == .allowed)
        #expect(authorize([.make("d", .deny, [.to { $0.ports = [8080] }])], awaitsRequests: true) == .denied)
        let stranger = Policy.Rule(
            sources: [
                {
                    var source = Policy.Source()
                    source.namespaces = [.exact("pay")]
                    return source
                }()
            ], operations: Self.getting.operations)
        #expect(authorize([.make("a", .allow, [stranger])], awaitsRequests: true) == .denied)
    }

    @Test func onlyRequestPortsHaveRequests() {
        let table = PolicyFixture([.make("d", .deny, [Self.getting])]).table
        #expect(table.decidesRequests(workload: PolicyFixture.webID, port: 8080))
        #expect(!table.decidesRequests(workload: PolicyFixture.webID, port: 9090))
        #expect(!table.decidesRequests(workload: 4711, port: 8080))
        let plain = PolicyFixture([.make("d", .deny, [.to { $0.ports = [1] }])]).table
        #expect(!plain.decidesRequests(workload: PolicyFixture.webID, port: 8080))
    }

    // MARK: Shadow

    @Test func shadowPoliciesChangeNothingButTheShadowVerdict() throws {
        func shadow(_ name: String, _ action: Policy.Action, _ rules: [Policy.Rule]) -> Policy {
            .make(name, action, rules) { $0.isShadow = true }
        }
        func decide(_ policies: [Policy]) throws -> AuthorizationDecision { try PolicyFixture(policies).decide(.get()) }
        let denied = try decide([shadow("s", .deny, [Self.getting])])
        #expect(denied.verdict == .allowed && denied.shadowVerdict == .denied && denied.shadowRule >= 0)
        let closed = try decide([shadow("s", .allow, [])])
        #expect(closed.verdict == .allowed && closed.shadowVerdict == .denied && closed.shadowRule >= 0)
        let opened = try decide([.make("a"), shadow("s", .allow, [Self.getting])])
        #expect(opened.verdict == .denied && opened.shadowVerdict == .allowed && opened.shadowRule >= 0)
        let firm = try decide([.make("d", .deny, [Self.everything]), shadow("s", .allow, [Self.everything])])
        #expect(firm.verdict == .denied && firm.shadowVerdict == .denied && firm.shadowRule == -1)
        let audited = try decide([.make("x", .audit, [Self.getting])])
        #expect(audited.verdict == .allowed && audited.rule == -1 && audited.auditRule >= 0)
    }
}
