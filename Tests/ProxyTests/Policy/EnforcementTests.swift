import Glibc
import Mesh
import Proxy
import Synchronization
import Testing

/// The engine refuses what policies do not allow, on real connections.
@Suite struct EnforcementTests {
    private static let echo = { @Sendable (request: String) -> String in
        let line = request.split(separator: "\r\n").first ?? ""
        return "HTTP/1.1 200 OK\r\nContent-Length: \(line.utf8.count)\r\n\r\n\(line)"
    }

    private static func allowClients(_ name: String = "clients") -> AuthorizationPolicy {
        .make(name, .allow, [.from { $0.principals = [.exact("cluster.local/ns/shop/sa/client")] }])
    }

    private static func denyPath(_ path: String, _ name: String = "paths") -> AuthorizationPolicy {
        .make(name, .deny, [.to { $0.paths = [.text(StringMatch(path))] }])
    }

    @Test func whoIsAllowedGetsThrough() throws {
        let backend = TestBackend(answering: Self.echo)
        let proxy = try PolicyProxy([Self.allowClients()], to: [backend.port])
        #expect(proxy.get("/x").hasSuffix("GET /x HTTP/1.1"))
        #expect(proxy.counts("shop/clients[0]") == ["allow enforce": 1])
    }

    @Test(arguments: [PolicyProxy.stranger, nil]) func whoIsNotAllowedIsToldByWhom(_ workload: ObjectName?) throws {
        let backend = TestBackend(answering: Self.echo)
        let proxy = try PolicyProxy([Self.allowClients()], to: [backend.port])
        proxy.become(workload)
        let answer = proxy.get()
        #expect(answer.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
        #expect(answer.contains("\r\nx-weft-reason: shop/clients (no rule matched)\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nRBAC: access denied"))
        #expect(backend.connections == 0)
        #expect(proxy.counts("shop/clients (no rule matched)") == ["deny enforce": 1])
    }

    @Test func theClientIsNotToldTheRuleIfThatIsOff() throws {
        let backend = TestBackend(answering: Self.echo)
        var options = ProxyOptions()
        options.namesPolicies = false
        let proxy = try PolicyProxy([Self.denyPath("/secret")], to: [backend.port], options: options)
        let answer = proxy.get("/secret")
        #expect(answer.hasPrefix("HTTP/1.1 403 "))
        #expect(!answer.contains("x-weft-reason"))
        #expect(!answer.contains("shop"))
    }

    @Test func gRPCClientsGetAStatus() throws {
        let backend = TestBackend(answering: Self.echo)
        let proxy = try PolicyProxy([Self.denyPath("/pkg.Service/*")], to: [backend.port])
        let answer = proxy.get("/pkg.Service/Call", "Content-Type: application/grpc+proto\r\n", method: "POST")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(answer.contains("\r\ngrpc-status: 7\r\n"))
        #expect(answer.contains("\r\ngrpc-message: RBAC: access denied\r\n"))
        #expect(answer.contains("\r\nx-weft-reason: shop/paths[0]\r\n"))
        #expect(backend.connections == 0)
    }

    @Test func theAccessLogNamesTheRule() throws {
        let backend = TestBackend(answering: Self.echo)
        let proxy = try PolicyProxy([Self.denyPath("/secret")], to: [backend.port])
        proxy.engine.requestLogs[0].set(.all)
        _ = proxy.get("/secret")
        var seen: [String] = []
        for _ in 0..<300 where seen.isEmpty {
            _ = proxy.engine.requestLogs[0].drain { entry in
                let rule = unsafe entry.text(.policy).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
                seen.append("\(entry.record.status) \(entry.record.detail.text) \(rule)")
                #expect(entry.record.flags == .unauthorized)
            }
            usleep(10_000)
        }
        #expect(seen == ["403 rbac_access_denied_matched_policy shop/paths[0]"])
    }

    @Test func aConnectionMeetsTheRulesOfEachMoment() throws {
        let backend = TestBackend(answering: Self.echo)
        let proxy = try PolicyProxy([], to: [backend.port])
        let client = proxy.connect()
        func status() -> String {
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            let answer = client.receive(until: "\r\n\r\n")
            _ = client.receive(count: answer.contains("200 OK") ? "GET / HTTP/1.1".utf8.count : 19)
            return String(answer.dropFirst(9).prefix(3))
        }
        func becomes(_ wanted: String) -> Bool {
            for _ in 0..<300 {
                if status() == wanted { return true }
                usleep(10_000)
            }
            return false
        }
        #expect(status() == "200")
        proxy.publish([Self.denyPath("*")], to: [backend.port])
        #expect(becomes("403"))
        proxy.publish([], to: [backend.port])
        #expect(becomes("200"))
    }

    @Test func anotherWorkloadIsAnotherDecision() throws {
        // The first endpoint refuses connections; the second one's policies refuse the request.
        let (descriptor, dead) = listen()
        close(descriptor)
        let backend = TestBackend(answering: Self.echo)
        let closed = AuthorizationPolicy.make("closed") { $0.selector = ["name": "web-1"] }
        let proxy = try PolicyProxy([closed], to: [dead, backend.port]) { rule in
            var retry = RetryPolicy()
            retry.conditions = [.connectFailure]
            retry.avoidsPreviousHosts = true
            rule.retry = retry
        }
        for _ in 0..<8 {
            let answer = proxy.get()
            #expect(answer.hasPrefix("HTTP/1.1 403 "), "\(answer)")
        }
        #expect(backend.connections == 0)
    }

