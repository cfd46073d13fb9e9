import CAllocations
import CLinux
import Glibc
import Mesh
import Testing

@testable import Proxy

/// Tokens on their way through the engine.
@Suite(.serialized) struct RequestAuthenticationTests {
    private static let issuer = TestIssuer()

    private static func token(_ claims: String = #""sub":"alice""#, issuer name: String = "https://issuer.test")
        -> String
    {
        issuer.token(#"{"iss":"\#(name)","exp":\#(time(nil) + 3600),\#(claims)}"#)
    }

    private static var rule: JWTRule { JWTRule(issuer: "https://issuer.test", keys: .inline(issuer.keySet)) }

    /// A backend that answers with what it was sent.
    private let backend = TestBackend(answering: { request in
        "HTTP/1.1 200 OK\r\nContent-Length: \(request.utf8.count)\r\n\r\n\(request)"
    })

    private func proxy(_ rules: [JWTRule], options: ProxyOptions = ProxyOptions()) throws -> TestProxy {
        let proxy = try TestProxy(to: [backend.port], options: options)
        publish(rules, on: proxy)
        return proxy
    }

    private func publish(_ rules: [JWTRule], on proxy: TestProxy) {
        let address = IPAddress(high: loopback(0).high, low: loopback(0).low)
        var port = MeshServicePort(
            name: "http", port: 80, transport: .tcp, endpoints: [MeshEndpoint(address: address, port: backend.port)])
        port.http = HTTPRouting(rules: [TestProxy.rule])
        var snapshot = MeshSnapshot(
            generation: 2,
            services: [
                TestProxy.name: MeshService(
                    name: TestProxy.name, addresses: [], ports: [port], balancing: Balancing())
            ])
        let name = ObjectName(namespace: TestProxy.name.namespace, name: "tokens")
        snapshot.requestAuthentications[name] = RequestAuthentication(
            name: name, targetServices: [TestProxy.name.name], rules: rules)
        let identifiers = RouteIdentifiers(
            services: [RouteIdentifiers.ServicePort(service: TestProxy.name, port: 80): [TestProxy.service]])
        proxy.engine.publish(
            RouteTable(snapshot, identifiers: identifiers),
            AuthorizationTable(snapshot, identifiers: identifiers))
    }

    private func send(_ proxy: TestProxy, _ target: String = "/", _ fields: [String] = []) -> String {
        let lines = (["GET \(target) HTTP/1.1", "Host: web", "Connection: close"] + fields).joined(separator: "\r\n")
        return proxy.exchange(lines + "\r\n\r\n")
    }

    // MARK: What passes and what does not

    @Test func withoutATokenRequestsPass() throws {
        let proxy = try proxy([Self.rule])
        #expect(send(proxy).hasPrefix("HTTP/1.1 200"))
        // Credentials of another scheme are no token, and are nobody's business here.
        let answer = send(proxy, "/", ["Authorization: Basic YTpi"])
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.contains("Authorization: Basic YTpi\r\n"))
    }

    @Test func validTokensPassAndAreTakenOut() throws {
        let proxy = try proxy([Self.rule])
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let answer = send(proxy, "/x?a=1", ["X-A: 1", "Authorization: \(scheme) \(Self.token())", "X-B: 2"])
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(!answer.lowercased().contains("authorization"))
            #expect(answer.contains("GET /x?a=1 HTTP/1.1\r\n"))
            #expect(answer.contains("X-A: 1\r\nX-B: 2\r\n"))
        }
    }

    @Test func invalidTokensAreChallenged() throws {
        let proxy = try proxy([Self.rule])
        let answer = send(proxy, "/", ["Authorization: Bearer \(Self.token().dropLast(3))xyz"])
        #expect(answer.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
        #expect(answer.contains("www-authenticate: Bearer realm=\"web\", error=\"invalid_token\", error_description="))
        #expect(answer.contains("x-weft-reason: jwt_authn_access_denied{Jwt_verification_fails}\r\n"))
        #expect(send(proxy, "/", ["Authorization: Bearer x"]).contains("jwt_authn_access_denied{Jwt_is_malformed}"))
        #expect(
            send(proxy, "/", ["Authorization: Bearer \(Self.token(issuer: "https://other.test"))"])
                .contains("jwt_authn_access_denied{Jwt_issuer_is_not_configured}"))
        #expect(backend.connections == 0)
        #expect(TestProxy.eventually { proxy.requests(status: 401).count == 3 })
        #expect(proxy.requests(status: 401).flags == .unauthorized)
        #expect(proxy.counter(.tokensRefused) == 3)
    }

    @Test func everyTokenOfARequestHasToBeValid() throws {
        let proxy = try proxy([Self.rule])
        let good = Self.token()
        #expect(send(proxy, "/?access_token=\(good)", ["Authorization: Bearer \(good)"]).hasPrefix("HTTP/1.1 200"))
        #expect(send(proxy, "/?access_token=bad", ["Authorization: Bearer \(good)"]).hasPrefix("HTTP/1.1 401"))
        #expect(
            send(proxy, "/", ["Authorization: Bearer \(good)", "Authorization: Bearer bad"]).hasPrefix("HTTP/1.1 401"))
        let many = send(proxy, "/", Array(repeating: "Authorization: Bearer \(good)", count: 5))
        #expect(many.contains("jwt_authn_access_denied{Too_many_jwts}"))
    }

