import Foundation
import Testing

extension NodeTests {
    /// What the proxy lane tells of its requests: metrics, access log and command line.
    @Suite("What is seen of requests")
    struct SurfaceTests {
        private static let route = """
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: { name: web, namespace: shop }
            spec:
              parentRefs: [{ group: "", kind: Service, name: web, port: 80 }]
              rules:
              - matches: [{ path: { type: PathPrefix, value: /one } }]
                backendRefs: [{ name: web-v1, port: 80 }]
              - matches: [{ path: { type: PathPrefix, value: /two }, headers: [{ name: x-tier, value: free }] }]
                backendRefs: [{ name: web-v2, port: 80 }]

            """

        private func run(_ flags: [String] = [], _ body: (HTTPMesh) throws -> Void) throws {
            try HTTPMesh.run(Self.route, flags: flags, body: body)
        }

        private func curl(_ mesh: HTTPMesh, _ path: String, _ options: String...) throws -> Command.Result {
            try mesh.sandbox.run(
                ["curl", "-sS", "--max-time", "10"] + options + ["http://\(HTTPMesh.web)\(path)"], in: "client")
        }

        @Test("Each request counts in Istio's metrics, by who asked whom and what came of it")
        func metrics() throws {
            try run { mesh in
                for _ in 0..<7 { #expect(try curl(mesh, "/one/x").succeeded) }
                for _ in 0..<3 { #expect(try curl(mesh, "/nothing", "-o", "/dev/null").succeeded) }
                let source = ["reporter": "source", "weft_lane": "proxy"]
                let good = source.merging([
                    "response_code": "200", "response_flags": "-", "source_workload": "client",
                    "destination_workload": "web-v1", "destination_service": "web-v1.shop.svc.cluster.local",
                    "source_principal": "spiffe://cluster.local/ns/shop/sa/client",
                ]) { $1 }
                let missed = source.merging(["response_code": "404", "response_flags": "NR"]) { $1 }
                try mesh.node.waitForMetrics("the requests are counted") { metrics in
                    metrics.sum("istio_requests_total", good) == 7
                        && metrics.sum("istio_requests_total", missed) == 3
                }
                let metrics = try mesh.node.scrape()
                #expect(metrics.sum("istio_requests_total", source) == 10)
                #expect(metrics.sum("istio_request_duration_milliseconds_count", good) == 7)
                #expect(metrics.sum("istio_response_bytes_count", good) == 7)
                #expect(metrics.sum("istio_response_bytes_sum", good) > 0)
                #expect(metrics.sum("weft_route_requests_total", ["route": "HTTPRoute shop/web rule 0"]) == 7)
                #expect(metrics.sum("weft_proxy_downstream_connections_total") == 10)
            }
        }

        @Test("The access log has a line for each request that its policy wants, as JSON or as Envoy writes it")
        func accessLog() throws {
            for (policy, expected) in [("all", 4), ("errors", 1)] {
                try run(["--access-log", policy, "--access-log-file", "/tmp/weft-test-\(getpid())-access.log"]) {
                    mesh in
                    let path = "/tmp/weft-test-\(getpid())-access.log"
                    defer { try? FileManager.default.removeItem(atPath: path) }
                    func lines() -> [Substring] {
                        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
                        return text.split(separator: "\n")
                    }
                    for _ in 0..<3 { #expect(try curl(mesh, "/one/x?y=1", "-A", "test/1").succeeded) }
                    let refused = try curl(mesh, "/nothing", "-D", "-", "-o", "/dev/null")
                    #expect(refused.output.lowercased().contains("x-weft-reason: route_not_found"))
                    try eventually("the requests are in the log") { lines().count >= expected }
                    let entries = try lines().map { try JSON(String($0)) }
                    #expect(entries.count == expected)
                    let missed = try #require(entries.last { $0["response_code"].int == 404 })
                    #expect(missed["response_flags"].string == "NR")
                    #expect(missed["response_code_details"].string == "route_not_found")
                    guard policy == "all" else { return }
                    let first = entries[0]
                    #expect(first["method"].string == "GET")
                    #expect(first["path"].string == "/one/x?y=1")
                    #expect(first["response_code"].int == 200)
                    #expect(first["user_agent"].string == "test/1")
                    #expect(first["authority"].string == HTTPMesh.web)
                    #expect(first["route_name"].string == "HTTPRoute shop/web rule 0")
                    #expect(first["source_workload"].string == "shop/client")
                    #expect(first["destination_workload"].string == "shop/web-v1")
                    #expect(try mesh.node.scrape().sum("weft_events_lost_total", ["source": "access_log"]) == 0)
                }
            }
        }

        @Test("weft shows rules and endpoints, and explains a request as it is then decided")
        func commandLine() throws {
            try run { mesh in
                let node = mesh.node
                let rules = try node.weft("routes", "show", "shop/web")
                #expect(rules.succeeded, "\(rules.errors)")
                for text in ["HTTPRoute shop/web", "path prefix /one", "header x-tier = free", "shop/web-v1:80"] {
                    #expect(rules.output.contains(text), "\(rules.output)")
                }
                #expect(try node.weft("routes", "show", "shop/nothing").status == 1)

                for config in [[], ["--config", node.configDirectory]] {
                    func explain(_ arguments: String...) throws -> Command.Result {
                        try mesh.sandbox.run(
                            [Host.product("weft"), "explain", "request"] + arguments + config,
                            environment: node.cliEnvironment)
                    }
                    let one = try explain("GET", "http://web/one/x", "--from", "shop/client")
                    #expect(one.status == 0 && one.output.contains("shop/web-v1:80"), "\(one)")
                    let two = try explain("GET", "http://web.shop/two", "-H", "x-tier: free")
                    #expect(two.status == 0 && two.output.contains("shop/web-v2:80"), "\(two)")
                    let none = try explain("GET", "http://web.shop/two", "-H", "x-tier: paid")
                    #expect(none.status == 1 && none.output.contains("route_not_found"), "\(none)")
                    #expect(none.output.contains("header x-tier"), "\(none)")
                    #expect(try explain("GET", "http://nothing.shop/").status == 1)
                }

                for _ in 0..<5 { #expect(try curl(mesh, "/one").succeeded) }
                let endpoints = try node.weftJSON("endpoint", "list", "--service", "shop/web-v1").array
                let endpoint = try #require(
                    endpoints.first { $0["address"].string == "\(mesh.sandbox.address(1)):8080" })
                #expect(endpoint["health"].string == "healthy")
                #expect(endpoint["requests"].int == 5)
                let average = try #require(endpoint["averageMilliseconds"].double)
                #expect(average > 0 && average < 10_000)
            }
        }
    }
}
