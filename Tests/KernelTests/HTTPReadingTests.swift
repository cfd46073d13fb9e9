import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// HTTP/1 as the programs read it on real sockets.
@Suite(.serialized)
struct HTTPReadingTests {
    /// A client, and a server that is a service and a workload, on one node.
    private func mesh(_ sandbox: Sandbox) throws -> MeshSnapshot {
        try sandbox.snapshot(
            [sandbox.service("web", "127.96.1.1", to: 18080, workload: "server")],
            [
                sandbox.workload("client"),
                sandbox.workload("server", ports: [18080], addresses: ["127.0.0.1"], enrolled: false),
            ])
    }

    /// Sums of one kind of request.
    struct Counted: Equatable {
        var count: UInt64 = 0
        var requestBytes: UInt64 = 0
        var responseBytes: UInt64 = 0
    }

    /// `status outcome reporter`: what has been counted.
    private func counted(_ plane: KernelPlane) throws -> [String: Counted] {
        let outcomes = ["complete", "client", "server", "unparsed"]
        let reporters = ["source", "destination", "both"]
        var result: [String: Counted] = [:]
        try plane.withMaps { maps in
            for (key, value) in try maps.requests.summedCounters() where value.count > 0 {
                let outcome = try #require(Int(key.outcome) < outcomes.count ? outcomes[Int(key.outcome)] : nil)
                let reporter = try #require(Int(key.reporter) < reporters.count ? reporters[Int(key.reporter)] : nil)
                result["\(key.status) \(outcome) \(reporter)", default: Counted()].add(value)
            }
        }
        return result
    }

    /// Runs a client's script with a server that sends, for each connection, what `answers` yields: `serve(*pieces)` starts
    /// it, where each piece is bytes to send, a number of bytes to read first, or a function of the socket.
    private func run(_ sandbox: Sandbox, _ script: String) throws -> String {
        try sandbox.python(
            """
            import socket, struct, threading, time
            V = ('127.96.1.1', 80); GET = b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
            def ok(n=0): return b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % n + b'x' * n
            def reset(s):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
            def exactly(s, n):
                d = b''
                while len(d) < n:
                    try: p = s.recv(n - len(d))
                    except ConnectionError: break
                    if not p: break
                    d += p
                return d
            def serve(*pieces, family=socket.AF_INET, address='127.0.0.1'):
                l = socket.socket(family); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                l.bind((address, 18080)); l.listen()
                def run():
                    a, _ = l.accept(); a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for piece in pieces:
                        if isinstance(piece, int): exactly(a, piece)
                        elif isinstance(piece, bytes): a.sendall(piece)
                        else: piece(a)
                    a.close(); l.close()
                t = threading.Thread(target=run); t.start(); return t
            def connect(address=V):
                c = socket.create_connection(address, 5); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return c
            def rest(c):
                d = b''
                try:
                    while True:
                        p = c.recv(65536)
                        if not p: return d
                        d += p
                except OSError: return d
            \(script)
            time.sleep(0.05)
            print('done')
            """)
    }

    private static let get = 27  // bytes of GET

