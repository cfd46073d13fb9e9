import Foundation
import Testing

extension NodeTests {
    @Suite("Counters against the client's own books")
    struct AccountingTests {
        private func host(_ service: String) -> String { "\(service).shop.svc.cluster.local" }

        @Test("1,000 connections of random sizes, IPv4 and IPv6, TCP and UDP: every connection and byte")
        func exact() throws {
            try Sandbox.run { sandbox in
                let namespace = try sandbox.makeNamespace("a")
                try sandbox.serve(
                    [
                        "t4,transfer,127.0.0.1,8080", "u4,utransfer,127.0.0.1,8081", "t6,transfer,::1,8080",
                        "u6,utransfer,::1,8081",
                    ], in: "servers", namespace: namespace)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("tcp4", address: "127.96.0.10", endpoints: ["127.0.0.1"]),
                        Manifest.service(
                            "udp4", address: "127.96.0.11", targetPort: 8081, protocol: "UDP",
                            endpoints: ["127.0.0.1"]),
                        Manifest.service("tcp6", address: "fd77:96::10", endpoints: ["::1"]),
                        Manifest.service(
                            "udp6", address: "fd77:96::11", targetPort: 8081, protocol: "UDP", endpoints: ["::1"])))
                let services = ["tcp4", "udp4", "tcp6", "udp6"]
                let answer = try sandbox.client(
                    "transfer",
                    [
                        "targets": [
                            ["127.96.0.10", 80, "tcp"], ["127.96.0.11", 80, "udp"], ["fd77:96::10", 80, "tcp"],
                            ["fd77:96::11", 80, "udp"],
                        ],
                        "count": Host.isLong ? 20_000 : 1000, "seed": 20, "largest": 200_000,
                    ], namespace: namespace, timeout: 300)
                let books = answer["books"].array
                #expect(books.allSatisfy { $0["errors"].int == 0 })

                func counted(_ metrics: Metrics, _ name: String, _ service: String) -> Double {
                    let labels = ["reporter": "source", "destination_service": host(service)]
                    return metrics.sum("istio_tcp_\(name)_total", labels)
                }
                try node.waitForMetrics("every connection is closed") { metrics in
                    zip(services, books).allSatisfy {
                        counted(metrics, "connections_closed", $0) == $1["connections"].double
                    }
                }
                let metrics = try node.scrape()
                for (service, book) in zip(services, books) {
                    #expect(counted(metrics, "connections_opened", service) == book["connections"].double, "\(service)")
                    // Istio's metrics are the server's view: received is what clients sent.
                    #expect(counted(metrics, "received_bytes", service) == book["sent"].double, "\(service)")
                    #expect(counted(metrics, "sent_bytes", service) == book["received"].double, "\(service)")
                }
                #expect(metrics.sum("weft_events_lost_total") == 0)
            }
        }

        @Test("Counters of a connection that stays open move within five seconds")
        func openConnection() throws {
            try Shop.run { shop in
                let held = try shop.sandbox.hold(Shop.service, 80, count: 1, in: "alice")
                for round in 1...2 {
                    #expect(try held.echo("send 100000") == 1)
                    try shop.node.waitForMetrics("round \(round): the bytes are counted", within: 6) {
                        $0.sum(
                            "istio_tcp_received_bytes_total",
                            ["reporter": "source", "destination_service": host("web")]) == Double(round) * 100_000
                    }
                }
                let metrics = try shop.node.scrape()
                #expect(metrics.sum("istio_tcp_connections_opened_total", ["reporter": "source"]) == 1)
                #expect(metrics.sum("istio_tcp_connections_closed_total", ["reporter": "source"]) == 0)
                #expect(held.ended.isEmpty)
            }
        }

        @Test("A connection that fails is counted as failed")
        func failed() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                // Nobody listens there.
                try node.start(Manifest.service("web", address: "127.96.0.10", endpoints: [sandbox.address(9)]))
                for _ in 0..<3 { #expect(try sandbox.connect("127.96.0.10", 80).result == "ECONNREFUSED") }
                try node.waitForMetrics("three failures") {
                    $0.sum("weft_connections_total", ["destination_service": host("web"), "result": "failed"]) == 3
                }
            }
        }

        @Test("promtool finds nothing to say, and a real Prometheus gives the client's own count by service")
        func prometheus() throws {
            try Shop.run { shop in
                try Host.require([("promtool", "prometheus"), ("prometheus", "prometheus")])
                let sandbox = shop.sandbox
                let count = 137
                #expect(try sandbox.pick(Shop.service, 80, count: count, in: "alice").names["web"] == count)
                #expect(try shop.connect(from: "mallory").server == "web")
                try shop.node.waitForMetrics("the connections are counted") {
                    $0.sum("istio_tcp_connections_opened_total", ["reporter": "source"]) == Double(count + 1)
                }
                let file = "\(sandbox.directory)/metrics"
                try shop.node.scrape().text.write(toFile: file, atomically: false, encoding: .utf8)
                let promtool = try sandbox.run(["sh", "-c", "promtool check metrics < \(file)"])
                #expect(promtool.status == 0, "\(promtool.output)\(promtool.errors)")
                #expect(promtool.output + promtool.errors == "")

                let port = try Host.freePort()
                let configuration = """
                    global: { scrape_interval: 1s, scrape_timeout: 1s }
                    scrape_configs:
                    - job_name: weft
                      static_configs: [{ targets: ["127.0.0.1:\(shop.node.metricsPort)"] }]

                    """
                let path = "\(sandbox.directory)/prometheus.yml"
                try configuration.write(toFile: path, atomically: false, encoding: .utf8)
                let prometheus = try sandbox.start([
                    "prometheus", "--config.file=\(path)", "--storage.tsdb.path=\(sandbox.directory)/tsdb",
                    "--web.listen-address=127.0.0.1:\(port)",
                ])
                let query =
                    "sum by (destination_service, source_workload) "
                    + "(istio_tcp_connections_opened_total{reporter=\"source\"})"
                var results: [String: String] = [:]
                try eventually("Prometheus has scraped; it said: \(prometheus.errors.suffix(500))", within: 20) {
                    let result = try sandbox.run([
                        "curl", "-sS", "-G", "http://127.0.0.1:\(port)/api/v1/query", "--data-urlencode",
                        "query=\(query)",
                    ])
                    guard result.succeeded, let answer = try? JSON(result.output) else { return false }
                    for one in answer["data"]["result"].array {
                        let labels = one["metric"]
                        let key = ["source_workload", "destination_service"].map { labels[$0].string ?? "" }
                        results[key.joined(separator: " ")] = one["value"][1].string
                    }
                    return !results.isEmpty
                }
                #expect(results == ["alice \(host("web"))": "\(count)", "mallory \(host("web"))": "1"])
            }
        }
    }
}
