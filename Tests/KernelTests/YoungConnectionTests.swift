import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// Where the state of a connection is kept: in `connections` while it is young, then in its socket's storage.
@Suite(.serialized)
struct YoungConnectionTests {
    private func mesh(_ sandbox: Sandbox) throws -> MeshSnapshot {
        let client = sandbox.workload("client")
        let server = sandbox.workload("server", ports: [18080], addresses: ["127.0.0.1"], enrolled: false)
        let service = MeshService(
            name: ObjectName(namespace: "shop", name: "web"), addresses: [try #require(IPAddress("127.96.1.1"))],
            ports: [
                MeshServicePort(
                    name: "", port: 80, transport: .tcp,
                    endpoints: [
                        MeshEndpoint(
                            address: try #require(IPAddress("127.0.0.1")), port: 18080, workload: server.name)
                    ])
            ], balancing: Balancing())
        return MeshSnapshot(
            generation: 1, services: [service.name: service],
            workloads: [client.name: client, server.name: server])
    }

    private func connections(_ sandbox: Sandbox) throws -> Map<UInt32, weft_young> {
        try Map.openPinned(PinDirectory(path: sandbox.pins).map("connections"), name: "connections")
    }

    private func places(_ sandbox: Sandbox) throws -> Map<UInt32, weft_tuple_place> {
        try Map.openPinned(PinDirectory(path: sandbox.pins).map("tuple_places"), name: "tuple_places")
    }

    /// How much of what belongs to connections is in use.
    private func inUse(_ plane: KernelPlane, _ sandbox: Sandbox) throws -> [String: Int] {
        try [
            "connections": connections(sandbox).entries().count { $0.value.cookie != 0 },
            "tuple_places": places(sandbox).entries().count { $0.value.owner != 0 },
            "tuples": plane.withMaps { try $0.tuples.count() },
            "load": plane.withMaps { try $0.backendLoad.entries().reduce(0) { $0 + Int($1.value.active) } },
        ]
    }

    private let nothing = ["connections": 0, "tuple_places": 0, "tuples": 0, "load": 0]

    /// Of all connections to services.
    private func totals(_ plane: KernelPlane) throws -> weft_traffic {
        try plane.withMaps { maps in
            var total = weft_traffic()
            for (key, value) in try maps.traffic.summedCounters() where key.service != 0 {
                total.opened += value.opened
                total.closed += value.closed
                total.failed += value.failed
                total.sent_bytes += value.sent_bytes
            }
            return total
        }
    }

    /// One connection that says where it is at each line that it reads.
    private static let script = """
        import socket, sys
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', 18080)); s.listen()
        c = socket.create_connection(('127.96.1.1', 80)); a, _ = s.accept()
        c.sendall(b'x' * 12345); n = 0
        while n < 12345: n += len(a.recv(65536))
        def tell(): sys.stdout.write(f'{c.getpeername()}\\n')
        tell()
        for line in sys.stdin:
            c.sendall(b'y'); a.recv(1); tell()
        c.close(); a.close(); s.close()
        """

    private func next(_ output: Pipe) -> String {
        String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    }

    @Test("A connection that lasts moves into its socket's storage, and everything goes on")
    func lasting() throws {
        let sandbox = try Sandbox("young")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        #expect(try plane.apply(mesh(sandbox)).isEmpty)
        let input = Pipe()
        let (process, output) = try sandbox.start(Self.script, input: input)
        let service = "('127.96.1.1', 80)\n"
        #expect(next(output) == service)
        #expect(
            try inUse(plane, sandbox) == ["connections": 1, "tuple_places": 1, "tuples": 0, "load": 1])

        // It is younger than a minute.
        #expect(try plane.sweep(sparing: 60_000).unreached == 0)
        #expect(try inUse(plane, sandbox)["connections"] == 1)
        #expect(try totals(plane).sent_bytes == 0)

        #expect(try plane.sweep().unreached == 0)
        #expect(
            try inUse(plane, sandbox) == ["connections": 0, "tuple_places": 1, "tuples": 0, "load": 1])
        #expect(try totals(plane).sent_bytes == 12345)
        try input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
        #expect(next(output) == service)
        _ = try plane.sweep(sparing: 60_000)
        #expect(try totals(plane).sent_bytes == 12346)
        #expect(try totals(plane).closed == 0)

        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        #expect(try inUse(plane, sandbox) == nothing)
        let end = try totals(plane)
        #expect((end.opened, end.closed, end.failed, end.sent_bytes) == (1, 1, 0, 12346))
    }

    /// Fills every place as if others had them.
    private func takeAllPlaces(_ sandbox: Sandbox) throws {
        var young = weft_young()
        young.cookie = 1 << 62
        try connections(sandbox).setAll((0..<UInt32(WEFT_YOUNG_CONNECTIONS)).map { ($0, young) })
        var place = weft_tuple_place()
        place.owner = 1 << 62
        try places(sandbox).setAll((0..<UInt32(WEFT_TUPLE_PLACES)).map { ($0, place) })
    }

