import Mesh
import Testing

@testable import Proxy

@Suite struct RouteExplanationTests {
    private func explain(_ fixture: RouteFixture, _ request: SyntheticRequest, random: UInt64 = 0) throws -> [String] {
        try request.withView { fixture.table.explain(fixture.service, $0, random: random).steps }
    }

    @Test func everyStepIsSaid() throws {
        let rules: [HTTPRule] = [
            .to("c", matches: [.path(.exact("/other")), .path(.exact("/other2"))], hosts: ["web.shop"]),
            .to("a", index: 1, matches: [.path(.prefix("/cart")) { $0.method = .exact("POST") }], hosts: ["web.shop"]),
            .to("a", "b", index: 2, matches: [.path(.prefix("/cart"))]).with { rule in
                rule.rewrite = URLRewrite(hostname: "cart", path: .prefix("/"))
                rule.requestHeaders = HeaderModification(set: [.init(name: "X-A", value: "1")], remove: ["Cookie"])
                rule.timeouts.request = 500
                rule.mirrors = [HTTPMirror(target: .shop("c"), partsPerMillion: 125_000)]
                guard case .forward(var backends) = rule.action else { return }
                backends[0].weight = 2
                rule.action = .forward(backends)
            },
        ]
        let fixture = try RouteFixture(rules)
        #expect(
            try explain(fixture, SyntheticRequest(target: "/cart/1", host: "web.shop"), random: .max) == [
                "service shop/web:80", "rules for host web.shop: 3 matches",
                "HTTPRoute shop/route rule 1 match 0, path prefix /cart: no, the method is not POST",
                "2 have another path", "rules for any host: 1 match",
                "HTTPRoute shop/route rule 2 match 0, path prefix /cart: yes", "backend shop/a:80, 66.7 %",
                "backend shop/b:80, 33.3 %, chosen", "host rewritten to cart", "path rewritten with /",
                "request headers removed: cookie, x-a", "request headers added: X-A: 1",
                "mirrored to shop/c:80, 12.5 %", "request timeout 500 ms", "to shop/b:80",
            ])
        #expect(
            try explain(fixture, SyntheticRequest(target: "/x", host: "web.shop")) == [
                "service shop/web:80", "rules for host web.shop: 3 matches", "3 have another path",
                "rules for any host: 1 match", "1 have another path", "no rule matches: 404",
            ])
    }

    @Test func answersAreExplained() throws {
        var policy = CORSPolicy()
        policy.allowOrigins = [.exact("https://foo")]
        let rules: [HTTPRule] = [
            .redirect({ $0.status = 301 }, matches: [.path(.exact("/r"))]),
            .to(index: 1, matches: [.path(.exact("/d"))]).with { $0.action = .respond(DirectResponse(status: 418)) },
            .to("missing", index: 2, matches: [.path(.exact("/m"))]),
            .to("a", index: 3, matches: [.path(.exact("/c"))]).with { $0.cors = policy },
        ]
        let fixture = try RouteFixture(rules)
        func last(_ target: String) throws -> String? {
            try explain(fixture, SyntheticRequest(target: target, host: "web")).last
        }
        #expect(try last("/r") == "answered here: redirect, 301")
        #expect(try last("/d") == "answered here: direct response, 418")
        #expect(try last("/m") == "answered here: 500, invalid_backend")
        #expect(try last("/c") == "to shop/a:80")
    }

    @Test func whatIsNoRequestIsAProblem() {
        #expect(throws: SyntheticRequest.Problem.head(.invalidFieldName)) {
            try SyntheticRequest(host: "web", headers: [("a b", "c")]).withView { _ in }
        }
        #expect(throws: SyntheticRequest.Problem.path(.encodedNUL)) {
            try SyntheticRequest(target: "/%00", host: "web").withView { _ in }
        }
        #expect(throws: SyntheticRequest.Problem.notOneRequest) {
            try SyntheticRequest(host: "web", headers: [("a", "b\r\n\r\nGET / HTTP/1.1")]).withView { _ in }
        }
    }
}
