import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// The tunnel lane as far as the kernel carries it: connections to workloads of other nodes that are turned to a listener
/// of "the agent", a Python script in the agent's cgroup.
@Suite(.serialized)
struct TunnelLaneTests {
    private static let port: UInt16 = 15001
    private static let remotePort: UInt16 = 28080

    /// What the agent answers: the lane, backend and destination of what it has accepted, and what was asked for.
    private static let agent = """
        import atexit, os, signal, struct
        os.system('ip addr add 10.96.9.9/32 dev lo; ip -6 addr add fd00:96::9/128 dev lo nodad')
        def enter():
            open('CGROUP/agent/cgroup.procs', 'w').write(str(os.getpid()))
        def origin(c):
            try: raw = c.getsockopt(0, 80, 88)[:80]
            except OSError: return b'no origin'
            port, lane = struct.unpack('!HB', raw[16:19])
            service, backend, destination, source = struct.unpack('=4Q', raw[24:56])
            family = socket.AF_INET if raw[:12] == bytes(10) + bytes([255, 255]) else socket.AF_INET6
            asked = socket.inet_ntop(family, raw[12:16] if family == socket.AF_INET else raw[:16])
            return ('%d %x %x %x %x %s %d' % (lane, service, backend, destination, source, asked, port)).encode()
        def agent():
            for place in ('127.0.0.1', '::1'):
                s = listener(15001, place)
                def loop(s=s):
                    while True:
                        c, _ = s.accept()
                        try: c.sendall(origin(c)); c.recv(10)
                        except OSError: pass
                        c.close()
                thread(loop)
        def run_agent():
            r, w = os.pipe()
            child = os.fork()
            if child == 0:
                enter(); agent(); os.write(w, b'.'); signal.pause()
            os.close(w); atexit.register(lambda: os.kill(child, signal.SIGKILL)); return os.read(r, 1).decode()
        def told(*address, family=socket.AF_INET):
            c = socket.socket(family); c.settimeout(5); c.connect(address)
            peer = c.getpeername(); text = c.recv(200).decode(); c.close()
            return '%s %d: %s' % (peer[0], peer[1], text)
        def hold(*address):
            global held
            held = socket.create_connection(address, 5); return held.recv(200) != b''
        def ended():
            held.settimeout(5)
            try: return held.recv(10).decode()
            except OSError as e: return errno.errorcode[e.errno]
        def dgram(*address):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(address); return '%s %d' % s.getpeername()
        """

    private func plane(_ sandbox: Sandbox) throws -> KernelPlane {
        let agent = "\(sandbox.cgroup)/agent"
        for cgroup in [agent, "\(sandbox.cgroup)/client"] {
            try FileManager.default.createDirectory(atPath: cgroup, withIntermediateDirectories: true)
        }
        let loopback = IPAddress(v4: 127, 0, 0, 1)
        return try KernelPlane(
            .init(
                pinDirectory: sandbox.pins, cgroup: sandbox.cgroup, cgroupMount: sandbox.cgroupMount,
                proxy: .init(
                    addresses: ProxyAddresses(
                        outbound: .init(address: loopback, port: Self.port),
                        inbound: .init(address: loopback, port: 15006),
                        tunnel: .init(address: loopback, port: 15008)),
                    cgroup: agent)))
    }

    private func interpreter(_ sandbox: Sandbox) throws -> Interpreter {
        try Interpreter(sandbox, Self.agent.replacing("CGROUP", with: sandbox.cgroup))
    }

    private let client = ObjectName(namespace: "shop", name: "client")
    private let server = ObjectName(namespace: "shop", name: "server")

