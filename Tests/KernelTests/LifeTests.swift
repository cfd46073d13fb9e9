import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// Datagrams, both address families, and what happens to connections that are open.
@Suite(.serialized)
struct LifeTests {
    private func service(
        _ name: String, _ address: String, _ port: UInt16, _ transport: TransportProtocol = .tcp,
        to endpoint: String, _ target: UInt16, workload: String? = nil
    ) throws -> MeshService {
        MeshService(
            name: ObjectName(namespace: "shop", name: name), addresses: [try #require(IPAddress(address))],
            ports: [
                MeshServicePort(
                    name: "", port: port, transport: transport,
                    endpoints: [
                        MeshEndpoint(
                            address: try #require(IPAddress(endpoint)), port: target,
                            workload: workload.map { ObjectName(namespace: "shop", name: $0) })
                    ])
            ], balancing: Balancing())
    }

    private func snapshot(_ services: [MeshService], _ workloads: [MeshWorkload] = []) -> MeshSnapshot {
        MeshSnapshot(
            generation: 1, services: Dictionary(uniqueKeysWithValues: services.map { ($0.name, $0) }),
            workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) }))
    }

    private func totals(_ plane: KernelPlane, service: UInt64) throws -> weft_traffic {
        try plane.withMaps { maps in
            var total = weft_traffic()
            for (key, value) in try maps.traffic.summedCounters()
            where key.service == service && UInt32(key.reporter) != WEFT_REPORTER_DESTINATION.rawValue {
                total.opened += value.opened
                total.closed += value.closed
                total.sent_bytes += value.sent_bytes
                total.received_bytes += value.received_bytes
            }
            return total
        }
    }

    @Test func datagramsToTwoServicesFromOneSocket() throws {
        let sandbox = try Sandbox("udp")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        let one = try service("one", "127.96.1.1", 53, .udp, to: "127.0.0.1", 18153)
        let two = try service("two", "127.96.1.2", 53, .udp, to: "127.0.0.1", 18154)
        #expect(try plane.apply(snapshot([one, two], [sandbox.workload("client")])).isEmpty)
        let output = try sandbox.python(
            """
            import socket, threading
            def serve(port):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', port))
                def loop():
                    while True:
                        d, a = s.recvfrom(2000); s.sendto(d + b'!', a)
                threading.Thread(target=loop, daemon=True).start()
            serve(18153); serve(18154)
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
            for i in range(10):
                u.sendto(b'x' * 100, ('127.96.1.1', 53)); d, a = u.recvfrom(2000); assert a == ('127.96.1.1', 53), a
                u.sendto(b'y' * 50, ('127.96.1.2', 53)); d, a = u.recvfrom(2000); assert a == ('127.96.1.2', 53), a
            u.close()
            c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.settimeout(5); c.connect(('127.96.1.1', 53))
            c.send(b'z' * 7); assert len(c.recv(2000)) == 8; assert c.getpeername() == ('127.96.1.1', 53)
            c.connect(('127.96.1.2', 53)); c.send(b'z' * 9); assert len(c.recv(2000)) == 10
            m = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); m.settimeout(5)
            m.sendto(b'm' * 3, ('::ffff:127.96.1.1', 53)); d, a = m.recvfrom(100)
            assert a[:2] == ('::ffff:127.96.1.1', 53), a
            m.close(); c.close()
            print('ok')
            """)
        #expect(output == "ok")
        let first = try totals(plane, service: Identifier.service(one.name, port: 53, transport: .udp, isIPv4: true))
        #expect(first.opened == 3)
        #expect(first.closed == 3)
        #expect(first.sent_bytes == 1010)
        #expect(first.received_bytes == 1022)
        let second = try totals(plane, service: Identifier.service(two.name, port: 53, transport: .udp, isIPv4: true))
        #expect(second.opened == 2)
        #expect(second.closed == 2)
        #expect(second.sent_bytes == 509)
        #expect(second.received_bytes == 520)
    }

    @Test func bothFamiliesAndMappedAddresses() throws {
        let sandbox = try Sandbox("v6")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        let four = try service("four", "127.96.1.1", 80, to: "127.0.0.1", 18080)
        let six = try service("six", "fd00::10", 80, to: "::1", 18080)
        #expect(try plane.apply(snapshot([four, six])).isEmpty)
        let output = try sandbox.python(
            """
            import socket, threading
            def serve(family, address):
                s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.bind((address, 18080)); s.listen()
                def loop():
                    while True:
                        c, _ = s.accept(); c.sendall(address.encode()); c.close()
                threading.Thread(target=loop, daemon=True).start()
            serve(socket.AF_INET, '127.0.0.1'); serve(socket.AF_INET6, '::1')
            def get(family, address):
                c = socket.socket(family); c.connect((address, 80)); assert c.getpeername()[:2] == (address, 80), c.getpeername()
                return c.recv(100).decode()
            print(get(socket.AF_INET, '127.96.1.1'), get(socket.AF_INET6, '::ffff:127.96.1.1'), get(socket.AF_INET6, 'fd00::10'))
            """)
        #expect(output == "127.0.0.1 127.0.0.1 ::1")
    }

    /// An open connection that a new policy forbids ends; its bytes and those of one that stays are counted meanwhile.
    @Test func sweepCountsAndEndsOpenConnections() throws {
        let sandbox = try Sandbox("sweep")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        let server = sandbox.workload("server", ports: [18080], addresses: ["127.0.0.1"], enrolled: false)
        let web = try service("web", "127.96.1.1", 80, to: "127.0.0.1", 18080, workload: "server")
        var mesh = snapshot([web], [server, sandbox.workload("client")])
        #expect(try plane.apply(mesh).isEmpty)

        let (process, output) = try sandbox.start(
            """
            import socket
            s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', 18080)); s.listen()
            c = socket.create_connection(('127.96.1.1', 80)); a, _ = s.accept()
            c.sendall(b'x' * 12345); n = 0
            while n < 12345: n += len(a.recv(65536))
            print('open'); c.settimeout(20)
            try: print('read', c.recv(1))
            except OSError as e: print('ended', e.errno)
            """)
        _ = output.fileHandleForReading.availableData
        let id = Identifier.service(web.name, port: 80, transport: .tcp, isIPv4: true)
        #expect(try plane.sweep().doomed.isEmpty)
        #expect(try totals(plane, service: id).sent_bytes == 12345)
        #expect(try totals(plane, service: id).closed == 0)

        let policy = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "nobody"), selector: ["app": "server"], rules: [])
        mesh.policies = [policy.name: policy]
        mesh.generation = 2
        #expect(try plane.apply(mesh).isEmpty)
        let result = try plane.sweep()
        #expect(result.ended == 1)
        #expect(result.failed == 0)
        let rest = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(rest.contains("ended 103"))
        process.waitUntilExit()
        #expect(try totals(plane, service: id).sent_bytes == 12345)
        #expect(try totals(plane, service: id).closed == 1)
    }

    /// A second agent finds the pins of the first: counters go on, and connections work without it meanwhile.
    @Test func adoptionKeepsEverything() throws {
        let sandbox = try Sandbox("adopt")
        let web = try service("web", "127.96.1.1", 80, to: "127.0.0.1", 18080)
        let gone = try service("gone", "127.96.1.2", 80, to: "127.0.0.1", 18080)
        let connect = """
            import socket
            s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(('127.0.0.1', 18080)); s.listen()
            c = socket.create_connection(('127.96.1.1', 80)); print('ok')
            """
        let id = Identifier.service(web.name, port: 80, transport: .tcp, isIPv4: true)
        do {
            let plane = try sandbox.plane()
            #expect(!plane.adopted)
            #expect(try plane.apply(snapshot([web, gone])).isEmpty)
            #expect(throws: BPFError.self) { try sandbox.plane() }
            #expect(try sandbox.python(connect) == "ok")
        }
        #expect(try sandbox.python(connect) == "ok")
        let plane = try sandbox.plane()
        #expect(plane.adopted)
        #expect(try sandbox.python(connect) == "ok")
        #expect(try plane.apply(snapshot([web])).isEmpty)
        #expect(try sandbox.python(connect) == "ok")
        #expect(try totals(plane, service: id).opened == 4)
        #expect(try plane.withMaps { try $0.services.count() } == 1)
    }
}
