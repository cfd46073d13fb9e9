import BPF
import CLinux
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// What meets connections from outside of the node at a local workload, which is in a network namespace of its own. The
/// outside is a process that no hook sees: one in a cgroup beside the mesh's.
@Suite(.serialized)
struct InboundTests {
    private static let helpers = """
        import os, struct
        def within(group, body):
            r, w = os.pipe(); child = os.fork()
            if child == 0:
                try:
                    open(group + '/cgroup.procs', 'w').write(str(os.getpid()))
                    try: text = str(body())
                    except OSError as e: text = errno.errorcode.get(e.errno, str(e))
                    os.write(w, text.encode())
                finally: os._exit(0)
            os.close(w); text = os.read(r, 1000).decode(); os.close(r); os.waitpid(child, 0); return text
        def outside(port): return within('MOUNT', lambda: get('127.0.0.1', port))
        def inside(port): return within('CGROUP/client', lambda: get('127.0.0.1', port))
        def delivered(port): return within('CGROUP/agent', lambda: get('127.0.0.1', port))
        """

    private func prepared(
        _ label: String, ports: [UInt16] = [20080, 20081]
    ) throws -> (sandbox: Sandbox, plane: KernelPlane, python: Interpreter) {
        let sandbox = try Sandbox(label)
        for cgroup in ["agent", "client", "server"] {
            try FileManager.default.createDirectory(
                atPath: "\(sandbox.cgroup)/\(cgroup)", withIntermediateDirectories: true)
        }
        let loopback = IPAddress(v4: 127, 0, 0, 1)
        let plane = try KernelPlane(
            .init(
                pinDirectory: sandbox.pins, cgroup: sandbox.cgroup, cgroupMount: sandbox.cgroupMount,
                proxy: .init(
                    addresses: ProxyAddresses(
                        outbound: .init(address: loopback, port: 15001), inbound: .init(address: loopback, port: 15006),
                        tunnel: .init(address: IPAddress(v4: 0), port: 15008)),
                    cgroup: "\(sandbox.cgroup)/agent")))
        let python = try Interpreter(
            sandbox, in: "server",
            Self.helpers.replacing("CGROUP", with: sandbox.cgroup).replacing("MOUNT", with: sandbox.cgroupMount))
        for port in ports { try python.expect("tcp(\(port), b'served')", "None") }
        return (sandbox, plane, python)
    }

    private func server(
        _ sandbox: Sandbox, mode: MutualTLSMode, ports: [UInt16: MutualTLSMode] = [:]
    ) -> MeshWorkload {
        var server = sandbox.workload("server", ports: [20080, 20081], addresses: ["127.0.0.1"])
        server.mutualTLS = mode
        server.portMutualTLS = ports
        return server
    }

