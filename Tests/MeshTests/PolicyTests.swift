import Foundation
import Testing

extension NodeTests {
    @Suite("Policies on real connections")
    struct PolicyTests {
        /// A refusal needs no packet: whatever the machine does meanwhile, it takes no second.
        private let atOnce = 500.0

        @Test("A service without a backend: ECONNREFUSED at once, and counted")
        func noBackend() throws {
            try Sandbox.run { sandbox in
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("empty", address: "127.96.0.10"),
                        Manifest.service("empty-dns", address: "127.96.0.11", port: 53, protocol: "UDP")))
                let attempt = try sandbox.connect("127.96.0.10", 80)
                #expect(attempt.result == "ECONNREFUSED")
                #expect(attempt.milliseconds < atOnce)
                #expect(try sandbox.connect("127.96.0.11", 53, protocol: "udp").result == "ECONNREFUSED")
                let datagram = try sandbox.client("udp", ["exchanges": [["127.96.0.11", 53, "x"]]])
                #expect(datagram["result"].string == "ECONNREFUSED")
                try node.waitForMetrics("the refusal is counted") {
                    $0.sum(
                        "weft_connections_total",
                        ["destination_service": "empty.shop.svc.cluster.local", "result": "no_backend"]) == 1
                }
            }
        }

        @Test("Denied: EPERM at once, one flow record and one count naming the policy")
        func denied() throws {
            try Shop.run(Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))) {
                shop in
                #expect(try shop.connect(from: "alice").server == "web")
                let follower = try shop.sandbox.start(
                    [Host.product("weft"), "flows", "--follow", "-o", "json"], environment: shop.node.cliEnvironment)
                usleep(500_000)
                let attempt = try shop.connect(from: "mallory")
                #expect(attempt.result == "EPERM")
                #expect(attempt.milliseconds < atOnce)

                try follower.waitForOutput("the denial") { $0.contains("no-mallory") }
                usleep(300_000)
                let records = follower.lines.filter { $0.contains("no-mallory") }
                #expect(records.count == 1, "\(records)")
                try shop.node.waitForMetrics("the decision is counted once") {
                    shop.decisions("no-mallory", verdict: "deny", mode: "enforce", in: $0) == 1
                }
                try shop.node.waitForMetrics("the denied connection is counted") {
                    $0.sum("weft_connections_total", ["result": "denied"]) == 1
                }
            }
        }

        @Test("A workload's own address is guarded like its service")
        func directAddress() throws {
            try Shop.run(Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))) {
                (shop) throws in
                #expect(try shop.connect(from: "alice", to: shop.webAddress, port: 8080).server == "web")
                #expect(try shop.connect(from: "mallory", to: shop.webAddress, port: 8080).result == "EPERM")
            }
        }

        @Test("ALLOW admits whom it names and nobody else; DENY goes before it")
        func allow() throws {
            let allow = Manifest.policy("only-alice", action: "ALLOW", app: "web", rules: Manifest.from("alice"))
            try Shop.run(allow) { shop in
                #expect(try shop.connect(from: "alice").server == "web")
                #expect(try shop.connect(from: "mallory").result == "EPERM")
                // Guarded, but nobody's workload: no identity, so no ALLOW.
                #expect(try shop.connect(from: "stranger").result == "EPERM")
                try shop.node.waitForMetrics("the implicit denials are counted") {
                    $0.matching("weft_policy_decisions_total", ["verdict": "deny", "mode": "enforce"])
                        .reduce(0) { $0 + $1.value } == 2
                }
                try shop.apply(
                    allow, Manifest.policy("no-alice", action: "DENY", app: "web", rules: Manifest.from("alice")))
                #expect(try shop.connect(from: "alice").result == "EPERM")
            }
        }

        @Test("Ports and address blocks decide too")
        func portsAndBlocks() throws {
            let rules = """
                [{ from: [{ source: { ipBlocks: ["127.99.0.0/16"] } }], to: [{ operation: { ports: ["8080"] } }] }]
                """
            try Shop.run(Manifest.policy("blocks", action: "ALLOW", app: "web", rules: rules)) { shop in
                let picks = try shop.sandbox.pick(
                    Shop.service, 80, count: 4, binds: ["127.99.0.1", "127.98.0.1"], in: "alice")
                #expect(picks.names == ["web": 2])
                #expect(picks.errors == ["EPERM": 2])
                try shop.apply(
                    Manifest.policy(
                        "ports", action: "DENY", app: "web", rules: "[{ to: [{ operation: { ports: [\"9\"] } }] }]"))
                #expect(try shop.connect(from: "alice").server == "web")
                try shop.apply(
                    Manifest.policy(
                        "ports", action: "DENY", app: "web", rules: "[{ to: [{ operation: { ports: [\"8080\"] } }] }]"))
                #expect(try shop.connect(from: "alice").result == "EPERM")
            }
        }

        @Test("A shadow policy counts what it would do; the connection works")
        func shadow() throws {
            try Shop.run(
                Manifest.policy(
                    "maybe", action: "DENY", app: "web", rules: Manifest.from("mallory"), isDryRun: true)
            ) { shop in
                #expect(try shop.connect(from: "mallory").server == "web")
                #expect(try shop.connect(from: "alice").server == "web")
                try shop.node.waitForMetrics("the shadow denial is counted") {
                    shop.decisions("maybe", verdict: "deny", mode: "shadow", in: $0) == 1
                }
                #expect(try shop.node.scrape().sum("weft_connections_total", ["result": "denied"]) == 0)
            }
        }

        @Test("AUDIT counts, and decides nothing")
        func audit() throws {
            try Shop.run(Manifest.policy("watch", action: "AUDIT", app: "web", rules: Manifest.from("mallory"))) {
                shop in
                #expect(try shop.connect(from: "mallory").server == "web")
                #expect(try shop.connect(from: "alice").server == "web")
                try shop.node.waitForMetrics("the audited connection is counted") {
                    $0.matching("weft_policy_decisions_total", ["verdict": "audit"])
                        .filter { $0.labels["policy"]?.hasPrefix("shop/watch") == true }
                        .reduce(0) { $0 + $1.value } == 1
                }
            }
        }

        @Test("A policy change ends the open connections that it forbids within a second, and no other")
        func openConnections() throws {
            try Shop.run { shop in
                let mallory = try shop.sandbox.hold(Shop.service, 80, count: 5, in: "mallory")
                let alice = try shop.sandbox.hold(Shop.service, 80, count: 5, in: "alice")

                // A change that has nothing to do with them ends none.
                try shop.apply(
                    Manifest.policy("other", action: "DENY", app: "nobody", rules: Manifest.from("mallory")))
                usleep(1_500_000)
                #expect(try mallory.echo() == 5)
                #expect(try alice.echo() == 5)

                let changed = Date().timeIntervalSince1970
                try shop.node.write(
                    shop.manifest([
                        Manifest.policy("no-mallory", action: "DENY", app: "web", rules: Manifest.from("mallory"))
                    ]))
                try eventually("the forbidden connections end", within: 5) { mallory.ended.count == 5 }
                let last = mallory.ended.map(\.at).max() ?? .infinity
                #expect(last - changed <= 1, "they ended \(last - changed) s after the change")
                #expect(try alice.echo() == 5)
                #expect(alice.ended.isEmpty)
                #expect(try shop.connect(from: "mallory").result == "EPERM")
            }
        }
    }
}
