import Foundation
import Testing

extension NodeTests {
    /// Clients and servers that check every byte of what they exchange (exchange_client.py, exchange_server.py), with requests
    /// that the kernel takes and others that it does not, one after the other on the same connections.
    @Suite("Shortcut: requests decided in the kernel")
    struct ShortcutExchangeTests {
        private static let mixed = [
            "--paths", "/x", "/api/3", "/api/9/deeper", "/by-header", "/rewritten", "/denied", "/a%2db", "/./x",
        ]

        @Test("Plain requests go past the agent, and count once, with their rules")
        func plain() throws {
            try ShortcutMesh.run { mesh in
                let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                let client = try mesh.startClient([
                    "--plain", "--requests", "20000", "--connections", "20", "--split", "0", "--pipeline", "0",
                    "--abort", "0", "--leave", "0", "--paths", "/x", "/api/3",
                ])
                let report = try ShortcutMesh.report(client)
                #expect(report["failed"].int == 0, "\(report)")
                let asked = report["requests"].int ?? 0
                #expect(asked >= 20000)
                let counted = try mesh.counted()
                let taken = counted["shortcut"]?["200"] ?? 0
                let others = counted["proxy"]?["200"] ?? 0
                #expect(taken + others == asked && counted.keys.count == 2, "\(counted)")
                // Heads of more than the kernel reads, and bodies of more than waits for its reader, are the agent's.
                #expect(taken > asked / 2, "\(counted)")
                let decisions = try mesh.node.scrape().sum(
                    "weft_policy_decisions_total", ["policy": "shop/allow[0]", "verdict": "allow"])
                #expect(Int(decisions) == asked)
                let seen = try mesh.finish(servers)
                #expect(seen.reduce(0) { $0 + ($1["requests"].int ?? 0) } == asked)
                #expect(
                    seen.allSatisfy { $0["twice"].array.isEmpty && ($0["requests"].int ?? 0) > asked / 3 }, "\(seen)")
            }
        }

        @Test("A connection soon has a leg to every endpoint, and then hardly a request is the agent's")
        func legs() throws {
            try ShortcutMesh.run { mesh in
                let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                var before = (straight: 0, all: 0)
                for number in 0..<10 {
                    let client = try mesh.startClient([
                        "--plain", "--requests", "500", "--connections", "1", "--first", "\(number * 1000 + 1)",
                        "--split",
                        "0", "--pipeline", "0", "--abort", "0", "--leave", "0", "--stall", "0", "--largest", "300",
                    ])
                    #expect(try ShortcutMesh.report(client)["failed"].int == 0)
                    let counted = try mesh.counted()
                    let straight = counted["shortcut"]?.values.reduce(0, +) ?? 0
                    let all = counted.values.joined().reduce(0) { $0 + $1.value }
                    #expect(all - before.all == 500)
                    // The rest are heads that are too long, and what follows them.
                    #expect(straight - before.straight > 380, "connection \(number): \(straight - before.straight)")
                    before = (straight, all)
                }
                _ = try mesh.finish(servers)
            }
        }

        @Test(
            "Every request is answered once, with its own answer, through hand-over and taking back: split, pipelined, aborted",
            arguments: [16 * 1024, 512 * 1024])
        func integrity(capBytes: Int) throws {
            try ShortcutMesh.run(capBytes: capBytes) { mesh in
                let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                let clients = try [("0.2", "0.4"), ("0.02", "0.1")].enumerated().map { number, load in
                    try mesh.startClient(
                        [
                            "--requests", Host.isLong ? "500000" : "20000", "--connections", "25", "--seed",
                            "\(number)",
                            "--first", "\(number * 10_000_000 + 1)", "--pipeline", load.0, "--split", load.1, "--abort",
                            "0.01", "--largest", "800000",
                        ] + Self.mixed)
                }
                var (answered, aborted) = (0, 0)
                for client in clients {
                    let report = try ShortcutMesh.report(client, timeout: Host.isLong ? 900 : 120)
                    #expect(report["failed"].int == 0, "\(report)")
                    answered += report["answered"].int ?? 0
                    aborted += report["aborted"].int ?? 0
                }
                let seen = try mesh.finish(servers)
                #expect(seen.allSatisfy { $0["twice"].array.isEmpty }, "\(seen)")
                let received = seen.reduce(0) { $0 + ($1["requests"].int ?? 0) }
                // Some of those that were broken off had come as a whole.
                #expect(answered...(answered + 5 * aborted) ~= received)
                let metrics = try mesh.node.scrape()
                #expect(metrics.sum("weft_proxy_shortcut_requests_total") > 1000)
                #expect(metrics.sum("weft_proxy_shortcut_offers_total") > 1000)
            }
        }

        @Test("The kernel and the agent give the same: what backends get, what clients get, and what is counted")
        func differential() throws {
            var outcomes: [(digests: [String], counts: [String: Int], taken: Int)] = []
            for takesShortcuts in [true, false] {
                try ShortcutMesh.run(takesShortcuts: takesShortcuts) { mesh in
                    let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                    // Of several at once it would depend on their ends which of them are answered.
                    let clients = try (0..<4).map { number in
                        try mesh.startClient(
                            [
                                "--requests", Host.isLong ? "25000" : "4000", "--connections", "1",
                                "--first", "\(number * 1_000_000 + 1)", "--abort", "0", "--pipeline", "0", "--largest",
                                "600000", "--stall",
                                "0.005",
                            ] + Self.mixed)
                    }
                    let reports = try clients.map { try ShortcutMesh.report($0, timeout: 240) }
                    for report in reports { #expect(report["failed"].int == 0, "\(report)") }
                    var counts: [String: Int] = [:]
                    let counted = try mesh.counted()
                    for (status, count) in counted.values.joined() { counts[status, default: 0] += count }
                    outcomes.append(
                        (
                            reports.map { $0["digest"].string ?? "-" }, counts,
                            counted["shortcut"]?.values.reduce(0, +) ?? 0
                        ))
                    _ = try mesh.finish(servers)
                }
            }
            #expect(outcomes[0].digests == outcomes[1].digests)
            #expect(outcomes[0].counts == outcomes[1].counts)
            #expect(outcomes[0].taken > 2000 && outcomes[1].taken == 0)
        }

        @Test("Large bodies both ways, and responses of all framings, on connections that the kernel has had")
        func largeBodies() throws {
            try ShortcutMesh.run { mesh in
                let servers = [try mesh.startServer("a"), try mesh.startServer("b")]
                let client = try mesh.startClient([
                    "--requests", "300", "--connections", "4", "--largest", "20000000", "--split", "0.2", "--paths",
                    "/x",
                ])
                let report = try ShortcutMesh.report(client, timeout: 180)
                #expect(report["failed"].int == 0, "\(report)")
                _ = try mesh.finish(servers)
            }
        }
    }
}
