import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

extension Sandbox {
    /// A service of one port with one endpoint on the loopback address.
    func service(
        _ name: String, _ address: String, _ port: UInt16 = 80, _ transport: TransportProtocol = .tcp,
        to target: UInt16, workload: String? = nil
    ) throws -> MeshService {
        MeshService(
            name: ObjectName(namespace: "shop", name: name), addresses: [try #require(IPAddress(address))],
            ports: [
                MeshServicePort(
                    name: "", port: port, transport: transport,
                    endpoints: [
                        MeshEndpoint(
                            address: try #require(IPAddress("127.0.0.1")), port: target,
                            workload: workload.map { ObjectName(namespace: "shop", name: $0) })
                    ])
            ], balancing: Balancing())
    }

    /// A policy for the workloads with a name that allows these principals, and with none nobody.
    func policy(_ name: String, of app: String, allowing principals: [String] = []) -> AuthorizationPolicy {
        let rules = principals.map { principal in
            var source = AuthorizationPolicy.Source()
            source.principals = [.exact(principal)]
            return AuthorizationPolicy.Rule(sources: [source])
        }
        return AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: name), selector: ["app": app], rules: rules)
    }

    func snapshot(
        _ services: [MeshService], _ workloads: [MeshWorkload] = [], _ policies: [AuthorizationPolicy] = [],
        generation: UInt64 = 1
    ) -> MeshSnapshot {
        MeshSnapshot(
            generation: generation, services: Dictionary(uniqueKeysWithValues: services.map { ($0.name, $0) }),
            workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) }),
            policies: Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) }))
    }
}

extension KernelPlane {
    /// What the clients' ends have counted of the connections that `select` chooses.
    func totals(_ select: (weft_traffic_key) -> Bool) throws -> weft_traffic {
        try withMaps { maps in
            var total = weft_traffic()
            for (key, value) in try maps.traffic.summedCounters()
            where select(key) && UInt32(key.reporter) != WEFT_REPORTER_DESTINATION.rawValue {
                total.opened += value.opened
                total.closed += value.closed
                total.failed += value.failed
                total.denied += value.denied
                total.sent_bytes += value.sent_bytes
                total.received_bytes += value.received_bytes
            }
            return total
        }
    }

    func totals(of service: MeshService) throws -> weft_traffic {
        let port = try #require(service.ports.first)
        let id = Identifier.service(service.name, port: port.port, transport: port.transport, isIPv4: true)
        return try totals { $0.service == id }
    }
}

extension String.UTF8View {
    fileprivate var hex: String { map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
}

/// A Python process in a sandbox that does what it is asked.
final class Interpreter {
    private let process: Process
    private let input = Pipe()
    private let output: Pipe

    /// Starts it with statements of its own. These can be used: `tcp(port, name)` and `udp(port, name)` serve with their
    /// names, `get(address)` connects and reads one, `disconnect(socket)`.
    init(_ sandbox: Sandbox, in workload: String = "client", _ statements: String = "") throws {
        (process, output) = try sandbox.start(
            """
            import ctypes, errno, socket, sys, threading, time
            def thread(loop): threading.Thread(target=loop, daemon=True).start()
            def listener(port, address):
                s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((address, port)); s.listen(); return s
            def answer(c, name):
                try:
                    c.sendall(name)
                    while c.recv(100): c.sendall(name)
                except OSError: pass
            def tcp(port, name, address='127.0.0.1'):
                s = listener(port, address)
                def loop():
                    while True:
                        c, _ = s.accept(); thread(lambda c=c: answer(c, name))
                thread(loop)
            def udp(port, name):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', port))
                def loop():
                    while True:
                        d, a = s.recvfrom(2000); s.sendto(name + d, a)
                thread(loop)
            def get(*address):
                c = socket.create_connection(address, 5); name = c.recv(100).decode(); c.close(); return name
            def datagram():
                u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); return u
            def disconnect(s):
                if ctypes.CDLL(None, use_errno=True).connect(s.fileno(), bytes(16), 16): raise OSError(0)
            \(statements)
            for line in sys.stdin:
                try:
                    result = eval(line)
                except OSError as error:
                    result = errno.errorcode.get(error.errno, str(error))
                sys.stdout.write(f'{result}\\n')
            """, in: workload, input: input)
        // From then on it is in its cgroup and its namespace.
        try expect("'ready'", "ready")
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func expect(
        _ expression: String, _ expected: String, sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) throws {
        let answer = try ask(expression)
        #expect(answer == expected, "\(expression)", sourceLocation: sourceLocation)
    }

    /// Adds definitions of its own to what can be asked.
    func define(_ statements: String) throws {
        try expect("exec(bytes.fromhex('\(statements.utf8.hex)').decode(), globals())", "None")
    }

    /// What an expression's value is, or the name of its errno.
    func ask(_ expression: String) throws -> String {
        try input.fileHandleForWriting.write(contentsOf: Data("\(expression)\n".utf8))
        var answer = Data()
        while answer.last != UInt8(ascii: "\n") {
            let piece = output.fileHandleForReading.availableData
            if piece.isEmpty { break }
            answer += piece
        }
        return String(decoding: answer, as: UTF8.self).trimmingCharacters(in: .newlines)
    }
}
