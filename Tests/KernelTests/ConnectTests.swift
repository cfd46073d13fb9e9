import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

@Suite(.serialized)
struct ConnectTests {
    /// Two listeners that answer with their names, and a client that connects `count` times.
    private static let script = """
        import socket, threading, sys, errno
        def serve(port, name):
            s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', port)); s.listen(128)
            def loop():
                while True:
                    c, _ = s.accept(); c.sendall(name); c.close()
            threading.Thread(target=loop, daemon=True).start()
        serve(18081, b'one'); serve(18082, b'two!')
        seen = {}
        for i in range(COUNT):
            c = socket.create_connection(('127.96.1.1', 80))
            assert c.getpeername() == ('127.96.1.1', 80), c.getpeername()
            data = b''
            while True:
                piece = c.recv(100)
                if not piece: break
                data += piece
            seen[data] = seen.get(data, 0) + 1
            c.close()
        print(sorted(seen.items()))
        """

    private func snapshot(
        _ sandbox: Sandbox, algorithm: Balancing.Algorithm = .roundRobin, policies: [AuthorizationPolicy] = []
    ) throws -> MeshSnapshot {
        let client = sandbox.workload("client")
        let server = sandbox.workload("server", ports: [18081, 18082], addresses: ["127.0.0.1"], enrolled: false)
        let loopback = try #require(IPAddress("127.0.0.1"))
        let service = MeshService(
            name: ObjectName(namespace: "shop", name: "web"), addresses: [try #require(IPAddress("127.96.1.1"))],
            ports: [
                MeshServicePort(
                    name: "http", port: 80, transport: .tcp,
                    endpoints: [
                        MeshEndpoint(address: loopback, port: 18081, workload: server.name),
                        MeshEndpoint(address: loopback, port: 18082, workload: server.name),
                    ])
            ], balancing: Balancing(algorithm: algorithm))
        return MeshSnapshot(
            generation: 1, services: [service.name: service],
            workloads: [client.name: client, server.name: server],
            policies: Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) }))
    }

    @Test func roundRobinBalancesAndCountsExactly() throws {
        let sandbox = try Sandbox("rr")
        let plane = try sandbox.plane()
        _ = try sandbox.python("print('made the cgroup')")
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        #expect(plane.verifyHook() == .called)
        let output = try sandbox.python(Self.script.replacing("COUNT", with: "100"))
        #expect(output == "[(b'one', 50), (b'two!', 50)]")

        let traffic = try plane.withMaps { maps in
            try maps.traffic.summed(into: (opened: UInt64(0), closed: UInt64(0), received: UInt64(0))) { sum, value in
                sum.opened += value.opened
                sum.closed += value.closed
                sum.received += value.received_bytes
            }
        }
        let clients = traffic.filter {
            UInt32($0.key.reporter) == WEFT_REPORTER_BOTH.rawValue
        }
        #expect(clients.count == 1)
        let counted = try #require(clients.first)
        #expect(counted.key.source == Identifier.workload(ObjectName(namespace: "shop", name: "client")))
        #expect(counted.sum.opened == 100)
        #expect(counted.sum.closed == 100)
        #expect(counted.sum.received == 50 * 3 + 50 * 4)
    }

    @Test func deniedConnectionIsRefusedWithEPERM() throws {
        let sandbox = try Sandbox("deny")
        let plane = try sandbox.plane()
        _ = try sandbox.python("print('made the cgroup')")
        var source = AuthorizationPolicy.Source()
        source.principals = [.exact("cluster.local/ns/shop/sa/other")]
        let policy = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "allow-other"), selector: ["app": "server"],
            rules: [.init(sources: [source])])
        #expect(try plane.apply(snapshot(sandbox, policies: [policy])).isEmpty)
        let output = try sandbox.python(
            """
            import socket, errno
            try:
                socket.create_connection(('127.96.1.1', 80)); print('connected')
            except OSError as e: print(errno.errorcode[e.errno])
            """)
        #expect(output == "EPERM")
        let counts = try plane.withMaps { try $0.ruleCounters.summedCounters() }
        #expect(counts.map(\.sum) == [1])
    }
}
