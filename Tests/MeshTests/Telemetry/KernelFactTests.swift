import Foundation
import Testing

extension NodeTests {
    @Suite("What only the kernel knows of connections")
    struct KernelFactTests {
        private static func stall(_ arguments: String...) -> [String] {
            [Host.python, Host.script("stall.py")] + arguments
        }

        @Test(
            "Time that a connection waits for its peer's receive window: while it lasts, and at the end as TCP_INFO says"
        )
        func receiveWindow() throws {
            try Sandbox.run { sandbox in
                for name in ["web", "alice"] { try sandbox.makeCgroup(name) }
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.selecting("web", address: Shop.service, app: "web"),
                        Manifest.workload(
                            "web", cgroup: sandbox.cgroupPath("web"), addresses: [sandbox.address(1)], port: 8080),
                        Manifest.workload("alice", cgroup: sandbox.cgroupPath("alice"))))
                let server = try sandbox.start(Self.stall("read", sandbox.address(1), "8080"), in: "web")
                try server.waitForOutput("listening") { $0.contains("ready") }
                let client = try sandbox.start(Self.stall("send", Shop.service, "80", "8000000"), in: "alice")
                let name = "weft_window_limited_seconds_total"
                let labels = ["source": "shop/alice", "destination_service": "web.shop.svc.cluster.local"]
                try node.waitForMetrics("the window has been closed for a second", within: 20) {
                    $0.sum(name, labels) >= 1
                }
                try eventually("stat has it", within: 10) {
                    try node.weftJSON("stat", "services").array.first?["windowLimited"].double ?? 0 > 0.3
                }
                try server.write(line: "read")
                let result = try client.wait(timeout: 60)
                let microseconds = try #require(Int(result.output.trimmingCharacters(in: .whitespacesAndNewlines)))
                #expect(microseconds >= 1_000_000)
                var record: JSON?
                try eventually("the connection's end is recorded") {
                    record = try node.weftJSONLines("flows").first
                    return record != nil
                }
                #expect(record?["window_limited_us"].int == microseconds)
                #expect(try abs(node.scrape().sum(name, labels) - Double(microseconds) / 1e6) < 1e-6)
                #expect(
                    try node.weftJSON("map", "dump", "traffic").array.contains {
                        $0["windowLimitedMicroseconds"].int == microseconds
                    })
            }
        }

        @Test("Accept queues of servers that are slow to accept, also of those that listened before there was an agent")
        func acceptQueue() throws {
            try Sandbox.run { sandbox in
                let namespace = try sandbox.makeNamespace("a")
                for name in ["web", "alice"] { try sandbox.makeCgroup(name) }
                let server = try sandbox.start(
                    Self.stall("accept", "127.0.0.1", "8080", "31"), in: "web", namespace: namespace)
                try server.waitForOutput("listening") { $0.contains("ready") }
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.selecting("web", address: Shop.service, app: "web"),
                        Manifest.workload(
                            "web", cgroup: sandbox.cgroupPath("web"), addresses: ["127.0.0.1"], port: 8080),
                        Manifest.workload("alice", cgroup: sandbox.cgroupPath("alice"))))
                func queue(_ metrics: Metrics, _ name: String) -> Double? {
                    let labels = [
                        "destination_workload": "web", "destination_workload_namespace": "shop", "port": "8080",
                    ]
                    return metrics.matching("weft_accept_queue_\(name)", labels).first?.value
                }
                try node.waitForMetrics("the queue is known, and empty") {
                    queue($0, "length") == 0 && queue($0, "limit") == 31 && queue($0, "seconds_total") == 0
                }
                let clock = ContinuousClock()
                let begin = clock.now
                let clients = try sandbox.start(
                    Self.stall("connect", Shop.service, "80", "20"), in: "alice", namespace: namespace)
                try clients.waitForOutput("connections open") { $0.contains("ready") }
                try node.waitForMetrics("twenty wait for two seconds", within: 30) {
                    queue($0, "length") == 20 && queue($0, "seconds_total") ?? 0 >= 40
                }
                let counted = try #require(queue(node.scrape(), "seconds_total"))
                // What was counted when the first ones were seen may have begun a look earlier.
                #expect(counted <= 20 * ((clock.now - begin) / .seconds(1) + 1))

                try server.write(line: "accept")
                try node.waitForMetrics("all are accepted") { queue($0, "length") == 0 }
                let after = try #require(queue(node.scrape(), "seconds_total"))
                try eventually("time passes") { clock.now - begin > .seconds(3) }
                #expect(try queue(node.scrape(), "seconds_total") == after)
                // Little's law: the mean wait of those that were accepted.
                let opened = try node.scrape().sum(
                    "istio_tcp_connections_opened_total",
                    ["reporter": "destination", "destination_workload": "web"])
                #expect(opened == 20 && after / opened >= 2)
                try clients.write(line: "close")
            }
        }
    }
}
