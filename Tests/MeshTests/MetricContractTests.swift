import Foundation
import Testing

extension NodeTests {
    /// What other people's programs make of the metrics, and what hostile clients cannot make of them.
    @Suite("Metrics as a contract")
    struct MetricContractTests {
        private static let route = RouteCase.route(
            """
              - backendRefs:
                - { name: web-v1, port: 80 }
            """)

        @Test("prometheus-client's parsers and promtool take both formats, Linkerd's names among them")
        func formats() throws {
            try Host.require([("promtool", "prometheus")])
            try HTTPMesh.run(Self.route, flags: ["--metrics-compat", "linkerd"]) { mesh in
                for path in ["/fine", "/broken?status=503"] { _ = try mesh.get(path) }
                let url = "http://127.0.0.1:\(mesh.node.metricsPort)/metrics"
                try mesh.node.waitForMetrics("both requests are counted") {
                    $0.sum("istio_requests_total", ["reporter": "source"]) == 2
                }
                let result = try mesh.sandbox.run(
                    [Host.python, Host.script("openmetrics.py"), url],
                    environment: ["PYTHONPATH": Host.pythonPackages()])
                #expect(result.succeeded, "\(result.errors)")
                let parsed = try JSON(result.output)
                #expect(parsed["openmetrics"]["type"].string?.hasPrefix("application/openmetrics-text") == true)
                #expect(parsed["text"]["type"].string?.hasPrefix("text/plain; version=0.0.4") == true)
                let families = parsed["openmetrics"]["families"]
                for (name, type) in [
                    ("istio_requests", "counter"), ("istio_request_duration_milliseconds", "histogram"),
                    ("istio_tcp_connections_opened", "counter"), ("weft_map_pressure", "gauge"),
                    ("request", "counter"), ("response", "counter"), ("response_latency_ms", "histogram"),
                    ("tcp_open", "counter"), ("tcp_open_connections", "gauge"),
                ] {
                    #expect(families[name]["type"].string == type, "\(name)")
                    #expect(families[name]["samples"].int ?? 0 > 0, "\(name)")
                }
                #expect(families.object.keys.sorted() == parsed["text"]["families"].object.keys.sorted())

                let check = try mesh.sandbox.run(["bash", "-c", "curl -sSf \(url) | promtool check metrics"])
                // The names of others say milliseconds.
                let complaints = (check.output + check.errors).split(separator: "\n").filter {
                    !$0.contains("use base unit \"seconds\"") && !$0.contains("abbreviated unit")
                }
                #expect(complaints.isEmpty, "\(complaints)")
            }
        }

        /// Of the families of requests: by name and labels but the lane's, what has been counted.
        private func requests(_ metrics: Metrics, lane: String) -> [String: Double] {
            var found: [String: Double] = [:]
            for sample in metrics.samples where sample.labels["weft_lane"] == lane {
                let isSize =
                    sample.name.hasPrefix("istio_request_bytes") || sample.name.hasPrefix("istio_response_bytes")
                // Errors' bodies tell what the server has received, which is more when a proxy is in between.
                guard
                    sample.name == "istio_requests_total" || sample.name.hasSuffix("duration_milliseconds_count")
                        || isSize && sample.labels["response_code"] == "200"
                else { continue }
                let labels = sample.labels.filter { $0.key != "weft_lane" }.sorted { $0.key < $1.key }
                found["\(sample.name) \(labels.map { "\($0.key)=\($0.value)" })"] = sample.value
            }
            return found
        }

