import Foundation
import Testing

extension NodeTests {
    /// Connections to services with rules about requests: captured, carried by the agent, and the way back.
    @Suite("The proxy lane")
    struct ProxyLaneTests {
        /// nginx as `web` and as `canary`, each a workload behind a service of its own, and the clients `alice` and
        /// `mallory`.
        private struct Mesh {
            static let web = "127.96.0.20"
            let sandbox: Sandbox
            let node: Node

            static func run(_ documents: [String], body: (Mesh) throws -> Void) throws {
                try Sandbox.run { sandbox in
                    try Host.require([("nginx", "nginx-light"), ("curl", "curl")])
                    let mesh = Mesh(sandbox: sandbox, node: try Node(sandbox))
                    for name in ["web", "canary", "alice", "mallory"] { try sandbox.makeCgroup(name) }
                    try mesh.node.start(mesh.manifest(documents))
                    for (number, name) in ["web", "canary"].enumerated() {
                        let path = "\(sandbox.directory)/\(name).conf"
                        try """
                        daemon off;
                        worker_processes 1;
                        pid \(sandbox.directory)/\(name).pid;
                        error_log stderr;
                        events { worker_connections 256; }
                        http {
                            access_log off;
                            server {
                                listen \(sandbox.address(number + 1)):8080;
                                location / { return 200 "\(name) $uri\\n"; }
                            }
                        }

                        """.write(toFile: path, atomically: false, encoding: .utf8)
                        _ = try sandbox.start(["nginx", "-c", path, "-p", sandbox.directory], in: name)
                        // Policies may let nobody ask nginx itself.
                        let place = "\(sandbox.address(number + 1)):8080"
                        try eventually("nginx listens") {
                            try !sandbox.run(["ss", "-Hltn", "src", place]).output.isEmpty
                        }
                    }
                    try body(mesh)
                }
            }

            func manifest(_ documents: [String]) -> String {
                ([
                    Manifest.selecting("web", address: Self.web, app: "web"),
                    Manifest.selecting("canary", address: "127.96.0.21", app: "canary"),
                    Manifest.workload(
                        "web", cgroup: sandbox.cgroupPath("web"), addresses: [sandbox.address(1)], port: 8080),
                    Manifest.workload(
                        "canary", cgroup: sandbox.cgroupPath("canary"), addresses: [sandbox.address(2)], port: 8080),
                    Manifest.workload("alice", cgroup: sandbox.cgroupPath("alice")),
                    Manifest.workload("mallory", cgroup: sandbox.cgroupPath("mallory")),
                ] + documents).joined(separator: "---\n")
            }

            func curl(_ arguments: String..., from workload: String = "alice") throws -> Command.Result {
                try sandbox.run(["curl", "-sS", "--max-time", "10"] + arguments, in: workload)
            }
        }

        private static func route(_ rules: String) -> String {
            """
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: { name: web, namespace: shop }
            spec:
              parentRefs: [{ group: "", kind: Service, name: web, port: 80 }]
              rules: \(rules)

            """
        }

        private static let toWeb = route("[{ backendRefs: [{ name: web, port: 80 }] }]")

        @Test("HTTPRoute by header and by weight, transparently: curl sees the service")
        func routes() throws {
            let rules = """
                [{ matches: [{ headers: [{ name: x-canary, value: "yes" }] }], backendRefs: [{ name: canary, port: 80 }] },
                 { backendRefs: [{ name: web, port: 80, weight: 3 }, { name: canary, port: 80, weight: 1 }] }]
                """
            try Mesh.run([Self.route(rules)]) { (mesh) throws in
                let url = "http://\(Mesh.web)/path"
                let direct = try mesh.curl("-H", "x-canary: yes", "-w", "%{remote_ip} %{remote_port}", url)
                #expect(direct.output == "canary /path\n\(Mesh.web) 80")
                let many = try mesh.curl("\(url)/[1-400]")
                let shares = Dictionary(grouping: many.output.split(separator: "\n")) { $0.prefix { $0 != " " } }
                    .mapValues(\.count)
                #expect(shares.values.reduce(0, +) == 400)
                // Four standard deviations of 400 draws at 3 : 1.
                #expect(abs((shares["web"] ?? 0) - 300) <= 35, "\(shares)")

                let explanation = try mesh.node.weftJSON("explain", "connect", "\(Mesh.web):80", "--from", "shop/alice")
                #expect(explanation["lane"].string == "proxy")
                #expect(explanation["outcome"].string == "connects")
                let lane = explanation["steps"].array.first { $0["step"].string == "lane" }
                #expect(lane?["text"].string == "proxy: demanded by HTTPRoute shop/web")
                let service = try mesh.node.weftJSON("service", "show", "shop/web")
                #expect(service.array.first?["lane"].string == "proxy")
                try mesh.node.waitForMetrics("the connections are counted in their lane") {
                    $0.sum(
                        "weft_connections_total",
                        ["lane": "proxy", "source": "shop/alice", "destination_service": "web.shop.svc.cluster.local"])
                        > 0
                }
            }
        }