    @Test func policiesOfTheServiceComeBeforeItsEndpoints() throws {
        let policy = AuthorizationPolicy.make("web-only", .deny, [.to { $0.methods = [.exact("DELETE")] }]) {
            $0.targetServices = ["web"]
        }
        let proxy = try PolicyProxy([policy], to: [])
        #expect(proxy.get(method: "DELETE").hasPrefix("HTTP/1.1 403 "))
        #expect(proxy.get().hasPrefix("HTTP/1.1 503 "))
    }

    @Test func workloadPoliciesSeeWhatTheWorkloadGets() throws {
        let backend = TestBackend(answering: Self.echo)
        let admin = AuthorizationPolicy.make(
            "admin", .deny, [.when(.requestHeader(name: "x-role", values: [.exact("admin")], notValues: []))])
        let proxy = try PolicyProxy([Self.denyPath("/internal*"), admin], to: [backend.port]) { rule in
            var match = HTTPMatch()
            match.path = .prefix("/public")
            rule.matches = [match]
            rule.rewrite = URLRewrite(path: .prefix("/internal"))
        }
        #expect(proxy.get("/public/x").hasPrefix("HTTP/1.1 403 "))
        var rule = PolicyProxy.rule
        rule.requestHeaders = HeaderModification(set: [.init(name: "X-Role", value: "admin")])
        proxy.publish([Self.denyPath("/internal*"), admin], to: [backend.port], rule: rule)
        for _ in 0..<300 where !proxy.get("/x").contains("shop/admin[0]") { usleep(10_000) }
        #expect(proxy.get("/x").contains("\r\nx-weft-reason: shop/admin[0]\r\n"))
        #expect(backend.connections == 0)
    }

    @Test func aWorkloadThatTakesTheTunnelDecidesItself() throws {
        let backend = TestBackend(answering: Self.echo)
        let name = ObjectName(namespace: "shop", name: "web-0")
        let remote = { (snapshot: inout MeshSnapshot) in
            snapshot.workloads[name]?.isLocal = false
            snapshot.workloads[name]?.takesTunnel = true
        }
        let proxy = try PolicyProxy([Self.denyPath("*")], to: [backend.port], change: remote)
        #expect(proxy.get().hasPrefix("HTTP/1.1 200 "))
        proxy.publish([Self.denyPath("*")], to: [backend.port]) { snapshot in
            snapshot.workloads[name]?.isLocal = false
        }
        for _ in 0..<300 where !proxy.get().hasPrefix("HTTP/1.1 403 ") { usleep(10_000) }
        #expect(proxy.get().hasPrefix("HTTP/1.1 403 "))
    }

    @Test func whoIsNotKnownIsClosed() throws {
        let backend = TestBackend(answering: Self.echo)
        let elsewhere = AuthorizationPolicy.make("elsewhere", .deny, [.to { $0.methods = [.exact("PUT")] }]) {
            $0.selector = ["app": "other"]
        }
        let forget = { (snapshot: inout MeshSnapshot) in
            snapshot.workloads[ObjectName(namespace: "shop", name: "web-0")] = nil
        }
        let proxy = try PolicyProxy([elsewhere], to: [backend.port], change: forget)
        #expect(proxy.get().contains("\r\nx-weft-reason: unknown workload\r\n"))
        let open = try PolicyProxy([], to: [backend.port], change: forget)
        #expect(open.get().hasPrefix("HTTP/1.1 200 "))
    }

    @Test func shadowPoliciesOnlyCount() throws {
        let backend = TestBackend(answering: Self.echo)
        var shadow = Self.denyPath("/a", "shadow")
        shadow.isShadow = true
        let audit = AuthorizationPolicy.make("audit", .audit, [.to { $0.methods = [.exact("GET")] }])
        let proxy = try PolicyProxy([shadow, audit], to: [backend.port])
        #expect(proxy.get("/a").hasPrefix("HTTP/1.1 200 "))
        #expect(proxy.get("/b").hasPrefix("HTTP/1.1 200 "))
        #expect(proxy.counts("shop/shadow[0]") == ["deny shadow": 1])
        #expect(proxy.counts("shop/audit[0]") == ["audit enforce": 2])
    }

    @Test func countersGoOnWithANewConfiguration() throws {
        let backend = TestBackend(answering: Self.echo)
        let proxy = try PolicyProxy([Self.denyPath("/a")], to: [backend.port])
        _ = proxy.get("/a")
        proxy.publish([Self.denyPath("/a"), Self.allowClients()], to: [backend.port])
        _ = proxy.get("/a")
        #expect(proxy.counts("shop/paths[0]") == ["deny enforce": 2])
    }

    @Test(arguments: [(false, "503"), (true, "200")]) func whoCannotBeAskedDecidesAsConfigured(
        _ failsOpen: Bool, _ status: String
    ) throws {
        let backend = TestBackend(answering: Self.echo)
        let custom = AuthorizationPolicy.make("ext", .custom, [.to { $0.paths = [.text(.prefix("/a"))] }])
        let proxy = try PolicyProxy(
            [custom], to: [backend.port],
            change: { snapshot in
                var opa = ExternalAuthorizer(
                    name: "opa", api: .grpc, service: ObjectName(namespace: "auth", name: "gone"), port: 9000)
                opa.failsOpen = failsOpen
                opa.statusOnError = 503
                opa.timeout = 100
                snapshot.authorizers["opa"] = opa
            })
        #expect(proxy.get("/a").hasPrefix("HTTP/1.1 \(status) "))
        #expect(proxy.get("/b").hasPrefix("HTTP/1.1 200 "))
        #expect(proxy.counts("shop/ext[0]") == [failsOpen ? "allow enforce" : "deny enforce": 1])
    }
}