    /// A client here and a server on another node, alone and behind a service.
    private func snapshot(
        _ sandbox: Sandbox, mode: MutualTLSMode = .permissive, portModes: [UInt16: MutualTLSMode] = [:],
        takesTunnel: Bool = true, policies: [AuthorizationPolicy] = []
    ) throws -> MeshSnapshot {
        var local = sandbox.workload("client")
        local.addresses = [IPAddress(v4: 10, 96, 7, 7)]
        var remote = sandbox.workload(
            "server", ports: [Self.remotePort], addresses: ["10.96.9.9", "fd00:96::9"], enrolled: false)
        remote.isLocal = false
        remote.takesTunnel = takesTunnel
        remote.mutualTLS = mode
        remote.portMutualTLS = portModes
        let endpoints = try ["10.96.9.9", "fd00:96::9"].map {
            MeshEndpoint(address: try #require(IPAddress($0)), port: Self.remotePort, workload: remote.name)
        }
        let service = MeshService(
            name: ObjectName(namespace: "shop", name: "web"),
            addresses: [IPAddress(v4: 127, 96, 1, 1), try #require(IPAddress("fd00:96::1"))],
            ports: [
                MeshServicePort(name: "tcp", port: 80, transport: .tcp, endpoints: endpoints),
                MeshServicePort(name: "udp", port: 80, transport: .udp, endpoints: endpoints),
            ],
            balancing: Balancing())
        return sandbox.snapshot([service], [local, remote], policies)
    }

    private func hex(_ id: UInt64) -> String { String(id, radix: 16) }

    /// What the agent is told of a connection to an address of the service, or of the workload itself.
    private func expected(_ asked: String, port: UInt16, isIPv4: Bool, viaService: Bool) throws -> String {
        let service = Identifier.service(
            ObjectName(namespace: "shop", name: "web"), port: 80, transport: .tcp, isIPv4: isIPv4)
        let backend = Identifier.backend(
            service: service, address: try #require(IPAddress(isIPv4 ? "10.96.9.9" : "fd00:96::9")),
            port: Self.remotePort)
        let ids = [
            viaService ? service : 0, viaService ? backend : 0, Identifier.workload(server),
            Identifier.workload(client),
        ]
        return "\(WEFT_LANE_TUNNEL.rawValue) \(ids.map(hex).joined(separator: " ")) \(asked) \(port)"
    }

    @Test func connectionsToAnotherNodeGoToTheAgentWithTheirDestination() throws {
        let sandbox = try Sandbox("tunnel")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let python = try interpreter(sandbox)
        try python.expect("run_agent()", ".")
        let service4 = try expected("127.96.1.1", port: 80, isIPv4: true, viaService: true)
        let service6 = try expected("fd00:96::1", port: 80, isIPv4: false, viaService: true)
        let direct4 = try expected("10.96.9.9", port: Self.remotePort, isIPv4: true, viaService: false)
        let direct6 = try expected("fd00:96::9", port: Self.remotePort, isIPv4: false, viaService: false)
        // What the application sees is what it has asked for.
        try python.expect("told('127.96.1.1', 80)", "127.96.1.1 80: \(service4)")
        try python.expect(
            "told('::ffff:127.96.1.1', 80, family=socket.AF_INET6)", "::ffff:127.96.1.1 80: \(service4)")
        try python.expect("told('fd00:96::1', 80, family=socket.AF_INET6)", "fd00:96::1 80: \(service6)")
        try python.expect("told('10.96.9.9', 28080)", "10.96.9.9 28080: \(direct4)")
        try python.expect("told('fd00:96::9', 28080, family=socket.AF_INET6)", "fd00:96::9 28080: \(direct6)")
        // Datagrams go where they went.
        try python.expect("dgram('127.96.1.1', 80)", "127.96.1.1 80")

        let counted = try plane.totals {
            UInt32($0.lane) == WEFT_LANE_TUNNEL.rawValue && $0.destination == Identifier.workload(server)
                && $0.source == Identifier.workload(client)
        }
        #expect(counted.opened == 5)
        #expect(try plane.totals { UInt32($0.lane) == WEFT_LANE_TUNNEL.rawValue }.opened == 5)
        #expect(try plane.totals { UInt32($0.lane) == WEFT_LANE_KERNEL.rawValue && $0.protocol == 6 }.opened == 0)
        #expect(try plane.withMaps { try $0.origins.count() } == 0)
    }

    @Test func withoutAnAgentNothingGoesInTheClear() throws {
        let sandbox = try Sandbox("no-tunnel")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let python = try interpreter(sandbox)
        // The destination itself listens, and is not reached.
        try python.expect("tcp(28080, b'plain', '10.96.9.9')", "None")
        try python.expect("get('127.96.1.1', 80)", "ECONNREFUSED")
        try python.expect("get('10.96.9.9', 28080)", "ECONNREFUSED")
    }

    @Test func theAgentsOwnConnectionsReachTheDestination() throws {
        let sandbox = try Sandbox("tunnel-own")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let python = try interpreter(sandbox)
        try python.expect("tcp(28080, b'plain', '10.96.9.9')", "None")
        try python.expect("enter()", "None")
        try python.expect("get('10.96.9.9', 28080)", "plain")
    }

    @Test func whatTakesNoTunnelIsConnectedToDirectly() throws {
        let sandbox = try Sandbox("direct")
        let plane = try plane(sandbox)
        let python = try interpreter(sandbox)
        try python.expect("tcp(28080, b'plain', '10.96.9.9')", "None")
        #expect(try plane.apply(snapshot(sandbox, mode: .disable)).isEmpty)
        try python.expect("get('127.96.1.1', 80)", "plain")
        #expect(try plane.apply(snapshot(sandbox, takesTunnel: false)).isEmpty)
        try python.expect("get('127.96.1.1', 80)", "plain")
        // One port that asks for it is enough.
        let strict = try snapshot(sandbox, mode: .disable, portModes: [Self.remotePort: .strict])
        #expect(try plane.apply(strict).isEmpty)
        try python.expect("get('127.96.1.1', 80)", "ECONNREFUSED")
    }

    /// Istio's `portLevelMtls` with DISABLE, beside ports that are reached through tunnels, and the other way round.
    @Test(arguments: [true, false])
    func onePortAloneHasAWayOfItsOwn(isPlain: Bool) throws {
        let sandbox = try Sandbox("port-way-\(isPlain)")
        let plane = try plane(sandbox)
        let python = try interpreter(sandbox)
        for port in [28080, 28081] { try python.expect("tcp(\(port), b'plain', '10.96.9.9')", "None") }
        let mesh = try snapshot(
            sandbox, mode: isPlain ? .strict : .disable, portModes: [Self.remotePort: isPlain ? .disable : .strict])
        #expect(try plane.apply(mesh).isEmpty)
        // Nobody listens for what goes into a tunnel.
        let (own, other) = isPlain ? ("plain", "ECONNREFUSED") : ("ECONNREFUSED", "plain")
        try python.expect("get('127.96.1.1', 80)", own)
        try python.expect("get('10.96.9.9', 28080)", own)
        try python.expect("get('10.96.9.9', 28081)", other)
        #expect(try plane.apply(snapshot(sandbox, mode: .strict)).isEmpty)
        try python.expect("get('10.96.9.9', 28080)", "ECONNREFUSED")
    }

    @Test func policyIsDecidedBeforeTheTunnelAndAgainLater() throws {
        let sandbox = try Sandbox("tunnel-policy")
        let plane = try plane(sandbox)
        let python = try interpreter(sandbox)
        try python.expect("run_agent()", ".")
        var block = AuthorizationPolicy.Source()
        block.ipBlocks = [IPBlock(address: IPAddress(v4: 10, 96, 7, 7), prefixLength: 128)]
        var operation = AuthorizationPolicy.Operation()
        operation.ports = [Self.remotePort]
        let fromAddress = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "by-address"), selector: ["app": "server"],
            rules: [.init(sources: [block], operations: [operation])])
        #expect(try plane.apply(snapshot(sandbox, policies: [fromAddress])).isEmpty)
        // Address and port are the client's and the destination's, not those of the way to the agent.
        try python.expect("hold('127.96.1.1', 80)", "True")
        #expect(try plane.sweep().doomed.isEmpty)

        let others = sandbox.policy("others", of: "server", allowing: ["cluster.local/ns/shop/sa/other"])
        #expect(try plane.apply(snapshot(sandbox, policies: [others])).isEmpty)
        try python.expect("get('127.96.1.1', 80)", "EPERM")
        let doomed = try plane.sweep().doomed
        #expect(doomed.map(\.reason) == [UInt8(WEFT_DOOM_POLICY.rawValue)])
        #expect(doomed.map(\.destination) == [Identifier.workload(server)])
        try python.expect("ended()", "ECONNABORTED")
    }
}
