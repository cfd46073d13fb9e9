import Mesh
import Testing
import WeftABI

@testable import Proxy

/// Why nothing of a service is decided in the kernel.
@Suite("Services without a shortcut")
struct ShortcutRefusalTests {
    private func refusal(
        _ fixture: ShortcutFixture, service: UInt64 = ShortcutFixture.webID, host: String = ShortcutFixture.host
    ) -> CompiledShortcuts.Refusal? {
        do throws(CompiledShortcuts.Refusal) {
            _ = try fixture.compile(service: service, host: host)
            return nil
        } catch {
            return error
        }
    }

    @Test("A plain rule has one") func plain() {
        #expect(refusal(ShortcutFixture([.to("a")])) == nil)
        #expect(refusal(ShortcutFixture([])) == nil)
    }

    @Test("A service that is not known") func unknownService() {
        #expect(refusal(ShortcutFixture([.to("a")]), service: 7) == .unknownService)
    }

    @Test("Rules of hosts", arguments: ["x.y", "*.y"]) func hostRules(host: String) {
        #expect(refusal(ShortcutFixture([.to("a") { $0.hostnames = [host] }])) == .hostRules)
        #expect(refusal(ShortcutFixture([.to("a") { $0.hostnames = [host] }, .to("b", index: 1)])) == .hostRules)
    }

    @Test("Requests with tokens", arguments: [[], ["web"]]) func authentication(services: [String]) {
        let fixture = ShortcutFixture([.to("a")]) { snapshot in
            snapshot.requestAuthentications[.shop("tokens")] = RequestAuthentication(
                name: .shop("tokens"), targetServices: services,
                rules: [JWTRule(issuer: "one", keys: .url("https://one.example/keys"))])
        }
        #expect(refusal(fixture) == .authentication)
    }

    @Test("Limits of the service") func rateLimits() {
        let fixture = ShortcutFixture([.to("a")]) { snapshot in
            snapshot.services[.shop("web")]?.traffic.rateLimits = [RateLimit(name: "l", requests: 1, window: .day)]
        }
        #expect(refusal(fixture) == .rateLimits)
    }

    @Test("Somebody else decides", arguments: [[], ["web"]]) func customPolicy(services: [String]) {
        let policy = AuthorizationPolicy.shop("p", .custom) { policy in
            policy.provider = "opa"
            policy.targetServices = services
        }
        #expect(refusal(ShortcutFixture([.to("a")], policies: [policy])) == .customPolicy)
    }

    @Test("Policies that are tried out", arguments: [AuthorizationPolicy.Action.deny, .allow, .audit])
    func shadowPolicy(action: AuthorizationPolicy.Action) {
        for services in [[], ["web"]] {
            let policy = AuthorizationPolicy.shop("p", action) { policy in
                policy.isShadow = action != .audit
                policy.targetServices = services
            }
            #expect(refusal(ShortcutFixture([.to("a")], policies: [policy])) == .shadowPolicy)
        }
    }

    @Test("Both the service and its workloads ask to be allowed") func twoPolicies() {
        let policies = [
            AuthorizationPolicy.shop("p", .allow), .shop("q", .allow) { $0.targetServices = ["web"] },
        ]
        #expect(refusal(ShortcutFixture([.to("a")], policies: policies)) == .twoPolicies)
        for policy in policies { #expect(refusal(ShortcutFixture([.to("a")], policies: [policy])) == nil) }
    }

    @Test("Workloads with different policies") func differentPolicies() {
        let policy = AuthorizationPolicy.shop("p", .deny, []) { $0.selector = ["app": "a"] }
        #expect(refusal(ShortcutFixture([.to("a", "b")], policies: [policy])) == .differentPolicies)
        #expect(refusal(ShortcutFixture([.to("a", "a")], policies: [policy])) == nil)
        #expect(refusal(ShortcutFixture([.to("b", "c")], policies: [policy])) == nil)
    }

    @Test("More rules than there is room for") func tooManyRules() {
        func fixture(_ count: Int) -> ShortcutFixture {
            ShortcutFixture([
                .to("a") { rule in
                    rule.matches = (0..<count).map { number in
                        var match = HTTPMatch()
                        match.path = .exact("/\(number)")
                        return match
                    }
                }
            ])
        }
        #expect(refusal(fixture(Int(WEFT_SHORTCUT_RULES))) == nil)
        #expect(refusal(fixture(Int(WEFT_SHORTCUT_RULES) + 1)) == .tooManyRules)
    }

    @Test("A name of the host that is longer than what is compared") func longHost() {
        let longest = String(repeating: "h", count: Int(WEFT_SHORTCUT_TEXT))
        #expect(refusal(ShortcutFixture([.to("a")]), host: longest) == nil)
        #expect(refusal(ShortcutFixture([.to("a")]), host: longest + "h") == .longHost)
        #expect(refusal(ShortcutFixture([.to("a")]), host: "") == .longHost)
    }

    @Test("Rules that the agent alone can follow") func nothing() {
        let rules: [HTTPRule] = [
            .to { $0.action = .redirect(HTTPRedirect()) }, .to { $0.action = .respond(DirectResponse(status: 200)) },
            .to(), .to("a") { $0.retry = RetryPolicy() }, .to("a") { $0.timeouts = HTTPTimeouts(request: 1) },
            .to("a") { $0.rewrite = URLRewrite(hostname: "b") },
            .to("a") { rule in
                rule.matches = [HTTPMatch()]
                rule.matches[0].headers = [NamedMatch(name: "h", value: .present)]
            },
        ]
        for rule in rules { #expect(refusal(ShortcutFixture([rule])) == .nothing, "\(rule)") }
        // The policies of a workload that is not known deny everything.
        let fixture = ShortcutFixture([.to("a")], policies: [.shop("p", .deny, [])]) { snapshot in
            snapshot.services[.shop("a")]?.ports[0].endpoints[0].workload = .shop("other")
        }
        #expect(refusal(fixture) == .nothing)
    }
}
