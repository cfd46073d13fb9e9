import Foundation
import Testing

extension NodeTests {
    /// Requests in tunnels that no proxy reads.
    @Suite("HTTP in tunnels")
    struct TunnelReadingTests {
        private struct Counted: Equatable, CustomStringConvertible {
            /// By `STATUS FLAGS`.
            var requests: [String: Int] = [:]
            var requestBytes = 0
            var responseBytes = 0

            var description: String { "\(requests.sorted { $0.key < $1.key }) \(requestBytes) \(responseBytes)" }
        }

        /// What one end says.
        private func counted(_ node: Node, _ reporter: String) throws -> Counted {
            let labels = ["reporter": reporter, "destination_service_name": "mix"]
            let metrics = try node.scrape()
            var counted = Counted()
            for sample in metrics.matching("istio_requests_total", labels) {
                let end = ["weft_lane", "connection_security_policy", "source_workload", "destination_workload"]
                #expect(end.map { sample.labels[$0] ?? "" } == ["tunnel", "mutual_tls", "client", "mix"])
                let (status, flags) = (sample.labels["response_code"] ?? "", sample.labels["response_flags"] ?? "")
                counted.requests["\(status) \(flags)", default: 0] += Int(sample.value)
            }
            counted.requestBytes = Int(metrics.sum("istio_request_bytes_sum", labels))
            counted.responseBytes = Int(metrics.sum("istio_response_bytes_sum", labels))
            return counted
        }

        @Test("A client that splits, pipelines and breaks off at random: both nodes count what it has in its books")
        func mixed() throws {
            try Cluster.run { cluster in
                let address = "10.77.0.40"
                try cluster.sandbox.makeCgroup("b/mix")
                try cluster.add(address, to: cluster.b)
                let paths = ["/204/{size}/{framing}/{end}", "/{status}/{size}/{framing}/{end}"]
                try cluster.apply(
                    Manifest.selecting("mix", address: "10.96.0.40", app: "mix").annotated(
                        "mix", "weft.dev/routes", paths.joined(separator: ", ")),
                    cluster.workload("mix", node: "node-b", address: address, cgroup: "b/mix", port: 8080))
                let script = [Host.python, Host.script("http_mix.py")]
                let server = try cluster.sandbox.start(
                    script + ["serve", address, "8080"], in: "b/mix", namespace: cluster.b.namespace)
                try server.waitForOutput("listening") { $0.contains("ready\n") }
                let clients = try (1...2).map { seed in
                    try cluster.sandbox.start(
                        script + ["ask", "10.96.0.40", "80", Host.isLong ? "1300" : "50", "\(seed)"], in: "a/client",
                        namespace: cluster.a.namespace)
                }
                var expected = Counted()
                for client in clients {
                    let result = try client.wait(timeout: 300)
                    #expect(result.succeeded, "\(result.errors)")
                    let books = try JSON(result.output)
                    for (kind, count) in books["requests"].object {
                        expected.requests[kind, default: 0] += count.int ?? 0
                    }
                    expected.requestBytes += books["requestBytes"].int ?? 0
                    expected.responseBytes += books["responseBytes"].int ?? 0
                }
                for (node, reporter) in [(cluster.a, "source"), (cluster.b, "destination")] {
                    var found = Counted()
                    try? eventually("all connections have ended", within: 5) {
                        found = try counted(node, reporter)
                        return found == expected
                    }
                    #expect(found == expected, "\(reporter)")
                    let metrics = try node.scrape()
                    #expect(metrics.sum("weft_http_unparsed_total") == 0)
                    let total = expected.requests.values.reduce(0, +)
                    // Of what was broken off the books have no path.
                    let routes = paths.map { path in
                        metrics.sum("weft_http_route_requests_total", ["reporter": reporter, "http_route": path])
                    }
                    let without = Double(expected.requests["204 -"] ?? 0)
                    let broken =
                        Double(total) - Double(expected.requests.filter { $0.key.hasSuffix(" -") }.values.reduce(0, +))
                    #expect(routes.reduce(0, +) == Double(total))
                    #expect(routes[0] >= without && routes[0] <= without + broken, "\(routes)")
                }
                // The server's end tells of the requests in its flow records too.
                let flows = try cluster.b.weftJSONLines("flows", "--lane", "tunnel", "--http-status", "2xx")
                #expect(flows.contains { $0["reporter"].string == "destination" && $0["http_requests"].int ?? 0 > 0 })
            }
        }
    }
}
