import Foundation
import Testing

extension NodeTests {
    @Suite("Session affinity")
    struct AffinityTests {
        private let service = "127.96.0.10"
        private let clients = (1...20).map { "127.99.1.\($0)" }

        /// Who serves each client now; every client connects five times and has to come to the same server each time.
        private func servers(_ sandbox: Sandbox) throws -> [String: String] {
            var first: [String: String] = [:]
            for round in 0..<5 {
                let picks = try sandbox.pick(service, 80, count: clients.count, binds: clients)
                #expect(picks.errors.isEmpty)
                if round == 0 { first = picks.byBind }
                #expect(picks.byBind == first, "a client changed its server in round \(round)")
            }
            return first
        }

        private func serve(_ sandbox: Sandbox) throws -> [String] {
            let addresses = (1...6).map { sandbox.address($0) }
            try sandbox.serve(addresses.enumerated().map { "b\($0 + 1),tcp,\($1),8080" }, in: "servers")
            return addresses
        }

        @Test("A client keeps its backend through unrelated changes, and gets another when its own is removed")
        func changes() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(sandbox)
                let node = try Node(sandbox)
                func manifest(_ endpoints: [String]) -> String {
                    Manifest.service("web", address: service, endpoints: endpoints, affinitySeconds: 600)
                }
                try node.start(manifest(Array(addresses.prefix(4))))
                let before = try servers(sandbox)
                #expect(Set(before.values).count > 1, "all clients came to one backend")

                try node.apply(manifest(Array(addresses.prefix(6))))
                #expect(try servers(sandbox) == before, "new endpoints moved clients")
                try node.apply(manifest(Array(addresses.prefix(4))))
                #expect(try servers(sandbox) == before, "the removal of others moved clients")

                try node.apply(manifest(Array(addresses[1..<4])))
                let after = try servers(sandbox)
                #expect(!after.values.contains("b1"), "a removed backend was selected")
                #expect(after.filter { before[$0.key] != "b1" } == before.filter { $0.value != "b1" })
            }
        }

        @Test("Affinity ends its timeout after the last connection, and is renewed by each")
        func expiry() throws {
            try Sandbox.run { sandbox in
                let addresses = try serve(sandbox)
                let node = try Node(sandbox)
                try node.start(Manifest.service("web", address: service, endpoints: addresses, affinitySeconds: 3))
                let before = try servers(sandbox)
                // Twice two seconds is longer than the timeout: each use renews it.
                for _ in 0..<2 {
                    usleep(2_000_000)
                    #expect(try sandbox.pick(service, 80, count: 20, binds: clients).byBind == before)
                }
                usleep(3_200_000)
                // All 20 choose the same of six again with a chance of 6^-20.
                #expect(try sandbox.pick(service, 80, count: 20, binds: clients).byBind != before)
            }
        }
    }
}