    @Test("Connections whose places are taken are in their sockets' storage at once, and in `tuples`")
    func takenPlaces() throws {
        let sandbox = try Sandbox("places")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        #expect(try plane.apply(mesh(sandbox)).isEmpty)
        try takeAllPlaces(sandbox)
        let input = Pipe()
        let (process, output) = try sandbox.start(Self.script, input: input)
        #expect(next(output) == "('127.96.1.1', 80)\n")
        #expect(try plane.withMaps { try $0.tuples.count() } == 1)
        _ = try plane.sweep(sparing: 60_000)
        #expect(try totals(plane).sent_bytes == 12345)
        try input.fileHandleForWriting.close()
        process.waitUntilExit()

        let end = try totals(plane)
        #expect((end.opened, end.closed, end.failed, end.sent_bytes) == (1, 1, 0, 12345))
        let left = try inUse(plane, sandbox)
        #expect(left["tuples"] == 0)
        #expect(left["load"] == 0)
        #expect(left["connections"] == Int(WEFT_YOUNG_CONNECTIONS))
        #expect(left["tuple_places"] == Int(WEFT_TUPLE_PLACES))
        let lost = try plane.withMaps { try $0.nodeCounters.summedCounters(WEFT_COUNT_TUPLES_LOST.rawValue) }
        #expect(lost == 0)
    }

    @Test("Without a place and without memory a connection is refused and counted, never left untranslated")
    func noRoomAtAll() throws {
        let sandbox = try Sandbox("noroom")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        #expect(try plane.apply(mesh(sandbox)).isEmpty)
        try takeAllPlaces(sandbox)
        // What a socket's storage may take is a setting of the namespace.
        let output = try sandbox.python(
            """
            import socket, errno
            open('/proc/sys/net/core/optmem_max', 'w').write('0')
            s = socket.socket(); s.bind(('127.0.0.1', 18080)); s.listen()
            try: socket.create_connection(('127.96.1.1', 80)); print('connected')
            except OSError as e: print(errno.errorcode[e.errno])
            """)
        #expect(output == "ENOMEM")
        let untracked = try plane.withMaps { try $0.nodeCounters.summedCounters(WEFT_COUNT_SOCKETS_UNTRACKED.rawValue) }
        #expect(untracked == 1)
        #expect(try totals(plane).opened == 0)
        #expect(try inUse(plane, sandbox)["load"] == 0)
    }

    @Test(
        "Whatever a socket ends with, nothing is left of it",
        arguments: [
            ("refused", "c.connect_ex(V)", 0, 1),
            ("never sent", "c.connect_ex(('203.0.113.1', 80))", 0, 0),
            ("never sent, then connected", "c.connect_ex(('203.0.113.1', 80)); serve(); c.connect(V)", 1, 0),
            ("refused, then connected", "c.connect_ex(V); serve(); c.connect(V)", 1, 1),
            ("disconnected, then connected", "serve(); c.connect(V); disconnect(c); c.connect(V)", 2, 0),
            ("closed while it connects", "c.setblocking(False); full(); c.connect_ex(V); c.close()", 0, 1),
            ("reset by its owner", "serve(); c.connect(V); linger(c); c.close()", 1, 0),
            ("reset by its peer", "s = serve(); c.connect(V); a = s.accept()[0]; linger(a); a.close(); wait(c)", 1, 0),
            ("never accepted", "s = serve(); c.connect(V); s.close(); wait(c)", 1, 0),
            ("closed by both", "s = serve(); c.connect(V); a = s.accept()[0]; c.close(); a.close()", 1, 0),
            (
                "closed after its peer", "s = serve(); c.connect(V); a = s.accept()[0]; a.close(); wait(c); c.close()",
                1, 0
            ),
            ("fast open, closed before its first write", "fastopen(c); c.connect(V); c.close()", 0, 1),
            ("shared with a child", "serve(); c.connect(V); child(c)", 1, 0),
        ])
    func nothingIsLeft(name: String, steps: String, opened: UInt64, failed: UInt64) throws {
        let sandbox = try Sandbox("left")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        #expect(try plane.apply(mesh(sandbox)).isEmpty)
        let output = try sandbox.python(
            """
            import ctypes, os, socket, struct, time
            V = ('127.96.1.1', 80); keep = []
            def serve(backlog=16):
                s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(('127.0.0.1', 18080)); s.listen(backlog); keep.append(s); return s
            def full():
                # While its queue is full a listener does not answer.
                serve(0)
                for _ in range(4):
                    k = socket.socket(); k.setblocking(False); k.connect_ex(('127.0.0.1', 18080)); keep.append(k)
                time.sleep(0.1)
            def disconnect(c): ctypes.CDLL(None, use_errno=True).connect(c.fileno(), bytes(16), 16)
            def linger(c): c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            def wait(c):
                try: c.recv(1)
                except OSError: pass
            def fastopen(c):
                open('/proc/sys/net/ipv4/tcp_fastopen', 'w').write('5')
                c.setsockopt(socket.IPPROTO_TCP, 30, 1)
            def child(c):
                if os.fork() == 0: c.send(b'x'); c.close(); os._exit(0)
                os.wait()
            c = socket.socket()
            \(steps)
            c.close()
            for s in keep: s.close()
            time.sleep(0.1)
            print('done')
            """)
        #expect(output == "done")
        #expect(try inUse(plane, sandbox) == nothing, "\(name)")
        let end = try totals(plane)
        #expect((end.opened, end.closed, end.failed) == (opened, opened, failed), "\(name)")
    }
}
