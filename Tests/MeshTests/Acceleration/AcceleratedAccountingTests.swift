import Foundation
import Testing

extension NodeTests {
    @Suite("Accelerated connections: counters against the applications' own books")
    struct AcceleratedAccountingTests {
        private static let labels = ["reporter": "source", "destination_service_name": "web"]

        @Test("Every connection and byte, whichever way it went, counts once")
        func bytes() throws {
            try AcceleratedMesh.run { mesh in
                let server = try mesh.sandbox.soakServer(mesh.serverAddress, AcceleratedMesh.port, .epoll)
                let client = try mesh.sandbox.soakClient(
                    AcceleratedMesh.web, 80, .uring,
                    [
                        "--connections", "60", "--total", Host.isLong ? "5000" : "300", "--bytes",
                        Host.isLong ? "5000000000" : "300000000", "--abort", "0", "--stall", "100",
                    ])
                try eventually("connections of the client are among the pairs", within: 20) {
                    try mesh.node.weftJSON("map", "dump", "pairs").array.contains {
                        $0["source"].string == "shop/client" && $0["destination"].string == "shop/server"
                            && $0["service"].string?.hasPrefix("shop/web") == true
                            && $0["fromClient"]["redirectedBytes"].int ?? 0 > 0
                    }
                }
                let (own, servers) = try Soak.finish(client, [server], within: 120)
                #expect(own.failure == nil && servers[0].failure == nil)
                func counted(_ name: String, _ metrics: Metrics) -> Int {
                    Int(metrics.sum("istio_tcp_\(name)_total", Self.labels))
                }
                try mesh.node.waitForMetrics("every connection is closed") {
                    counted("connections_closed", $0) == own.connections
                }
                let metrics = try mesh.node.scrape()
                #expect(counted("connections_opened", metrics) == own.connections)
                // Istio's metrics are the server's view: received is what clients sent.
                #expect(counted("received_bytes", metrics) == own.sentBytes)
                #expect(counted("sent_bytes", metrics) == own.receivedBytes)
                #expect(servers[0].receivedBytes == own.sentBytes)
                let lane = try mesh.counted()
                #expect(lane.connections == own.connections)
                #expect(lane.redirectedBytes > 0 && lane.demotions > 0, "\(lane)")
                #expect(lane.redirectedBytes < own.sentBytes + own.receivedBytes)
            }
        }

        @Test("HTTP requests that are redirected are read, and are those of the server's log")
        func requests() throws {
            try AcceleratedMesh.run(capBytes: 256 * 1024) { mesh in
                let sandbox = mesh.sandbox
                try sandbox.startNginx(mesh.serverAddress, sendfile: true)
                let count = Host.isLong ? 300_000 : 10_000
                for path in ["/small", "/medium", "/absent"] {
                    let load = try sandbox.run(
                        [
                            "h2load", "--h1", "-n", "\(count)", "-c", "16", "-m", "4",
                            "http://\(AcceleratedMesh.web)\(path)",
                        ], in: "client", timeout: 120)
                    #expect(load.output.contains("requests: \(count) total, \(count) started, \(count) done"))
                }
                var counts: [String: Int] = [:]
                for sample in try mesh.node.scrape().matching(
                    "istio_requests_total", ["reporter": "destination", "destination_service_name": "web"])
                {
                    #expect(sample.labels["weft_lane"] == "accelerated")
                    counts[sample.labels["response_code"] ?? "", default: 0] += Int(sample.value)
                }
                #expect(counts == ["200": 2 * count, "404": count])
                let lane = try mesh.counted(from: "client", to: "server")
                // A request and its answer are a redirected send each, but for the first ones of a connection.
                #expect(lane.redirectedSends > 5 * count, "\(lane)")
            }
        }
    }
}
