import Foundation
import Testing

extension NodeTests {
    @Suite("Accelerated connections: a reader that sleeps")
    struct BackPressureTests {
        private static let connections = 40
        private static let capBytes = 64 * 1024

        /// What a soak found out whose readers sleep at first, and what the kernel's TCP held meanwhile.
        private struct Found {
            let client: Soak.Totals
            let server: Soak.Totals
            let memoryBytes: Int
        }

        /// Both readers of every connection sleep before they take their first byte, and the writers do not.
        private func sleepers(_ mesh: AcceleratedMesh) throws -> Found {
            let server = try mesh.sandbox.soakServer(mesh.serverAddress, AcceleratedMesh.port, .epoll)
            // A direction that has been fast before the reader sleeps.
            let client = try mesh.sandbox.soakClient(
                AcceleratedMesh.web, 80, .epoll,
                [
                    "--connections", "\(Self.connections)", "--total", "\(Self.connections)",
                    "--bytes", "\(Self.connections * 40_000_000)", "--pause-us", "100", "--stall", "0", "--abort", "0",
                    "--sleep-ms", "1500", "--own-sleep-ms", "1500", "--half-close", "1000",
                ])
            usleep(1_200_000)
            let held = try memory()
            let (own, servers) = try Soak.finish(client, [server], within: 60)
            #expect(own.failure == nil && servers[0].failure == nil)
            // Every error would be the guard's: nothing else can go wrong here.
            #expect(own.errors.isEmpty && servers[0].errors.isEmpty, "\(own.errors) \(servers[0].errors)")
            return Found(client: own, server: servers[0], memoryBytes: held)
        }

        /// What the kernel holds for TCP.
        private func memory() throws -> Int {
            let text = String(
                decoding: FileManager.default.contents(atPath: "/proc/net/sockstat") ?? Data(), as: UTF8.self)
            guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("TCP:") }),
                let pages = line.split(separator: " ").last.flatMap({ Int($0) })
            else { throw TestFailure("/proc/net/sockstat: \(text)") }
            return pages * 4096
        }

        @Test("The writer waits as with TCP, no error reaches it, and memory grows by no more than the cap")
        func sleeping() throws {
            var plain: Found?
            try AcceleratedMesh.run(isAccelerated: false) { plain = try sleepers($0) }
            let tcp = try #require(plain)
            try AcceleratedMesh.run(capBytes: Self.capBytes) { mesh in
                let found = try sleepers(mesh)
                let counted = try mesh.counted()
                #expect(counted.redirectedBytes > 0, "\(counted)")
                #expect(counted.slowSends["slow_reader", default: 0] > 0, "\(counted)")
                // TCP's own limit differs a little from one connection to another.
                for (one, other) in [(found.client, tcp.client), (found.server, tcp.server)] {
                    #expect(other.queuedBytes > 100_000, "the reader did not sleep")
                    #expect(
                        one.queuedBytes <= other.queuedBytes + Self.capBytes + other.queuedBytes / 4,
                        "\(one.queuedBytes) bytes without a reader, with TCP \(other.queuedBytes)")
                }
                let most = tcp.memoryBytes + tcp.memoryBytes / 4 + 2 * Self.connections * Self.capBytes
                #expect(
                    found.memoryBytes <= most,
                    "\(found.memoryBytes) bytes of memory, with TCP \(tcp.memoryBytes)")
            }
        }
    }
}
