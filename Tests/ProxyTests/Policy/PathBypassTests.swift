import Mesh
import Proxy
import Testing

/// Requests that are written so that a policy may see something else than the backend does. None of them gets there.
@Suite struct PathBypassTests {
    private static func backend() -> TestBackend {
        TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" })
    }

    private func isRefused(_ answer: String) -> Bool {
        answer.hasPrefix("HTTP/1.1 403 ") || answer.hasPrefix("HTTP/1.1 400 ")
    }

    /// Ways to write `/admin`, or what some backends take for it.
    @Test(arguments: [
        "/admin", "//admin", "/./admin", "/x/../admin", "/x/..//admin", "/..;/admin", "/x/..;/admin", "/.;/admin",
        "/%61dmin", "/%61%64%6d%69%6e", "/%2e/admin", "/x/%2e%2e/admin", "/x/.%2E/admin", "/%2fadmin", "/x/..%2fadmin",
        "/x%5c..%5cadmin", "/x\\..\\admin", "\\admin", "/%252e%252e/admin", "/%2561dmin", "/x/%252e%252e%252fadmin",
        "/admin?x=/public", "/admin#/public", "/admin/", "/admin/x", "/admin%00", "/admin%", "/admin%zz",
        "http://web/admin", "http://web//admin",
    ]) func aDeniedPathHasNoOtherSpelling(_ target: String) throws {
        let backend = Self.backend()
        let deny = AuthorizationPolicy.make(
            "admin", .deny, [.to { $0.paths = [.text(.exact("/admin")), .text(.prefix("/admin/"))] }])
        let proxy = try PolicyProxy([deny], to: [backend.port])
        #expect(isRefused(proxy.get(target)), "\(target)")
        #expect(backend.connections == 0)
    }

    /// What is not the allowed path in its normal form is not allowed.
    @Test(arguments: [
        "/PUBLIC", "/Public/x", "/public/../admin", "/public/..;/admin", "/public/%2e%2e/admin", "/public/..%2fadmin",
        "/public/%2e%2e%2fadmin", "/public/%252e%252e/admin", "/public\\..\\..\\admin", "/public/..\\admin",
        "/publi%43", "/publicx", "/x/public", "/public/#/../../admin", "*", "/", "//", "/;/public",
    ]) func nothingElsePassesForAnAllowedPath(_ target: String) throws {
        let backend = Self.backend()
        let allow = AuthorizationPolicy.make(
            "public", .allow, [.to { $0.paths = [.text(.exact("/public")), .text(.prefix("/public/"))] }])
        let proxy = try PolicyProxy([allow], to: [backend.port])
        #expect(isRefused(proxy.get(target, method: target == "*" ? "OPTIONS" : "GET")), "\(target)")
        #expect(backend.connections == 0)
        #expect(proxy.get("//public/./x/..").hasPrefix("HTTP/1.1 200 "))
    }

    @Test(arguments: [
        ("/", "evil.example", ""), ("/", "EVIL.Example", ""), ("/", "evil.example.", ""), ("/", "evil.example:80", ""),
        ("/", "evil.example.:8080", ""), ("http://evil.example/", "web", ""), ("http://EVIL.example.:80/", "web", ""),
        ("/", "web", "Host: evil.example\r\n"), ("/", "evil.example", "X-Forwarded-Host: web\r\n"),
        ("/", "evil.example:080", ""), ("/", "web@evil.example", ""), ("/", "evil.example/x", ""),
    ]) func aDeniedHostHasNoOtherSpelling(_ target: String, _ host: String, _ fields: String) throws {
        let backend = Self.backend()
        let deny = AuthorizationPolicy.make("host", .deny, [.to { $0.hosts = [.exact("evil.example")] }])
        let proxy = try PolicyProxy([deny], to: [backend.port])
        #expect(isRefused(proxy.get(target, fields, host: host)), "\(target) \(host)")
        #expect(backend.connections == 0)
    }

    /// Fields that some proxies believe change nothing.
    @Test(arguments: [
        "X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET", "X-Original-URL: /public",
        "X-Rewrite-URL: /public", "X-Envoy-Original-Path: /public", "X-Forwarded-Prefix: /public",
        "X-Forwarded-For: 10.9.9.9", "X-Forwarded-For: 10.9.9.9, 10.9.9.9", "X-Real-IP: 10.9.9.9",
        "Forwarded: for=10.9.9.9", "X-Envoy-External-Address: 10.9.9.9", "True-Client-IP: 10.9.9.9",
        "X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/shop/sa/admin", "X-Envoy-Peer-Metadata: admin",
        "X-Weft-Principal: cluster.local/ns/shop/sa/admin", "Authorization: Bearer x.y.z",
    ]) func headersDoNotSpeakForTheRequest(_ field: String) throws {
        let backend = Self.backend()
        func allow(_ name: String, _ rule: AuthorizationPolicy.Rule) -> AuthorizationPolicy {
            .make(name, .allow, [rule])
        }
        let block = IPBlock("10.9.9.0/24")
        let proxy = try PolicyProxy(
            [
                allow("method", .to { $0.methods = [.exact("GET")] }),
                allow("path", .to { $0.paths = [.text(.prefix("/public"))] }),
                allow("remote", .from { $0.remoteIPBlocks = block.map { [$0] } ?? [] }),
                allow("source", .from { $0.ipBlocks = block.map { [$0] } ?? [] }),
                allow("principal", .from { $0.principals = [.suffix("/sa/admin")] }),
                allow("token", .from { $0.requestPrincipals = [.present] }),
            ], to: [backend.port])
        for workload in [PolicyProxy.client, nil] {
            proxy.become(workload)
            let answer = proxy.get("/admin", "\(field)\r\nContent-Length: 0\r\n", method: "POST")
            #expect(answer.hasPrefix("HTTP/1.1 403 "), "\(answer)")
        }
        #expect(backend.connections == 0)
    }

    /// What is decided about is what is sent on.
    @Test func theForwardedPathMeetsTheSameRules() throws {
        var random = SeededGenerator(seed: 99)
        let pieces = ["/", "a", "admin", ".", "..", "%2e", "%41", "%7C", "|", ";", "\\", "?", "%3F", "b", "//", "%25"]
        let policies = ["/a", "/a/*", "*admin", "/", "/%7C*", "/b/A"].enumerated().map { number, pattern in
            AuthorizationPolicy.make(
                "p\(number)", .allow, [.to { $0.paths = [.text(StringMatch(pattern))] }])
        }
        let fixture = PolicyFixture(policies)
        var compared = 0
        for _ in 0..<20_000 {
            let target =
                "/"
                + (0..<Int.random(in: 1...6, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }
                .joined()
            var forwarded = ""
            do {
                try PolicyFacts.get(target).request?.withView { view in
                    forwarded = unsafe view.path.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
                }
            } catch {
                continue
            }
            #expect(try fixture.verdict(.get(target)) == fixture.verdict(.get(forwarded)), "\(target)")
            compared += 1
        }
        #expect(compared > 5_000)
    }
}
