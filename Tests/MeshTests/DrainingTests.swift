import Foundation
import Testing

extension NodeTests {
    @Suite("Draining")
    struct DrainingTests {
        private let service = "127.96.0.10"

        private func run(_ body: (Sandbox, Node, [String]) throws -> Void) throws {
            try Sandbox.run { sandbox in
                let addresses = [sandbox.address(1), sandbox.address(2)]
                try sandbox.serve(addresses.enumerated().map { "b\($0 + 1),tcp,\($1),8080" }, in: "servers")
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.service("web", address: service, endpoints: addresses),
                        Manifest.destinationRule("web", loadBalancer: "{ simple: ROUND_ROBIN }")))
                try body(sandbox, node, addresses)
            }
        }

        private func endpoint(_ node: Node, _ address: String) throws -> JSON {
            try node.weftJSON("endpoint", "list").array.first { $0["address"].string == "\(address):8080" }
                ?? JSON(value: nil)
        }

        @Test("A drained endpoint gets no new connection; its old ones live until the deadline, then end")
        func deadline() throws {
            try run { sandbox, node, addresses in
                let held = try sandbox.hold(service, 80, count: 6)
                #expect(held.names.filter { $0 == "b1" }.count == 3)
                let drain = try node.weft("endpoint", "drain", "shop/web", "\(addresses[0]):8080", "--deadline", "4s")
                let drained = Date().timeIntervalSince1970
                #expect(drain.status == 0, "\(drain.errors)")

                #expect(try sandbox.pick(service, 80, count: 20).names == ["b2": 20])
                #expect(try held.echo() == 6)
                let during = try endpoint(node, addresses[0])
                #expect(during["state"].string == "draining")
                #expect(during["openConnections"].int == 3)
                let left = during["drainSecondsLeft"].double ?? 0
                #expect(left > 0 && left <= 4)
                #expect(try node.weft("endpoint", "list").output.contains("draining"))

                try eventually("the old connections end at the deadline", within: 10) { held.ended.count == 3 }
                #expect(held.ended.allSatisfy { $0.name == "b1" })
                let first = held.ended.map(\.at).min() ?? 0
                let last = held.ended.map(\.at).max() ?? .infinity
                #expect(first - drained >= 3, "a connection ended \(first - drained) s after the drain, too early")
                #expect(last - drained <= 6, "a connection lived \(last - drained) s")
                #expect(try held.echo() == 3)
                #expect(try sandbox.pick(service, 80, count: 10).names == ["b2": 10])
            }
        }

        @Test("A drain that is undone brings the endpoint back, and ends nothing")
        func undo() throws {
            try run { sandbox, node, addresses in
                let held = try sandbox.hold(service, 80, count: 2)
                let endpoint = "\(addresses[0]):8080"
                #expect(try node.weft("endpoint", "drain", "shop/web", endpoint, "--deadline", "2s").status == 0)
                #expect(try sandbox.pick(service, 80, count: 10).names == ["b2": 10])
                #expect(try node.weft("endpoint", "drain", "shop/web", endpoint, "--undo").status == 0)
                try eventually("the endpoint is back") {
                    try sandbox.pick(service, 80, count: 10).names["b1"] != nil
                }
                usleep(2_500_000)
                #expect(try held.echo() == 2)
                #expect(held.ended.isEmpty)
            }
        }

        @Test("An endpoint that is not there is refused by name")
        func unknownEndpoint() throws {
            try run { _, node, _ in
                let result = try node.weft("endpoint", "drain", "shop/web", "127.9.9.9:1")
                #expect(result.status == 1)
                #expect(result.errors.contains("127.9.9.9:1"), "\(result.errors)")
                let other = try node.weft("endpoint", "drain", "shop/absent", "127.9.9.9:1")
                #expect(other.status == 1)
                #expect(other.errors.contains("shop/absent"), "\(other.errors)")
            }
        }

        @Test("A terminating endpoint of a slice drains: no new connection, the open ones live on")
        func terminating() throws {
            try run { sandbox, node, addresses in
                let held = try sandbox.hold(service, 80, count: 4)
                try node.apply(
                    Manifest.service("web", address: service, endpoints: addresses).replacing(
                        "{ addresses: [\"\(addresses[0])\"], conditions: { ready: true } }",
                        with: """
                            { addresses: ["\(addresses[0])"], \
                            conditions: { ready: false, serving: true, terminating: true } }
                            """))
                #expect(try sandbox.pick(service, 80, count: 20).names == ["b2": 20])
                #expect(try held.echo() == 4)
                #expect(try endpoint(node, addresses[0])["state"].string == "draining")
                // Removed from the slice, it is still there for those that use it.
                try node.apply(Manifest.service("web", address: service, endpoints: [addresses[1]]))
                #expect(try held.echo() == 4)
            }
        }
    }
}