    private func links(_ sandbox: Sandbox) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "\(sandbox.pins)/links").count {
            $0.hasPrefix("inbound_policy")
        }
    }

    @Test func plaintextFromOutsideIsRefusedWhereMutualTLSIsDemanded() throws {
        let (sandbox, plane, python) = try prepared("strict")
        let client = sandbox.workload("client")
        let strict = sandbox.snapshot([], [client, server(sandbox, mode: .strict, ports: [20081: .permissive])])
        #expect(try plane.apply(strict).isEmpty)
        #expect(try links(sandbox) == 1)
        try python.expect("outside(20080)", "ECONNREFUSED")
        try python.expect("outside(20081)", "served")
        try python.expect("inside(20080)", "served")
        try python.expect("delivered(20080)", "served")

        let id = Identifier.rule("PeerAuthentication STRICT")
        #expect(plane.ruleNames[id] == "PeerAuthentication STRICT")
        let counted = try plane.withMaps { try $0.ruleCounters.summedCounters() }.filter { $0.key.rule == id }
        #expect(counted.map(\.sum) == [1])
        #expect(counted.map(\.key.verdict) == [UInt8(WEFT_VERDICT_DENY.rawValue)])
        let denied = try plane.withMaps { try $0.traffic.summed(into: UInt64(0)) { $0 += $1.denied } }
            .filter { $0.sum > 0 }
        #expect(denied.map(\.key.destination) == [Identifier.workload(ObjectName(namespace: "shop", name: "server"))])
        #expect(denied.map { UInt32($0.key.reporter) } == [WEFT_REPORTER_DESTINATION.rawValue])

        // One port alone.
        let one = sandbox.snapshot([], [client, server(sandbox, mode: .permissive, ports: [20081: .strict])])
        #expect(try plane.apply(one).isEmpty)
        try python.expect("outside(20080)", "served")
        try python.expect("outside(20081)", "ECONNREFUSED")

        #expect(try plane.apply(sandbox.snapshot([], [client, server(sandbox, mode: .permissive)])).isEmpty)
        #expect(try links(sandbox) == 0)
        try python.expect("outside(20081)", "served")
    }

    @Test func plaintextThatIsOpenEndsWhenMutualTLSIsDemanded() throws {
        let (sandbox, plane, python) = try prepared("strict-live")
        let client = sandbox.workload("client")
        #expect(try plane.apply(sandbox.snapshot([], [client, server(sandbox, mode: .permissive)])).isEmpty)
        // Connections of two processes that stay.
        let start = """
            [thread(lambda g=g: results.__setitem__(g, within(g, stay))) for g in ('MOUNT', 'CGROUP/client')]
            """.replacing("MOUNT", with: sandbox.cgroupMount).replacing("CGROUP", with: sandbox.cgroup)
        try python.expect("globals().__setitem__('results', {})", "None")
        try python.expect(
            """
            exec("def stay():\\n c = socket.create_connection(('127.0.0.1', 20080), 5)\\n c.recv(10)\\n \
            open('\(sandbox.directory)/' + str(os.getpid()) + '.open', 'w')\\n c.settimeout(3)\\n \
            return c.recv(10)", globals())
            """, "None")
        _ = try python.ask(start)
        for _ in 0..<200 where try open(sandbox) < 2 { usleep(20_000) }
        #expect(try open(sandbox) == 2)
        #expect(try plane.sweep().doomed.isEmpty)
        #expect(try plane.apply(sandbox.snapshot([], [client, server(sandbox, mode: .strict)])).isEmpty)
        let doomed = try plane.sweep().doomed
        #expect(doomed.map(\.rule) == [Identifier.rule("PeerAuthentication STRICT")])
        try python.expect(
            "[time.sleep(0.1) for _ in range(50) if len(results) < 2][:0]", "[]")
        // The client in the mesh has only run into its own timeout.
        try python.expect("sorted(results.values())", "['ECONNRESET', 'timed out']")
    }

    private func open(_ sandbox: Sandbox) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: sandbox.directory).count { $0.hasSuffix(".open") }
    }

    /// The agent's listeners in the workload's namespace get what is theirs, by the socket and not by its address.
    @Test func tunnelsAndRequestsGoToTheAgentsListenersInTheNamespace() throws {
        let (sandbox, plane, python) = try prepared("steer")
        var web = server(sandbox, mode: .strict)
        web.inboundHTTP = [20081: ObjectName(namespace: "shop", name: "web")]
        web.portMutualTLS = [20081: .permissive]
        var service = try sandbox.service("web", "127.96.1.1", to: 20081, workload: "server")
        service.ports[0].http = HTTPRouting(rules: [
            HTTPRule(
                origin: ObjectKey(.service, service.name), index: 0,
                action: .forward([HTTPBackend(target: .service(service.name, port: 80, subset: nil))]))
        ])
        service.ports[0].proxyReasons = ["test"]
        let mesh = sandbox.snapshot([service], [sandbox.workload("client"), web])
        #expect(try plane.apply(mesh).isEmpty)
        try python.expect("outside(20081)", "ECONNREFUSED")

        var opened: [ProxyListeners.Listening] = []
        let listeners = ProxyListeners(
            try #require(plane.options.proxy?.addresses), workers: 1, opened: { opened.append($0) }, closed: { _ in })
        defer { for descriptor in opened.flatMap(\.descriptors) { close(descriptor) } }
        listeners.refresh(cgroups: [])
        let own = listeners.cookies
        listeners.refresh(cgroups: plane.cgroups(ofWorkloadsIn: mesh))
        #expect(listeners.failures.isEmpty)
        for listening in opened { try plane.setListener(listening) }
        let cookies = Set(listeners.cookies).subtracting(own)
        for (port, purpose) in [(20081, ProxyListeners.Purpose.inbound), (15008, .tunnel)] {
            let listening = try #require(
                opened.first {
                    cookies.contains($0.netnsCookie) && $0.purpose == purpose && $0.place.address.isIPv4
                })
            let descriptor = try #require(listening.descriptors.first)
            #expect(fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK) == 0)
            let answering = Thread {
                let connection = accept(descriptor, nil, nil)
                _ = unsafe write(connection, "agent", 5)
                close(connection)
            }
            answering.start()
            try python.expect("outside(\(port))", "agent")
        }
        try python.expect("outside(20080)", "ECONNREFUSED")
    }

    /// Programs stay when the agent goes, and the next one replaces them in place.
    @Test func anotherAgentTakesThePrograms() throws {
        let (sandbox, first, python) = try prepared("inbound-again")
        let mesh = sandbox.snapshot([], [sandbox.workload("client"), server(sandbox, mode: .strict)])
        #expect(try first.apply(mesh).isEmpty)
        first.leave()
        let options = first.options
        _ = consume first
        try python.expect("outside(20080)", "ECONNREFUSED")
        let second = try KernelPlane(options)
        try python.expect("outside(20080)", "ECONNREFUSED")
        #expect(try second.apply(mesh).isEmpty)
        #expect(try links(sandbox) == 1)
        try python.expect("outside(20080)", "ECONNREFUSED")
        try python.expect("inside(20080)", "served")
    }
}