        @Test("Who may not connect to where requests go is refused at connect(); the agent gets through for who may")
        func policies() throws {
            let policy = Manifest.policy("only-alice", action: "ALLOW", app: "web", rules: Manifest.from("alice"))
            try Mesh.run([Self.toWeb, policy]) { (mesh) throws in
                #expect(try mesh.curl("http://\(Mesh.web)/a").output == "web /a\n")
                #expect(try mesh.sandbox.connect(Mesh.web, 80, in: "mallory").result == "EPERM")
                // Nor by the agent's own listener, neither from the mesh nor from outside of it.
                let listener = "http://127.0.0.1:\(mesh.node.outboundPort)/a"
                #expect(try !mesh.curl(listener).succeeded)
                #expect(try !mesh.sandbox.run(["curl", "-sS", "--max-time", "10", listener]).succeeded)
            }
        }

        @Test("The agent's death: refused by default, and served again by the next one")
        func death() throws {
            try Mesh.run([Self.toWeb]) { (mesh) throws in
                #expect(try mesh.curl("http://\(Mesh.web)/a").output == "web /a\n")
                try mesh.node.kill()
                #expect(try mesh.sandbox.connect(Mesh.web, 80, in: "alice").result == "ECONNREFUSED")
                try mesh.node.start()
                try eventually("requests are served again") {
                    try mesh.curl("http://\(Mesh.web)/c").output == "web /c\n"
                }
            }
        }

        @Test("A workload in a network namespace of its own is captured there")
        func namespaces() throws {
            try Mesh.run([Self.toWeb]) { (mesh) throws in
                let namespace = try mesh.sandbox.makeNamespace("a")
                _ = try mesh.sandbox.start(["sleep", "30"], in: "alice", namespace: namespace)
                try eventually("the agent listens there") {
                    try mesh.sandbox.run(
                        ["curl", "-sS", "--max-time", "10", "http://\(Mesh.web)/ns"], in: "alice",
                        namespace: namespace
                    ).output == "web /ns\n"
                }
            }
        }

        @Test("Into the lane and out of it while a client goes on: no request fails")
        func changes() throws {
            try Mesh.run([Self.toWeb]) { (mesh) throws in
                let client = try mesh.sandbox.start(
                    [
                        "python3", "-uc",
                        """
                        import http.client, sys, time
                        kept = http.client.HTTPConnection('\(Mesh.web)', timeout=10)
                        end = time.time() + 8; served = 0
                        while time.time() < end:
                            for connection in (kept, http.client.HTTPConnection('\(Mesh.web)', timeout=10)):
                                connection.request('GET', '/x'); answer = connection.getresponse()
                                body = answer.read()
                                assert answer.status == 200 and body == b'web /x\\n', (answer.status, body)
                                served += 1
                                if connection is not kept: connection.close()
                            time.sleep(0.002)
                        print('served', served > 100)
                        """,
                    ], in: "alice")
                for turn in 0..<8 {
                    usleep(500_000)
                    try mesh.node.apply(mesh.manifest(turn % 2 == 0 ? [] : [Self.toWeb]))
                }
                let result = try client.wait(timeout: 30)
                #expect(result.output == "served True\n", "\(result.errors)")
            }
        }

        @Test("SIGTERM lets a request in progress come to its end")
        func draining() throws {
            try Mesh.run([Self.toWeb]) { (mesh) throws in
                let slow = "\(mesh.sandbox.address(1))"
                _ = try mesh.sandbox.start(
                    [
                        "python3", "-uc",
                        """
                        import http.server, time
                        class Slow(http.server.BaseHTTPRequestHandler):
                            def do_GET(self):
                                time.sleep(1.5); self.send_response(200); self.send_header('content-length', '5')
                                self.end_headers(); self.wfile.write(b'slow\\n')
                        http.server.ThreadingHTTPServer(('\(slow)', 8090), Slow).serve_forever()
                        """,
                    ], in: "web")
                let service = Manifest.service("slow", address: "127.96.0.22", targetPort: 8090, endpoints: [slow])
                let route = Self.toWeb.replacing("name: web", with: "name: slow")
                try mesh.node.apply(mesh.manifest([Self.toWeb, service, route]))
                try eventually("the server listens") {
                    try mesh.sandbox.run(["curl", "-s", "http://\(slow):8090/"]).succeeded
                }
                let client = try mesh.sandbox.start(
                    ["curl", "-sS", "--max-time", "10", "http://127.96.0.22/"], in: "alice")
                usleep(700_000)
                try mesh.node.terminate()
                let result = try client.wait(timeout: 10)
                #expect(result.output == "slow\n", "\(result.errors)")
            }
        }
    }
}
