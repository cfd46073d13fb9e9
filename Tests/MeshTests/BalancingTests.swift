import Foundation
import Testing

extension NodeTests {
    @Suite("Balancing of real connections")
    struct BalancingTests {
        private let service = "127.96.0.10"

        /// Servers b1...b<count> on consecutive addresses.
        private func serve(_ count: Int, in sandbox: Sandbox) throws -> [String] {
            let addresses = (1...count).map { sandbox.address($0) }
            try sandbox.serve(addresses.enumerated().map { "b\($0 + 1),tcp,\($1),8080" }, in: "servers")
            return addresses
        }

        /// Chance alone leaves 3 sigma once in 370 runs, so a second run may confirm; a wrong weight fails both.
        @Test("20,000 connections to 90/10 lie within 3 sigma")
        func weights() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(2, in: sandbox)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.service("web", address: service, weights: [90: [addresses[0]], 10: [addresses[1]]]))
                let count = Host.isLong ? 200_000 : 20_000
                let sigma = (Double(count) * 0.9 * 0.1).squareRoot()
                func deviation() throws -> Double {
                    let picks = try sandbox.pick(service, 80, count: count)
                    #expect(picks.errors.isEmpty)
                    #expect(picks.names.values.reduce(0, +) == count)
                    return abs(Double(picks.names["b1"] ?? 0) - 0.9 * Double(count)) / sigma
                }
                let first = try deviation()
                if first >= 3 {
                    let second = try deviation()
                    #expect(second < 3, "\(first) and \(second) sigma from 90/10")
                }
            }
        }

        @Test("Round robin gives each backend its turn")
        func roundRobin() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(4, in: sandbox)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: service, endpoints: addresses),
                        Manifest.destinationRule("web", loadBalancer: "{ simple: ROUND_ROBIN }"),
                        Manifest.service(
                            "weighted", address: "127.96.0.11", weights: [90: [addresses[0]], 10: [addresses[1]]]),
                        Manifest.destinationRule("weighted", loadBalancer: "{ simple: ROUND_ROBIN }")))
                let even = try sandbox.pick(service, 80, count: 400)
                for index in 1...4 { #expect(abs((even.names["b\(index)"] ?? 0) - 100) <= 1, "\(even.names)") }
                let weighted = try sandbox.pick("127.96.0.11", 80, count: 1000)
                #expect(abs((weighted.names["b1"] ?? 0) - 900) <= 6, "\(weighted.names)")
                #expect(weighted.errors.isEmpty)
            }
        }

        @Test("Maglev: removing 1 of 100 backends moves at most 2 % of the other keys")
        func maglev() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(100, in: sandbox)
                let node = try Node(sandbox)
                let rule = Manifest.destinationRule(
                    "web", loadBalancer: "{ consistentHash: { useSourceIp: true, maglev: {} } }")
                try node.start(
                    Manifest.file(Manifest.service("web", address: service, endpoints: addresses), rule))
                // 2,000 clients, told apart by the address that they bind.
                let clients = (0..<2000).map { "127.99.\($0 / 200).\($0 % 200 + 1)" }
                let before = try sandbox.pick(service, 80, count: clients.count, binds: clients)
                #expect(before.errors.isEmpty)
                #expect(before.names.count > 90, "the keys are not spread")
                let again = try sandbox.pick(service, 80, count: clients.count, binds: clients)
                #expect(again.byBind == before.byBind, "the same client came to another backend")

                try node.apply(
                    Manifest.file(
                        Manifest.service("web", address: service, endpoints: Array(addresses.dropLast())), rule))
                let after = try sandbox.pick(service, 80, count: clients.count, binds: clients)
                #expect(after.errors.isEmpty)
                #expect(after.names["b100"] == nil)
                let others = before.byBind.filter { $0.value != "b100" }
                let moved = others.filter { after.byBind[$0.key] != $0.value }.count
                #expect(others.count < clients.count, "no client was on the removed backend")
                #expect(Double(moved) <= 0.02 * Double(others.count), "\(moved) of \(others.count) moved")
            }
        }

        @Test("Least connections: beside a backend with 50 open connections, new ones go elsewhere")
        func leastConnections() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(3, in: sandbox)
                let node = try Node(sandbox)
                let rule = Manifest.destinationRule("web", loadBalancer: "{ simple: LEAST_REQUEST }")
                try node.start(
                    Manifest.file(Manifest.service("web", address: service, endpoints: [addresses[0]]), rule))
                let held = try sandbox.hold(service, 80, count: 50)
                #expect(held.names == [String](repeating: "b1", count: 50))
                try node.apply(Manifest.file(Manifest.service("web", address: service, endpoints: addresses), rule))
                let picks = try sandbox.pick(service, 80, count: 200)
                #expect(picks.errors.isEmpty)
                #expect(picks.names["b1"] == nil, "\(picks.names)")
                #expect((picks.names["b2"] ?? 0) > 50 && (picks.names["b3"] ?? 0) > 50, "\(picks.names)")
                #expect(try held.echo() == 50)
                // Once they are closed, the backend is as good as the others again.
                try held.close()
                try eventually("the closed connections no longer count") {
                    try sandbox.pick(service, 80, count: 30).names["b1"] != nil
                }
            }
        }

        @Test("A change of endpoints fails no connection while it happens")
        func changesWhileConnecting() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(10, in: sandbox)
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: service, endpoints: addresses))
                let load = try sandbox.startClient(
                    "rate", ["address": service, "port": 80, "count": 1500, "rate": 500])
                var round = 0
                while load.isRunning {
                    round += 1
                    let count = round % 2 == 0 ? 10 : 3
                    try node.apply(
                        Manifest.service("web", address: service, endpoints: Array(addresses.prefix(count))))
                }
                let answer = try JSON(load.wait().output)
                #expect(answer["errors"].object.isEmpty)
                #expect(answer["names"].object.values.compactMap(\.int).reduce(0, +) == 1500)
                #expect(round >= 3)
            }
        }
    }
}
