import Foundation
import Testing

extension NodeTests {
    /// What an agent itself connects to on another node: with its own identity.
    @Suite("Tunnels of agents")
    struct TunnelAgentTests {
        private static let api = "10.96.0.11"
        private static let apiAddress = "10.77.0.22"
        private static let extAddress = "10.77.0.13"
        private static let principal = "spiffe://cluster.local/ns/weft-system/sa/weftd"

        private let strict = """
            apiVersion: security.istio.io/v1
            kind: PeerAuthentication
            metadata: { name: default, namespace: shop }
            spec: { mtls: { mode: STRICT } }

            """

        /// `api` on node b, whose requests `ext` on node a decides about, and whose health node a checks.
        private func documents(_ cluster: Cluster, authorizer: String, port: Int, check: String) -> String {
            func workload(_ name: String, node: String, address: String, cgroup: String, ports: [Int]) -> String {
                """
                apiVersion: weft.dev/v1alpha1
                kind: Workload
                metadata: { name: \(name), namespace: shop, labels: { app: \(name) } }
                spec:
                  serviceAccount: \(name)
                  node: \(node)
                  addresses: ["\(address)"]
                  match: { cgroup: "\(cluster.sandbox.cgroupPath(cgroup))" }
                  ports: [\(ports.map { "{ name: p\($0), port: \($0) }" }.joined(separator: ", "))]

                """
            }
            return [
                strict, Manifest.selecting("api", address: Self.api, app: "api"),
                workload("api", node: "node-b", address: Self.apiAddress, cgroup: "b/api", ports: [8080]),
                Manifest.selecting("ext", address: "10.96.0.12", app: "ext", port: port, targetPort: port),
                workload("ext", node: "node-a", address: Self.extAddress, cgroup: "a/ext", ports: [8000, 9000]),
                """
                apiVersion: weft.dev/v1alpha1
                kind: TrafficPolicy
                metadata: { name: api, namespace: shop }
                spec:
                  targetRefs: [{ group: "", kind: Service, name: api }]
                  healthCheck: { \(check), interval: 200ms, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1 }

                """,
                """
                apiVersion: weft.dev/v1alpha1
                kind: ExtensionProvider
                metadata: { name: ext }
                spec: { \(authorizer): { service: ext.shop.svc.cluster.local, port: \(port), timeout: 2s } }

                """,
                """
                apiVersion: security.istio.io/v1
                kind: AuthorizationPolicy
                metadata: { name: ask, namespace: shop }
                spec:
                  selector: { matchLabels: { app: api } }
                  action: CUSTOM
                  provider: { name: ext }
                  rules: [{ to: [{ operation: { notPaths: [/healthz] } }] }]

                """,
            ].joined(separator: "---\n")
        }

        private func add(_ address: String, in namespace: NetworkNamespace?, _ sandbox: Sandbox) throws {
            try sandbox.check([
                "nsenter", "--net=\(namespace?.path ?? "")", "ip", "address", "add", "\(address)/24", "dev", "eth0",
            ])
        }

        @Test("Where plaintext is refused, health checks and questions to authorizers go through tunnels")
        func underStrict() throws {
            try Cluster.run(strict) { cluster in
                let sandbox = cluster.sandbox
                for name in ["a/ext", "b/api"] { try sandbox.makeCgroup(name) }
                try add(Self.extAddress, in: cluster.a.namespace, sandbox)
                try add(Self.apiAddress, in: cluster.b.namespace, sandbox)
                func serve() throws -> Command {
                    let api = try sandbox.start(
                        [Host.python, Host.script("echo.py"), "api", Self.apiAddress, "8080"], in: "b/api",
                        namespace: cluster.b.namespace)
                    try api.waitForOutput("listening") { $0.contains("ready\n") }
                    return api
                }
                var api = try serve()
                for (kind, port) in [("http", "8000"), ("grpc", "9000")] {
                    let interpreter = kind == "grpc" ? ["/usr/bin/python3", "-S"] : [Host.python]
                    let server = try sandbox.start(
                        interpreter + [Host.script("authorizer.py"), kind, Self.extAddress, port], in: "a/ext",
                        namespace: cluster.a.namespace,
                        environment: kind == "grpc" ? ["PYTHONPATH": Host.pythonPackages()] : [:])
                    try server.waitForOutput("listening", within: 20) { $0.contains("ready\n") }
                }
                func get(_ path: String) throws -> HTTPReply {
                    let request = HTTPRequestRow(path: path)
                    return try #require(
                        try sandbox.send(
                            [request], to: Self.api, port: 80, from: "a/client", namespace: cluster.a.namespace
                        ).first)
                }

                for (authorizer, port, check) in [
                    ("envoyExtAuthzGrpc", 9000, "tcp: {}"), ("envoyExtAuthzHttp", 8000, "http: { path: /healthz }"),
                ] {
                    try cluster.apply(documents(cluster, authorizer: authorizer, port: port, check: check))
                    try eventually("\(authorizer) allows", within: 15) { try get("/items").pod == "api" }
                    #expect(try get("/deny").status == 402, "\(authorizer)")
                    // Several checks later it still counts as healthy.
                    sleep(1)
                    #expect(try get("/items").status == 200, "\(check)")

                    // The other agent is there, and takes the tunnel's connection before the workload would.
                    api.stop()
                    // Who asks first finds out itself that nobody answers; soon nobody asks any more.
                    try eventually("the only endpoint counts as unhealthy for \(check)", within: 10) {
                        let reply = try get("/items")
                        #expect(reply.status == 503)
                        return reply.reason == "no_healthy_upstream"
                    }
                    api = try serve()
                    try eventually("it is healthy again for \(check)", within: 10) { try get("/items").pod == "api" }
                }
                // The agents' own identity is what the other ends have seen.
                try cluster.a.waitForMetrics("node a knows who has asked the authorizers") {
                    $0.sum(
                        "istio_tcp_connections_opened_total",
                        ["source_principal": Self.principal, "destination_workload": "ext"]) >= 1
                }
                let identities = try cluster.b.weftJSON("identity", "list").array.compactMap { $0["identity"].string }
                #expect(identities.contains(Self.principal), "\(identities)")

                // It was the client's node that knows: nothing goes through the tunnel.
                try cluster.a.waitForMetrics("node a has not asked") {
                    $0.sum(
                        "istio_requests_total",
                        ["reporter": "source", "response_flags": "UH", "destination_service_name": "api"]) >= 1
                }
            }
        }
    }
}