    private static let cases: [(name: String, script: String, expected: [String: Counted])] = [
        (
            "kept alive",
            "t = serve(27, ok(5), 27, ok(0), 27, ok(100)); c = connect()\nfor n in (5, 0, 100): c.sendall(GET);"
                + " exactly(c, len(ok(n)))\nc.close(); t.join()",
            ["200 complete both": Counted(count: 3, responseBytes: 105)]
        ),
        (
            "pipelined",
            "t = serve(27 * 5, ok(1) * 5); c = connect(); c.sendall(GET * 5); rest(c); c.close(); t.join()",
            ["200 complete both": Counted(count: 5, responseBytes: 5)]
        ),
        (
            "byte by byte, both ways",
            "t = serve(27, lambda a: [a.sendall(bytes([b])) for b in ok(9)]); c = connect()\n"
                + "for b in GET: c.sendall(bytes([b]))\nrest(c); c.close(); t.join()",
            ["200 complete both": Counted(count: 1, responseBytes: 9)]
        ),
        (
            "a large body each way",
            "n = 3000000; h = b'POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: %d\\r\\n\\r\\n' % n\n"
                + "t = serve(len(h) + n, ok(n + 1)); c = connect(); c.sendall(h + b'y' * n); rest(c); c.close(); t.join()",
            ["200 complete both": Counted(count: 1, requestBytes: 3_000_000, responseBytes: 3_000_001)]
        ),
        (
            "HEAD, 1xx, 204, 304 and chunks",
            """
            head = b'HEAD / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'
            t = serve(len(head), b'HTTP/1.1 200 OK\\r\\nContent-Length: 77\\r\\n\\r\\n', 27,
                      b'HTTP/1.1 100 Continue\\r\\n\\r\\n', b'HTTP/1.1 204 No\\r\\n\\r\\n', 27,
                      b'HTTP/1.1 304 Not\\r\\nContent-Length: 9\\r\\n\\r\\n', 27,
                      b'HTTP/1.1 500 No\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n', b'5\\r\\nhel', b'lo\\r\\n',
                      b'3;x=y\\r\\nabc\\r\\n0\\r\\nT: 1\\r\\n', b'\\r\\n')
            c = connect(); c.sendall(head); time.sleep(0.02); c.sendall(GET); time.sleep(0.02); c.sendall(GET)
            time.sleep(0.02); c.sendall(GET); rest(c); c.close(); t.join()
            """,
            [
                "200 complete both": Counted(count: 1), "204 complete both": Counted(count: 1),
                "304 complete both": Counted(count: 1), "500 complete both": Counted(count: 1, responseBytes: 8),
            ]
        ),
        (
            "until the server closes",
            "t = serve(27, b'HTTP/1.0 200 OK\\r\\n\\r\\nhello', b' world'); c = connect(); c.sendall(GET); rest(c);"
                + " c.close(); t.join()",
            ["200 complete both": Counted(count: 1, responseBytes: 11)]
        ),
        (
            "until the server closes, after its client has closed its half",
            "t = serve(27, b'HTTP/1.0 200 OK\\r\\n\\r\\nhello', lambda a: time.sleep(0.05)); c = connect();"
                + " c.sendall(GET); c.shutdown(socket.SHUT_WR); rest(c); c.close(); t.join()",
            ["200 complete both": Counted(count: 1, responseBytes: 5)]
        ),
        (
            "an upgrade",
            "t = serve(27, b'HTTP/1.1 101 Switching\\r\\nUpgrade: x\\r\\n\\r\\n', 4, b'HTTP/1.1 200 OK\\r\\n\\r\\n');"
                + " c = connect(); c.sendall(GET); time.sleep(0.02); c.sendall(b'GET '); rest(c); c.close(); t.join()",
            ["101 complete both": Counted(count: 1)]
        ),
        (
            "the client ends it before the answer",
            "t = serve(27, 1); c = connect(); c.sendall(GET); c.close(); t.join()",
            ["0 client both": Counted(count: 1)]
        ),
        (
            "the client resets it in the answer",
            "t = serve(27, ok(100)[:-50], 1); c = connect(); c.sendall(GET); c.recv(10); time.sleep(0.02); reset(c);"
                + " t.join()",
            ["200 client both": Counted(count: 1, responseBytes: 50)]
        ),
        (
            "the server ends it before the answer",
            "t = serve(27); c = connect(); c.sendall(GET); rest(c); c.close(); t.join()",
            ["0 server both": Counted(count: 1)]
        ),
        (
            "the server resets it in the answer",
            "t = serve(54, ok(9) + ok(100)[:-50], reset); c = connect(); c.sendall(GET + GET); rest(c); c.close(); t.join()",
            [
                "200 complete both": Counted(count: 1, responseBytes: 9),
                "200 server both": Counted(count: 1, responseBytes: 50),
            ]
        ),
        (
            "half a request",
            "t = serve(12); c = connect(); c.sendall(GET[:12]); rest(c); c.close(); t.join()",
            [:]
        ),
        (
            "what cannot be followed",
            "b = b'POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 1\\r\\nContent-Length: 2\\r\\n\\r\\n'\n"
                + "t = serve(27, ok(1), len(b), ok(2)); c = connect(); c.sendall(GET); time.sleep(0.02); c.sendall(b);"
                + " rest(c); c.close(); t.join()",
            [
                "200 complete both": Counted(count: 1, responseBytes: 1), "0 unparsed both": Counted(count: 1),
            ]
        ),
        (
            "TLS",
            "t = serve(6, b'\\x15\\x03\\x03'); c = connect(); c.sendall(b'\\x16\\x03\\x01\\x02\\x00\\x01'); rest(c); c.close()",
            [:]
        ),
        (
            "Redis", "t = serve(9, b'+OK\\r\\n'); c = connect(); c.sendall(b'GET key\\r\\n'); rest(c); c.close()",
            [:]
        ),
        (
            "a server that speaks first",
            "t = serve(b'220 mail\\r\\n', 27, ok(1)); c = connect(); c.recv(100); c.sendall(GET); rest(c); c.close()",
            [:]
        ),
    ]

