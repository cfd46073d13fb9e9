import Foundation
import Testing

extension NodeTests {
    /// The instrument itself, before anything is concluded from it.
    @Suite("The soak finds what it looks for, and nothing else")
    struct SoakTests {
        @Test(
            "A byte lost, bytes sent twice, two pieces exchanged, a direction cut short and one that hangs are found",
            arguments: [
                ("none", nil), ("lose", "too far"), ("double", "too early"), ("swap", ""),
                ("cut", "before all bytes"), ("hang", "nothing has moved"),
            ] as [(String, String?)])
        func finds(harm: String, message: String?) throws {
            try Sandbox.run { sandbox in
                let (port, relayed) = (try Host.freePort(), try Host.freePort())
                let server = try sandbox.soakServer("127.0.0.1", Int(port), .epoll, ["--stuck-seconds", "1"])
                let relay = try sandbox.start([
                    Host.python, Host.script("harm.py"), "127.0.0.1", "\(relayed)", "127.0.0.1", "\(port)", harm,
                ])
                try relay.waitForOutput("listening") { $0.contains("ready\n") }
                let client = try sandbox.soakClient(
                    "127.0.0.1", Int(relayed), .poll,
                    ["--total", "40", "--bytes", "20000000", "--abort", "0", "--stuck-seconds", "1"])
                _ = try client.wait(timeout: 30)
                server.signal(SIGTERM)
                let ends = [try Soak.totals(client.wait()), try Soak.totals(server.wait(timeout: 15))]
                let failures = ends.compactMap(\.failure)
                if let message {
                    #expect(failures.contains { message.isEmpty || $0.contains(message) }, "\(failures)")
                } else {
                    #expect(failures.isEmpty)
                    #expect(ends.allSatisfy { $0.connections == 40 })
                }
            }
        }

        @Test("Over plain TCP, in every mode: everything arrives, and both ends counted the same")
        func plain() throws {
            try Sandbox.run { sandbox in
                let modes: [(Soak.Mode, Soak.Mode)] = [
                    (.poll, .epoll), (.epoll, .uring), (.uring, .blocking), (.blocking, .uringBlocking),
                    (.uringBlocking, .poll),
                ]
                for (serving, asking) in modes {
                    let port = Int(try Host.freePort())
                    let server = try sandbox.soakServer("127.0.0.1", port, serving)
                    let client = try sandbox.soakClient(
                        "127.0.0.1", port, asking,
                        ["--connections", "20", "--total", "60", "--bytes", "60000000", "--abort", "0"])
                    let (own, servers) = try Soak.finish(client, [server], within: 30)
                    #expect(own.failure == nil && servers[0].failure == nil, "\(serving) \(asking)")
                    #expect(own.connections == 60 && servers[0].connections == 60)
                    #expect(own.halfCloses > 10 && own.halfCloses == servers[0].halfCloses)
                    #expect(own.sentBytes > 10_000_000 && own.sentBytes == servers[0].receivedBytes)
                    #expect(own.receivedBytes > 10_000_000 && own.receivedBytes == servers[0].sentBytes)
                    #expect(own.errors.isEmpty && servers[0].errors.isEmpty)
                }
            }
        }
    }
}
