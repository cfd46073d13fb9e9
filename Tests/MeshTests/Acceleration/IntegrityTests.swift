import Foundation
import Testing

extension NodeTests {
    /// Each test runs `tools/soak` between two workloads of one node: it fails on the first byte that is not the one that
    /// was sent, on the first connection that hangs, and on every error that TCP would not have given.
    @Suite("Accelerated connections: not one byte lost, doubled or out of order")
    struct IntegrityTests {
        /// Sizes and sleeps with which directions turn slow and fast again all the time.
        private func load(_ seed: Int, connections: Int, total: Int, megabytes: Int) -> [String] {
            [
                "--seed", "\(seed)", "--connections", "\(connections)", "--total", "\(total)",
                "--bytes", "\(megabytes * 1_000_000)", "--stall", "150", "--stall-us", "1500", "--pause-us", "1500",
            ]
        }

        /// One soak to its end; what the client counted.
        @discardableResult
        private func soak(
            _ mesh: AcceleratedMesh, _ serving: Soak.Mode, _ asking: Soak.Mode, _ options: [String],
            within seconds: Double = 60
        ) throws -> Soak.Totals {
            let server = try mesh.sandbox.soakServer(mesh.serverAddress, AcceleratedMesh.port, serving)
            let client = try mesh.sandbox.soakClient(AcceleratedMesh.web, 80, asking, options)
            let (own, servers) = try Soak.finish(client, [server], within: seconds)
            #expect(own.failure == nil, "\(asking) to \(serving)")
            #expect(servers[0].failure == nil, "\(serving) from \(asking)")
            #expect(servers[0].connections == own.connections)
            #expect(own.halfCloses > own.connections / 4)
            // Few connections may all have ended in order.
            #expect(own.connections < 100 || (own.brokenOff > 0 && servers[0].brokenOff > 0))
            return own
        }

