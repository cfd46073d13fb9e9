import Mesh
import Testing

@testable import Proxy

/// GEP-1767 and section 3.2 of the Fetch standard.
@Suite struct CORSTests {
    private func fixture(_ edit: (inout CORSPolicy) -> Void) throws -> RouteFixture {
        var policy = CORSPolicy()
        edit(&policy)
        return try RouteFixture([HTTPRule.to("a").with { $0.cors = policy }])
    }

    private func preflight(_ origin: String) -> SyntheticRequest {
        SyntheticRequest(
            method: "OPTIONS", host: "web",
            headers: [
                ("Origin", origin), ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Headers", "x-a, x-b"),
            ])
    }

    @Test(arguments: [
        ("https://www.foo.com", true), ("HTTPS://WWW.FOO.COM", true), ("https://www.foo.com:8443", false),
        ("https://x.bar.com", true), ("https://x.y.bar.com", true), ("https://bar.com", false),
        ("https://.bar.com", false), ("http://x.bar.com", false), ("https://evil.com/x.bar.com", false),
        ("https://evil.com?.bar.com", false), ("https://xbar.com", false), ("https://12.re.com", true),
        ("https://12.re.com.evil", false), ("null", false), ("", false),
    ])
    func origins(_ origin: String, _ isAllowed: Bool) throws {
        let fixture = try fixture {
            $0.allowOrigins = [
                .exact("https://www.foo.com"), .exact("https://*.bar.com"), .regex("https://[0-9]+\\.re\\.com"),
            ]
        }
        let request = SyntheticRequest(host: "web", headers: [("origin", origin)])
        #expect(try fixture.decide(request).allowsOrigin == isAllowed)
        #expect(try fixture.outcome(request) == "a")
        #expect(try fixture.outcome(preflight(origin)) == (isAllowed ? "preflight" : "a"))
        let returned = try fixture.returned(
            "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: x\r\nContent-Length: 0\r\n\r\n", to: request)
        #expect(
            returned
                == (isAllowed
                    ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\naccess-control-allow-origin: \(origin)\r\nvary: origin\r\n\r\n"
                    : "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: x\r\nContent-Length: 0\r\n\r\n"))
    }

    @Test func preflights() throws {
        let fixture = try fixture {
            $0.allowOrigins = [.exact("https://foo.com")]
            $0.allowMethods = ["GET", "PUT"]
            $0.allowHeaders = ["x-a", "X-B"]
            $0.exposeHeaders = ["x-c"]
            $0.maxAge = 3600
        }
        #expect(
            try fixture.answer(preflight("https://foo.com"), extra: "x-e: 1\r\n") == """
                HTTP/1.1 204 No Content\r\naccess-control-allow-methods: GET, PUT\r
                access-control-allow-headers: x-a, X-B\r\naccess-control-max-age: 3600\r
                access-control-allow-origin: https://foo.com\r\nvary: origin\r
                access-control-expose-headers: x-c\r\nx-e: 1\r\n\r\n
                """)
        // Without the method that it asks about it is a request like any other.
        let options = SyntheticRequest(method: "OPTIONS", host: "web", headers: [("origin", "https://foo.com")])
        #expect(try fixture.outcome(options) == "a")
        #expect(try fixture.outcome(SyntheticRequest(method: "OPTIONS", host: "web")) == "a")
    }

    @Test func wildcards() throws {
        let open = try fixture {
            $0.allowOrigins = [.exact("*")]
            $0.allowMethods = ["*"]
            $0.allowHeaders = ["*"]
        }
        #expect(
            try open.answer(preflight("https://any")) == """
                HTTP/1.1 204 No Content\r\naccess-control-allow-methods: *\r\naccess-control-allow-headers: *\r
                access-control-allow-origin: *\r\n\r\n
                """)
        let credentials = try fixture {
            $0.allowsAnyOrigin = true
            $0.allowMethods = ["*"]
            $0.allowHeaders = ["*"]
            $0.allowCredentials = true
        }
        #expect(
            try credentials.answer(preflight("https://any")) == """
                HTTP/1.1 204 No Content\r\naccess-control-allow-methods: PUT\r\naccess-control-allow-headers: x-a, x-b\r
                access-control-allow-origin: https://any\r\nvary: origin\r\naccess-control-allow-credentials: true\r\n\r\n
                """)
    }
}