    @Test func aTokenIsNoLongerAcceptedOnceItHasExpired() throws {
        let proxy = try proxy([Self.rule])
        // With the skew: three seconds more.
        let token = Self.issuer.token(#"{"iss":"https://issuer.test","exp":\#(time(nil) - 57)}"#)
        #expect(send(proxy, "/", ["Authorization: Bearer \(token)"]).hasPrefix("HTTP/1.1 200"))
        #expect(
            TestProxy.eventually {
                usleep(100_000)
                return send(proxy, "/", ["Authorization: Bearer \(token)"]).contains("Jwt_is_expired")
            })
    }

    // MARK: Where tokens are

    @Test func tokensInQueriesAndCookies() throws {
        var rule = Self.rule
        rule.fromParameters = ["t"]
        rule.fromCookies = ["session"]
        let proxy = try proxy([rule])
        let token = Self.token()
        #expect(send(proxy, "/x?a=1&t=\(token)&b=2").contains("GET /x?a=1&b=2 HTTP/1.1\r\n"))
        #expect(send(proxy, "/x?t=\(token)").contains("GET /x HTTP/1.1\r\n"))
        #expect(send(proxy, "/x?t=\(token)x").hasPrefix("HTTP/1.1 401"))
        #expect(send(proxy, "/x?tt=bad&t=").hasPrefix("HTTP/1.1 200"))
        let cookies = send(proxy, "/", ["Cookie: a=1; session=\(token); b=2"])
        #expect(cookies.hasPrefix("HTTP/1.1 200"))
        #expect(cookies.contains("cookie: a=1; b=2\r\n"))
        #expect(!cookies.contains(token))
        #expect(!send(proxy, "/", ["Cookie: session=\(token)"]).lowercased().contains("cookie"))
        #expect(send(proxy, "/", ["Cookie: a=1; session=bad"]).hasPrefix("HTTP/1.1 401"))
        // Where no rule looks, nothing is a token.
        #expect(send(proxy, "/", ["Authorization: Bearer bad"]).contains("Authorization: Bearer bad\r\n"))
    }

    @Test func tokensInHeadersWithAPrefix() throws {
        var rule = Self.rule
        rule.fromHeaders = [.init(name: "x-token", prefix: "jwt:"), .init(name: "x-plain")]
        let proxy = try proxy([rule])
        let token = Self.token()
        for field in ["X-Token: jwt:\(token)", "x-plain: \(token)"] {
            let answer = send(proxy, "/", [field])
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(!answer.contains(token))
        }
        #expect(send(proxy, "/", ["X-Token: JWT:\(token)"]).contains("X-Token: JWT:\(token)"))
        #expect(send(proxy, "/", ["X-Plain: \(token)."]).hasPrefix("HTTP/1.1 401"))
    }

