import Foundation
import Testing

extension NodeTests {
    @Suite("The agent comes and goes, the kernel goes on")
    struct LifecycleTests {
        private let service = "127.96.0.10"

        private func serveTwo(_ sandbox: Sandbox) throws -> String {
            let addresses = [sandbox.address(1), sandbox.address(2)]
            try sandbox.serve(addresses.enumerated().map { "b\($0 + 1),tcp,\($1),8080" }, in: "servers")
            return Manifest.service("web", address: service, endpoints: addresses)
        }

        /// The counters that the kernel keeps; the agent's own begin anew with it.
        private func kernelCounters(_ metrics: Metrics) -> [String: Double] {
            let families = ["istio_tcp_", "weft_connections_total", "weft_policy_decisions_total"]
            var counters: [String: Double] = [:]
            for sample in metrics.samples where families.contains(where: { sample.name.hasPrefix($0) }) {
                let labels = sample.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                counters["\(sample.name){\(labels.joined(separator: ","))}"] = sample.value
            }
            return counters
        }

        @Test("kill -9 during 2,000 connections at 500/s: none fails, counters go on, a new agent adopts what is there")
        func killed() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(serveTwo(sandbox))
                let count = Host.isLong ? 20_000 : 2000
                let load = try sandbox.startClient(
                    "rate", ["address": service, "port": 80, "count": count, "rate": 500])
                usleep(1_200_000)
                let before = kernelCounters(try node.scrape())
                #expect(!before.isEmpty)
                try node.kill()
                usleep(800_000)
                let pinsWithoutAgent = Set(node.pins)
                #expect(try node.isAttached())
                try node.start()
                let after = kernelCounters(try node.scrape())
                for (series, value) in before {
                    #expect(after[series] ?? -1 >= value, "\(series) went backwards from \(value)")
                }
                #expect(pinsWithoutAgent.isSubset(of: Set(node.pins)), "pins were replaced instead of adopted")

                let answer = try JSON(load.wait(timeout: 120).output)
                #expect(answer["errors"].object.isEmpty, "\(answer["errors"].object.mapValues(\.int))")
                #expect(answer["names"].object.values.compactMap(\.int).reduce(0, +) == count)
                try node.waitForMetrics("every connection is counted, once") {
                    $0.sum("istio_tcp_connections_opened_total", ["reporter": "source"]) == Double(count)
                        && $0.sum("istio_tcp_connections_closed_total", ["reporter": "source"]) == Double(count)
                }
                // Five bytes from the client on each.
                #expect(
                    try node.scrape().sum("istio_tcp_received_bytes_total", ["reporter": "source"])
                        == Double(5 * count))
            }
        }

        @Test("An open connection outlives its agent, and the next agent knows it")
        func openConnectionSurvives() throws {
            let policy = Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))
            try Shop.run { shop in
                let held = try shop.sandbox.hold(Shop.service, 80, count: 3, in: "mallory")
                try shop.node.kill()
                #expect(try held.echo() == 3)
                try shop.node.start()
                #expect(try held.echo() == 3)
                // The new agent ends what its configuration forbids, though it never saw it begin.
                try shop.apply(policy)
                try eventually("the forbidden connections end") { held.ended.count == 3 }
            }
        }

        @Test("SIGTERM leaves the kernel working; weft works on the pins alone; a new agent takes over")
        func terminated() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(serveTwo(sandbox))
                #expect(try sandbox.pick(service, 80, count: 20).errors.isEmpty)
                try node.terminate()
                let picks = try sandbox.pick(service, 80, count: 100)
                #expect(picks.errors.isEmpty)
                #expect((picks.names["b1"] ?? 0) > 10 && (picks.names["b2"] ?? 0) > 10, "\(picks.names)")

                let services = try node.weft("service", "list")
                #expect(services.status == 0, "\(services.errors)")
                #expect(services.output.contains("shop/web"))
                #expect(services.output.contains(service))
                let endpoints = try node.weftJSON("endpoint", "list")
                #expect(endpoints.array.count == 2)
                #expect(endpoints.array.compactMap { $0["openedConnections"].int }.reduce(0, +) == 120)
                for map in ["services", "backends", "traffic", "names"] {
                    let dump = try node.weft("map", "dump", map)
                    #expect(dump.status == 0, "\(map): \(dump.errors)")
                    #expect(dump.output.contains("shop/web"), "\(map): names are resolved without an agent")
                }
                let explained = try node.weft("explain", "connect", "\(service):80")
                #expect(explained.output.contains("kernel"), "\(explained.output)\(explained.errors)")
                // What only an agent knows is said so, and is not an answer.
                let status = try node.weft("status")
                #expect(status.status == 3, "\(status.output)")
                #expect(status.errors.contains(node.runDirectory))

                try node.start()
                #expect(try node.scrape().sum("istio_tcp_connections_opened_total", ["reporter": "source"]) == 120)
            }
        }

        @Test("--detach-on-exit gives the connections back to the kernel")
        func detached() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(serveTwo(sandbox), ["--detach-on-exit"])
                #expect(try sandbox.connect(service, 80).result == "connected")
                try node.terminate()
                #expect(try !node.isAttached())
                #expect(node.pins.filter { $0.hasPrefix("links/") }.isEmpty)
                #expect(try sandbox.connect(service, 80).result == "ECONNREFUSED")
            }
        }

        @Test("weft uninstall removes everything of Weft's and nothing else")
        func uninstall() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(serveTwo(sandbox))
                // Somebody else's program on the same cgroup, and somebody else's pin beside Weft's.
                let foreign = "\(sandbox.directory)/node-a/bpf/foreign"
                try sandbox.check([
                    "bpftool", "map", "create", foreign, "type", "array", "key", "4", "value", "4", "entries", "1",
                    "name", "foreign",
                ])
                let held = try sandbox.hold(service, 80, count: 2)
                let refused = try node.weft("uninstall")
                #expect(refused.status != 0, "uninstall must not pull the ground from under a running agent")
                try node.terminate()
                let result = try node.weft("uninstall")
                #expect(result.status == 0, "\(result.errors)")
                #expect(node.pins.isEmpty)
                #expect(!FileManager.default.fileExists(atPath: node.pinDirectory))
                #expect(try !node.isAttached())
                #expect(FileManager.default.fileExists(atPath: foreign))
                #expect(FileManager.default.fileExists(atPath: "\(node.configDirectory)/mesh.yaml"))
                #expect(try held.echo() == 2, "open connections are plain TCP and go on")
                #expect(try sandbox.connect(service, 80).result == "ECONNREFUSED")
                let again = try node.weft("uninstall")
                #expect(again.status == 0, "nothing to do is no failure: \(again.errors)")
                // And the next agent starts from nothing.
                try node.start()
                #expect(try sandbox.connect(service, 80).result == "connected")
            }
        }
    }
}