    @Test("IPv6, and IPv4 through a socket of IPv6")
    func families() throws {
        let sandbox = try Sandbox("http6")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        let places = [IPAddress(v4: 127, 0, 0, 1), try #require(IPAddress("::1"))]
        let workload = ObjectName(namespace: "shop", name: "server")
        let web = MeshService(
            name: ObjectName(namespace: "shop", name: "web"),
            addresses: [IPAddress(v4: 127, 96, 1, 1), try #require(IPAddress("fd00:96::1"))],
            ports: [
                MeshServicePort(
                    name: "", port: 80, transport: .tcp,
                    endpoints: places.map { MeshEndpoint(address: $0, port: 18080, workload: workload) })
            ], balancing: Balancing())
        let snapshot = sandbox.snapshot(
            [web],
            [
                sandbox.workload("client"),
                sandbox.workload("server", ports: [18080], addresses: ["127.0.0.1", "::1"], enrolled: false),
            ])
        #expect(try plane.apply(snapshot).isEmpty)
        let script = """
            t = serve(27, ok(5)); c = connect(('::ffff:127.96.1.1', 80)); c.sendall(GET); rest(c); c.close(); t.join()
            t = serve(27, ok(7), family=socket.AF_INET6, address='::1'); c = connect(('fd00:96::1', 80))
            c.sendall(GET); rest(c); c.close(); t.join()
            """
        #expect(try run(sandbox, script) == "done")
        #expect(try counted(plane) == ["200 complete both": Counted(count: 2, responseBytes: 12)])
    }

    @Test("What one connection carries is counted")
    func oneConnection() throws {
        let sandbox = try Sandbox("http")
        let plane = try sandbox.plane()
        _ = try sandbox.python("pass")
        #expect(try plane.apply(mesh(sandbox)).isEmpty)
        let exchanges: Map<UInt32, weft_exchange> = try Map.openPinned(
            PinDirectory(path: sandbox.pins).map("exchanges"), name: "exchanges")
        var before: [String: Counted] = [:]
        for (name, script, expected) in Self.cases {
            #expect(try run(sandbox, script) == "done", "\(name)")
            let after = try counted(plane)
            #expect(after.subtracting(before) == expected, "\(name)")
            before = after
            #expect(try exchanges.entries().allSatisfy { $0.value.cookie == 0 }, "\(name)")
        }
    }
}

extension [String: HTTPReadingTests.Counted] {
    /// What has been added since.
    fileprivate func subtracting(_ before: Self) -> Self {
        var added: Self = [:]
        for (kind, counted) in self {
            let old = before[kind] ?? .init()
            guard counted != old else { continue }
            added[kind] = .init(
                count: counted.count - old.count, requestBytes: counted.requestBytes - old.requestBytes,
                responseBytes: counted.responseBytes - old.responseBytes)
        }
        return added
    }
}

extension HTTPReadingTests.Counted {
    fileprivate mutating func add(_ value: weft_requests) {
        count += value.count
        requestBytes += value.request_body.sum
        responseBytes += value.response_body.sum
    }
}