    @Test func severalIssuers() throws {
        let other = TestIssuer()
        let proxy = try proxy([
            JWTRule(issuer: "https://issuer.test", keys: .inline(other.keySet)), Self.rule,
            JWTRule(issuer: "https://other.test", keys: .inline(other.keySet)),
        ])
        // Any rule of its issuer may accept a token; those of others may not.
        #expect(send(proxy, "/", ["Authorization: Bearer \(Self.token())"]).hasPrefix("HTTP/1.1 200"))
        let second = other.token(#"{"iss":"https://other.test"}"#)
        #expect(send(proxy, "/", ["Authorization: Bearer \(second)"]).hasPrefix("HTTP/1.1 200"))
        let crossed = Self.token(issuer: "https://other.test")
        #expect(send(proxy, "/", ["Authorization: Bearer \(crossed)"]).hasPrefix("HTTP/1.1 401"))
    }

    // MARK: What backends get

    @Test func claimsBecomeFieldsAndClientsCannotForgeThem() throws {
        var rule = Self.rule
        rule.forwardsToken = true
        rule.outputPayloadHeader = "X-Payload"
        rule.outputClaims = [
            .init(header: "X-Sub", claim: ["sub"]), .init(header: "X-Level", claim: ["user", "level"]),
            .init(header: "X-Admin", claim: ["admin"]), .init(header: "X-List", claim: ["list"]),
            .init(header: "X-None", claim: ["none"]), .init(header: "X-Split", claim: ["split"]),
            .init(header: "Content-Length", claim: ["user", "level"]),
        ]
        let proxy = try proxy([rule])
        let forged = ["x-sub: root", "X-PAYLOAD: x", "X-Level: 99", "X-Admin: true", "X-List: x", "X-None: x"]
        let token = Self.token(
            #""sub":"al\u0069ce","user":{"level":7},"admin":false,"list":["a"],"split":"a\r\nX-Evil: 1""#)
        let answer = send(proxy, "/", forged + ["Authorization: Bearer \(token)"])
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.contains("X-Sub: alice\r\nX-Level: 7\r\nX-Admin: false\r\n"))
        #expect(answer.contains("X-Payload: \(token.split(separator: ".")[1])\r\n"))
        #expect(answer.contains("Authorization: Bearer \(token)\r\n"))
        for text in ["x-sub: root", "X-Level: 99", "X-List", "X-None", "Evil", "X-PAYLOAD", "X-Split"] {
            #expect(!answer.contains(text), "\(text)")
        }
        // Without a token nothing is written, and what the client wrote is gone all the same.
        let bare = send(proxy, "/", forged)
        #expect(bare.hasPrefix("HTTP/1.1 200"))
        for text in ["x-sub", "x-payload", "x-level", "x-admin", "x-list", "x-none"] {
            #expect(!bare.lowercased().contains(text), "\(text)")
        }
    }

    // MARK: Keys

    @Test func keysInAFileAreReadAgainWhenTheyChange() throws {
        let path = "/tmp/weft-keys-\(getpid())-\(UInt32.random(in: .min ... .max)).json"
        defer { _ = unsafe unlink(path) }
        func write(_ text: String) {
            let file = unsafe fopen(path + ".new", "w")
            unsafe fputs(text, file)
            unsafe fclose(file)
            _ = unsafe rename(path + ".new", path)
        }
        let proxy = try proxy([JWTRule(issuer: "https://issuer.test", keys: .url("file://\(path)"))])
        let fields = ["Authorization: Bearer \(Self.token())"]
        // No keys, no tokens: whatever they are.
        #expect(send(proxy, "/", fields).contains("jwt_authn_access_denied{Jwks_not_available}"))
        #expect(send(proxy).hasPrefix("HTTP/1.1 200"))
        #expect(TestProxy.eventually { proxy.engine.tokenIssuers.first?.problem?.contains(path) ?? false })
        write(Self.issuer.keySet)
        #expect(TestProxy.eventually { send(proxy, "/", fields).hasPrefix("HTTP/1.1 200") })
        // A file that is broken changes nothing.
        write("{")
        #expect(TestProxy.eventually { proxy.engine.tokenIssuers.first?.problem?.contains("no JSON") ?? false })
        #expect(send(proxy, "/", fields).hasPrefix("HTTP/1.1 200"))
        // A key that is gone is no longer believed, not even for tokens that were verified before.
        write(TestIssuer("key-2").keySet)
        #expect(TestProxy.eventually { send(proxy, "/", fields).contains("Jwt_kid_is_not_found") })
        let status = try #require(proxy.engine.tokenIssuers.first)
        #expect(status.keys == 1 && status.successes == 2 && status.failures == 2 && status.problem == nil)
    }

    @Test func rulesThatStayKeepTheirKeysAcrossConfigurations() throws {
        let proxy = try proxy([Self.rule])
        let fields = ["Authorization: Bearer \(Self.token())"]
        #expect(send(proxy, "/", fields).hasPrefix("HTTP/1.1 200"))
        publish([Self.rule], on: proxy)
        #expect(send(proxy, "/", fields).hasPrefix("HTTP/1.1 200"))
        #expect(proxy.engine.tokenIssuers.first?.successes == 1)
        // The same token by a stricter rule: what was found out before does not count.
        var strict = Self.rule
        strict.audiences = ["shop"]
        publish([strict], on: proxy)
        #expect(TestProxy.eventually { send(proxy, "/", fields).contains("Audiences_in_Jwt_are_not_allowed") })
        publish([], on: proxy)
        #expect(TestProxy.eventually { send(proxy, "/", ["Authorization: Bearer x"]).hasPrefix("HTTP/1.1 200") })
    }

    // MARK: Cost

    @Test func aTokenThatComesAgainAllocatesNothing() throws {
        var options = ProxyOptions()
        options.threadName = "tokens"
        var rule = Self.rule
        rule.outputPayloadHeader = "x-payload"
        rule.outputClaims = [.init(header: "x-sub", claim: ["sub"])]
        let proxy = try proxy([rule], options: options)
        let tokens = (0..<8).map { Self.token(#""sub":"user-\#($0)""#) }
        let client = proxy.connect()
        func serve(_ count: Int) {
            for number in 0..<count {
                client.send("GET / HTTP/1.1\r\nHost: web\r\nAuthorization: Bearer \(tokens[number & 7])\r\n\r\n")
                let head = client.receive(until: "\r\n\r\n")
                let length = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
                _ = client.receive(count: Int(length?.dropFirst(16) ?? "0") ?? 0)
            }
        }
        serve(200)
        let before = unsafe weft_allocations_of_thread("tokens-0")
        #expect(before >= 0)
        serve(2_000)
        #expect(unsafe weft_allocations_of_thread("tokens-0") - before == 0)
        #expect(TestProxy.eventually { proxy.requests(status: 200).count == 2_200 })
    }
}