        @Test(
            "Both ways, random sizes, bursts, stalls, half-closes and aborts: poll, edge-triggered epoll and io_uring")
        func twoWay() throws {
            try AcceleratedMesh.run { mesh in
                let runs: [(Soak.Mode, Soak.Mode)] = [(.epoll, .epoll), (.uring, .poll), (.poll, .uring)]
                var (connections, bytes) = (0, 0)
                for (number, (serving, asking)) in runs.enumerated() {
                    let options =
                        Host.isLong
                        ? load(number, connections: 500, total: 1000, megabytes: 9_000)
                        : load(number, connections: 80, total: 320, megabytes: 600)
                    let totals = try soak(mesh, serving, asking, options, within: Host.isLong ? 300 : 60)
                    connections += totals.connections
                    bytes += totals.sentBytes + totals.receivedBytes
                }
                let counted = try mesh.counted()
                #expect(counted.connections == connections)
                #expect(counted.demotions >= 1000 && counted.promotions >= 1000, "\(counted)")
                #expect(counted.redirectedBytes > bytes / 100, "\(counted) of \(bytes) bytes")
                if Host.isLong { #expect(bytes >= 20_000_000_000 && connections >= 2000) }
            }
        }

        @Test(
            "Edge-triggered readers that take a receive with less than they asked for as the last one, as epoll(7) lets them"
        )
        func shortReceives() throws {
            try AcceleratedMesh.run { mesh in
                let options = ["--trust-short", "--stuck-seconds", "10"]
                let server = try mesh.sandbox.soakServer(mesh.serverAddress, AcceleratedMesh.port, .epoll, options)
                let client = try mesh.sandbox.soakClient(
                    AcceleratedMesh.web, 80, .epoll,
                    load(13, connections: 60, total: Host.isLong ? 5000 : 200, megabytes: Host.isLong ? 10_000 : 400)
                        + options)
                let (own, servers) = try Soak.finish(client, [server], within: Host.isLong ? 300 : 60)
                #expect(own.failure == nil && servers[0].failure == nil)
                let counted = try mesh.counted()
                #expect(counted.redirectedBytes > 0 && counted.demotions > 0, "\(counted)")
            }
        }

        @Test("One connection at a time, and five hundred at once")
        func fewAndMany() throws {
            try AcceleratedMesh.run { mesh in
                try soak(mesh, .epoll, .epoll, load(11, connections: 1, total: 20, megabytes: 60))
                try soak(mesh, .epoll, .epoll, load(12, connections: 500, total: 600, megabytes: 200))
                #expect(try mesh.counted().redirectedBytes > 0)
            }
        }

        @Test("IPv6, and IPv4 written as IPv6")
        func families() throws {
            try AcceleratedMesh.run { mesh in
                let server = try mesh.sandbox.soakServer(mesh.serverAddress, AcceleratedMesh.port, .epoll)
                let client = try mesh.sandbox.soakClient(
                    "::ffff:\(AcceleratedMesh.web)", 80, .epoll,
                    load(21, connections: 20, total: 60, megabytes: 60))
                let (own, servers) = try Soak.finish(client, [server], within: 30)
                #expect(own.failure == nil && servers[0].failure == nil)
                let mapped = try mesh.counted()
                #expect(mapped.connections == own.connections && mapped.redirectedBytes > 0, "\(mapped)")

                try mesh.sandbox.makeCgroup("six")
                try mesh.node.apply(
                    Manifest.file(
                        Manifest.selecting("web", address: "fd77:96::40", app: "six"),
                        Manifest.workload(
                            "six", cgroup: mesh.sandbox.cgroupPath("six"), addresses: ["::1"],
                            port: AcceleratedMesh.port, isAccelerated: true),
                        Manifest.workload(
                            "client", cgroup: mesh.sandbox.cgroupPath("client"), isAccelerated: true)))
                let namespace = try mesh.sandbox.makeNamespace("a")
                let six = try mesh.sandbox.start(
                    [Soak.program(), "serve", "::1", "\(AcceleratedMesh.port)"], in: "six", namespace: namespace)
                try six.waitForOutput("listening") { $0.contains("ready\n") }
                let asking = try mesh.sandbox.start(
                    [Soak.program(), "run", "fd77:96::40", "80"]
                        + load(22, connections: 20, total: 60, megabytes: 60), in: "client", namespace: namespace)
                let (own6, servers6) = try Soak.finish(asking, [six], within: 30)
                #expect(own6.failure == nil && servers6[0].failure == nil)
                let counted = try mesh.counted(to: "six")
                #expect(counted.connections == own6.connections && counted.redirectedBytes > 0, "\(counted)")
            }
        }

        @Test(
            "Descriptors that block are left to TCP, and lose nothing",
            arguments: [
                (Soak.Mode.blocking, Soak.Mode.blocking), (.epoll, .blocking), (.blocking, .epoll),
                (.uringBlocking, .epoll), (.uring, .uringBlocking),
            ])
        func blocking(serving: Soak.Mode, asking: Soak.Mode) throws {
            // A server's socket is a member before its process has it: that one does not block is for its certificate to say.
            let isServerKnown = serving != .blocking && serving != .uringBlocking
            try AcceleratedMesh.run(needsCertificates: !isServerKnown) { mesh in
                try soak(mesh, serving, asking, load(31, connections: 20, total: 40, megabytes: 40))
                let counted = try mesh.counted()
                #expect(counted.redirectedBytes == 0, "\(counted)")
            }
        }

        @Test("While the agent is killed, started again, ended, and acceleration is switched off and on")
        func lifecycle() throws {
            try AcceleratedMesh.run { mesh in
                let server = try mesh.sandbox.soakServer(mesh.serverAddress, AcceleratedMesh.port, .epoll)
                let client = try mesh.sandbox.soakClient(
                    AcceleratedMesh.web, 80, .epoll,
                    load(41, connections: 40, total: 1_000_000, megabytes: 1_000_000 * 2) + ["--seconds", "600"])
                func isRunning() throws {
                    guard client.isRunning, server.isRunning else {
                        throw TestFailure("the soak has ended: \(client.output)\(server.output)")
                    }
                }
                for _ in 0..<(Host.isLong ? 10 : 1) {
                    usleep(300_000)
                    try mesh.node.kill()
                    usleep(300_000)
                    try isRunning()
                    try mesh.node.start(mesh.startOptions)
                    try isRunning()
                    try mesh.node.apply(mesh.manifest(isAccelerated: false))
                    usleep(300_000)
                    let paused = try mesh.counted().redirectedBytes
                    try isRunning()
                    try mesh.node.apply(mesh.manifest())
                    try eventually("bytes are redirected again") { try mesh.counted().redirectedBytes > paused }
                    try mesh.node.terminate()
                    usleep(300_000)
                    try isRunning()
                    try mesh.node.start(mesh.startOptions)
                }
                // It opens no more, and ends with those that it has.
                client.signal(SIGTERM)
                let (own, servers) = try Soak.finish(client, [server], within: 90)
                #expect(own.failure == nil && servers[0].failure == nil)
                let counted = try mesh.counted()
                #expect(counted.demotions > 0 && counted.promotions > 0, "\(counted)")
            }
        }

        @Test("While backends come and go: those that stay lose nothing, those that go lose nothing before that")
        func backends() throws {
            try AcceleratedMesh.run { mesh in
                let addresses = [mesh.serverAddress, mesh.otherAddress]
                let servers = try zip(addresses, ["server", "other"]).map {
                    try mesh.sandbox.soakServer($0, AcceleratedMesh.port, .epoll, in: $1, ["--tolerate-ends"])
                }
                let client = try mesh.sandbox.soakClient(
                    AcceleratedMesh.web, 80, .epoll,
                    load(51, connections: 40, total: 1_000_000, megabytes: 1_000_000 * 2)
                        + ["--seconds", "600", "--tolerate-ends"])
                try mesh.node.apply(mesh.manifest(endpoints: addresses))
                for round in 0..<(Host.isLong ? 60 : 4) {
                    try mesh.node.apply(mesh.manifest(endpoints: [addresses[round % 2]]))
                    usleep(200_000)
                    try mesh.node.apply(mesh.manifest(endpoints: addresses))
                    let endpoint = "\(addresses[round % 2]):\(AcceleratedMesh.port)"
                    let drain = try mesh.node.weft("endpoint", "drain", "shop/web", endpoint, "--deadline", "0s")
                    #expect(drain.status == 0, "\(drain.errors)")
                    usleep(200_000)
                    #expect(try mesh.node.weft("endpoint", "drain", "shop/web", endpoint, "--undo").status == 0)
                }
                client.signal(SIGTERM)
                let (own, ends) = try Soak.finish(client, servers, within: 90)
                #expect(own.failure == nil && ends.allSatisfy { $0.failure == nil }, "\(own) \(ends)")
                #expect(ends.allSatisfy { $0.connections > 0 })
                #expect(own.broken > 0, "no connection was ended by a drain")
                #expect(try mesh.counted().redirectedBytes > 0)
            }
        }
    }
}