        @Test("The same requests are the same series in the kernel's lane and in the proxy's, but for the lane's name")
        func parity() throws {
            try HTTPMesh.run { mesh in
                var rows: [HTTPRequestRow] = []
                for bytes in [0, 1, 700, 120_000] { rows.append(HTTPRequestRow(path: "/file?bytes=\(bytes)")) }
                for size in [3, 5000] {
                    rows.append(
                        HTTPRequestRow(
                            method: "POST", path: "/file?bytes=10", body: String(repeating: "x", count: size)))
                }
                for status in [404, 404, 503] { rows.append(HTTPRequestRow(path: "/error?status=\(status)")) }
                func read(_ lane: String) throws -> [String: Double] {
                    let replies = try mesh.send(rows, to: HTTPMesh.webV1)
                    #expect(replies.map(\.status) == [200, 200, 200, 200, 200, 200, 404, 404, 503])
                    try mesh.node.waitForMetrics("every request of the \(lane) lane is counted") {
                        $0.sum("istio_requests_total", ["weft_lane": lane]) == Double(2 * rows.count)
                    }
                    return requests(try mesh.node.scrape(), lane: lane)
                }
                let kernel = try read("kernel")
                try mesh.apply(
                    RouteCase.route(
                        """
                          - backendRefs:
                            - { name: web-v1, port: 80 }
                        """
                    ).replacing("kind: Service, name: web", with: "kind: Service, name: web-v1"))
                let proxy = try read("proxy")
                #expect(kernel.count >= 90)
                for (series, value) in proxy { #expect(kernel[series] == value, "\(series)") }
                #expect(kernel.keys.sorted() == proxy.keys.sorted())
            }
        }

        /// What an application's requests have left in the metrics of all its nodes: by name and labels, but for those that
        /// say how the requests went.
        private func series(_ application: ThreeServices, _ families: [String]) throws -> [String: Double] {
            var found: [String: Double] = [:]
            for node in application.nodes {
                for sample in try node.scrape().samples where families.contains(sample.name) {
                    let labels = sample.labels.filter {
                        $0.key != "weft_lane" && $0.key != "connection_security_policy"
                    }.sorted { $0.key < $1.key }
                    let name = "\(sample.name) \(labels.map { "\($0.key)=\($0.value)" })"
                    found[name, default: 0] += sample.value
                }
            }
            return found
        }

        /// Sends the same requests as every other time, and waits until all are counted.
        private func exercise(_ application: ThreeServices, lane: String) throws {
            #expect(try application.send("/ok", count: 6) == Array(repeating: 200, count: 6))
            #expect(try application.send("/fail-db", count: 3) == [502, 502, 502])
            #expect(try application.send("/none", count: 2) == [404, 404])
            // 11 of front, 9 of api, 18 of db, each at both ends.
            try eventually("every request of the \(lane) lane is counted", within: 10) {
                let counted = try application.nodes.map {
                    try $0.scrape().sum("istio_requests_total", ["weft_lane": lane])
                }
                return counted.reduce(0, +) == 76
            }
        }

        /// Who has asked whom for what, and how often, as one node sees it.
        private func graph(_ node: Node) throws -> [String] {
            try JSON(node.run(["graph", "--window", "5m", "--format", "json"]).output)["edges"].array
                .filter { $0["requests"].int ?? 0 > 0 }.map { edge in
                    let ends = ["from", "to", "service"].map { edge[$0].string ?? "-" }.joined(separator: " ")
                    return "\(ends) \(edge["requests"].int ?? 0) \(edge["success"].double ?? -1)"
                }.sorted()
        }

        @Test(
            "Three services: the same metrics and the same graph in the kernel's lane, in the proxy's and across nodes")
        func application() throws {
            let requests =
                ["istio_requests_total", "istio_request_duration_milliseconds_count"]
                + ["istio_request_bytes", "istio_response_bytes"].flatMap { ["\($0)_count", "\($0)_sum"] }
            let connections = ["istio_tcp_connections_opened_total"]
            var kernel: [String: Double] = [:]
            var kernelConnections: [String: Double] = [:]
            var kernelGraph: [String] = []
            try ThreeServices.run(routed: []) { application in
                try exercise(application, lane: "kernel")
                kernel = try series(application, requests)
                kernelConnections = try series(application, connections)
                try eventually("the graph has all three edges", within: 8) {
                    kernelGraph = try graph(application.node)
                    return kernelGraph.count == 3 && kernelGraph.contains { $0.contains("/db-1 shop/db 18 ") }
                }
            }
            #expect(kernel.count >= 70)
            func compare(_ application: ThreeServices, lane: String) throws {
                try exercise(application, lane: lane)
                let found = try series(application, requests)
                for (name, value) in found { #expect(kernel[name] == value, "\(lane): \(name)") }
                #expect(found.keys.sorted() == kernel.keys.sorted(), "\(lane)")
                for node in application.nodes {
                    var found: [String] = []
                    try? eventually("the graph is the same", within: 8) {
                        found = try graph(node)
                        return found == kernelGraph
                    }
                    #expect(found == kernelGraph, "\(lane), \(node.name)")
                }
            }
            try ThreeServices.run(routed: ["front", "api", "db"]) { try compare($0, lane: "proxy") }
            try ThreeServices.runAcrossNodes { application in
                try compare(application, lane: "tunnel")
                #expect(try series(application, connections) == kernelConnections)
            }
        }

        @Test("Route templates: counted and shown by template in the kernel's lane and in the proxy's, never by path")
        func templates() throws {
            let service = Manifest.selecting("users", address: "127.96.0.23", app: "web").annotated(
                "users", "weft.dev/routes", "GET /users/{id}, POST /users, /static/*, /users/{id}/orders/")
            let long = "/users/3?\(String(repeating: "q", count: 2000))"
            let rows = [
                ("GET", "/users/1"), ("GET", "/users/2?x=/a/b"), ("GET", long), ("HEAD", "/users/1"),
                ("GET", "/users/"),
                ("POST", "/users"), ("GET", "/static/a/b/c"), ("PUT", "/static/"), ("GET", "/users/1/orders/"),
                ("GET", "/users/1/orders"), ("GET", "/"),
            ].map { HTTPRequestRow(method: $0.0, path: $0.1) }
            let expected = [
                "GET /users/{id}": 3.0, "POST /users": 1, "/static/*": 2, "/users/{id}/orders/": 1,
            ]
            try HTTPMesh.run(service) { mesh in
                for (round, lane) in ["kernel", "proxy"].enumerated() {
                    let replies = try mesh.send(rows, to: "127.96.0.23")
                    #expect(replies.allSatisfy { $0.status == 200 }, "\(lane): \(replies.map(\.status))")
                    try mesh.node.waitForMetrics("every request of the \(lane) lane is counted") {
                        $0.sum("istio_requests_total", ["weft_lane": lane]) == Double(2 * rows.count)
                    }
                    let metrics = try mesh.node.scrape()
                    for reporter in ["source", "destination"] {
                        var found: [String: Double] = [:]
                        let name = "weft_http_route_requests_total"
                        for sample in metrics.matching(name, ["reporter": reporter, "response_code": "200"]) {
                            found[sample.labels["http_route"] ?? ""] = sample.value / Double(round + 1)
                        }
                        #expect(found == expected, "\(lane) \(reporter)")
                        #expect(
                            metrics.sum("weft_http_route_duration_milliseconds_count", ["reporter": reporter])
                                == metrics.sum(name, ["reporter": reporter]))
                    }
                    let steps = try mesh.node.weftJSON("map", "dump", "routes").array
                    #expect(steps.contains { $0["service"].string?.hasPrefix("shop/users") == true }, "\(steps)")
                    #expect(Set(steps.compactMap { $0["symbol"].string }).isSuperset(of: ["GET", "POST", "any"]))
                    try eventually("weft stat routes has them", within: 8) {
                        let routes = try mesh.node.weftJSON("stat", "routes", "shop/users", "--window", "5m").array
                        let found = Dictionary(
                            routes.map { ($0["route"].string ?? "", Double($0["requests"].int ?? 0)) }
                        ) { $0 + $1 }
                        return expected.allSatisfy { found[$0.key] == $0.value * Double(round + 1) }
                    }
                    if round == 0 { try mesh.apply(service, Manifest.route("users", service: "users")) }
                }
            }
        }

        @Test("Hosts, methods, paths and statuses that clients make up: bounded series and memory, all counted")
        func attack() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                for name in ["v1", "client"] { try sandbox.makeCgroup(name) }
                let mesh = HTTPMesh(sandbox: sandbox, node: node)
                let server = try sandbox.start(
                    [Host.python, Host.script("attack.py"), "serve", sandbox.address(1), "8080"], in: "v1")
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                // A fifth of them are for sets of labels with three histograms each.
                try node.start(mesh.manifest + "---\n" + Self.route, ["--max-series", "100"])

                func attack(_ count: Int, seed: Int) throws {
                    let client = try sandbox.run(
                        [
                            Host.python, Host.script("attack.py"), "attack", HTTPMesh.web, "80", "\(count)", "\(seed)",
                        ], in: "client", timeout: 120)
                    #expect(client.succeeded, "\(client.errors)")
                    let answers = try JSON(client.output).object.compactMapValues(\.int)
                    #expect(answers["none"] == nil)
                    #expect(answers.count > 500)
                    #expect(answers.values.reduce(0, +) == count)
                }
                let first = Host.isLong ? 50_000 : 4000
                try attack(first, seed: 1)
                try node.waitForMetrics("the first requests are counted") {
                    $0.sum("istio_requests_total") == Double(2 * first)
                }
                let before = try mesh.residentKiB()
                try attack(first, seed: 2)
                try node.waitForMetrics("all requests are counted, at both ends") {
                    $0.sum("istio_requests_total") == Double(4 * first)
                }
                let metrics = try node.scrape()
                #expect(metrics.matching("istio_requests_total").count == 41)
                #expect(metrics.sum("istio_requests_total", ["weft_lane": "overflow"]) > Double(3 * first))
                #expect(
                    metrics.sum("istio_request_duration_milliseconds_count") == metrics.sum("istio_requests_total"))
                #expect(metrics.matching("weft_route_requests_total").count <= 41)
                #expect(!metrics.text.contains(".example"))
                #expect(try mesh.residentKiB() - before < 8192)
            }
        }
    }
}
