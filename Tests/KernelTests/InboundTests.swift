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
        def outside(port, address='127.0.0.1'): return within('MOUNT', lambda: get(address, port))
        def inside(port, address='127.0.0.1'): return within('CGROUP/client', lambda: get(address, port))
        def itself(port, address='127.0.0.1'): return within('CGROUP/server', lambda: get(address, port))
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

    private static let listening = """
        import atexit
        listening = {}
        def listen(name, port, address='0.0.0.0', protocol=0, only6=0, accepts=1):
            s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM, protocol)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if only6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((address, port)); s.listen(); listening[name] = s
            if not accepts: return
            def loop():
                try:
                    while True:
                        c, _ = s.accept(); thread(lambda c=c: answer(c, name.encode()))
                except OSError: pass
            thread(loop)
        def stop(name): s = listening.pop(name); s.shutdown(socket.SHUT_RDWR); s.close()
        def aside(group, body):
            r, w = os.pipe(); pid = os.fork()
            if pid == 0:
                for s in listening.values(): s.close()
                open(group + '/cgroup.procs', 'w').write(str(os.getpid()))
                body(); os.write(w, b'r'); time.sleep(60); os._exit(0)
            atexit.register(os.kill, pid, 9); os.read(r, 1); os.close(r); os.close(w); return pid
        def stranger(port): return aside('MOUNT', lambda: tcp(port, b'stranger', '0.0.0.0'))
        def sleeper(group): aside('CGROUP/' + group, lambda: None)
        """

    private func listening(_ sandbox: Sandbox) -> String {
        Self.listening.replacing("CGROUP", with: sandbox.cgroup).replacing("MOUNT", with: sandbox.cgroupMount)
    }

    /// A server that listens at all addresses is reached by those of its node that it has not declared, too: what guards it
    /// is asked for these as well, from the connection's first packet on.
    @Test func whoListensAtAllAddressesIsGuardedAtEachOfThem() throws {
        let (sandbox, plane, python) = try prepared("wildcard", ports: [])
        try python.define(listening(sandbox))
        // One listens before its cgroup is enrolled, one listens only at an address that nobody has declared.
        try python.expect("listen('before', 20080)", "None")
        try python.expect("listen('specific', 20081, '127.0.0.3')", "None")
        var server = sandbox.workload("server", ports: [20090], addresses: ["127.0.0.9"])
        server.mutualTLS = .strict
        let mesh = sandbox.snapshot([], [sandbox.workload("client"), server])
        try python.expect("outside(20080)", "before")
        #expect(try plane.apply(mesh).isEmpty)
        try python.expect("listen('after', 20082, '::')", "None")
        try python.expect("listen('six', 20083, '::', 0, 1)", "None")
        try python.expect("listen('multipath', 20084, '0.0.0.0', 262)", "None")
        for (port, name, addresses) in [
            (20080, "before", ["127.0.0.1", "127.0.0.2"]), (20081, "specific", ["127.0.0.3"]),
            (20082, "after", ["127.0.0.1", "127.0.0.2", "::1"]), (20083, "six", ["::1"]),
            (20084, "multipath", ["127.0.0.1"]),
        ] {
            for address in addresses {
                try python.expect("outside(\(port), '\(address)')", "ECONNREFUSED")
                try python.expect("inside(\(port), '\(address)')", name)
                try python.expect("itself(\(port), '\(address)')", name)
            }
        }
        try python.expect("itself(20080, '0.0.0.0')", "before")

        // Others are nobody's business: at IPv4 beside a workload at IPv6, and in another network namespace.
        _ = try python.ask("stranger(20083)")
        try python.expect("outside(20083)", "stranger")
        try python.expect("outside(20083, '::1')", "ECONNREFUSED")
        let elsewhere = try Interpreter(
            sandbox, in: "server",
            Self.helpers.replacing("CGROUP", with: sandbox.cgroup).replacing("MOUNT", with: sandbox.cgroupMount)
                + "\n" + listening(sandbox))
        _ = try elsewhere.ask("stranger(20080)")
        try elsewhere.expect("outside(20080)", "stranger")

        // Sockets that share a port are each as good as the other; the last one takes the port's guard with it.
        try python.expect("[listen(f'twin{i}', 20085, accepts=0) for i in range(4)][:0]", "[]")
        for index in [0, 3, 1] {
            try python.expect("listening.pop('twin\(index)').close()", "None")
            try python.expect("outside(20085)", "ECONNREFUSED")
        }
        #expect(
            try plane.withMaps { try $0.listeners.entries() }.filter { UInt16(bigEndian: $0.0.port) == 20085 }.count
                == 1)
        for name in ["before", "specific", "after", "six", "multipath", "twin2"] {
            try python.expect("stop('\(name)')", "None")
        }
        // A thread in accept() holds its socket until it has noticed.
        var left = try plane.withMaps { try $0.listeners.keys() }
        for _ in 0..<200 where !left.isEmpty {
            usleep(20_000)
            left = try plane.withMaps { try $0.listeners.keys() }
        }
        #expect(left.isEmpty, "\(left.map { UInt16(bigEndian: $0.port) })")
        _ = try python.ask("stranger(20080)")
        try python.expect("outside(20080)", "stranger")
    }

    /// Whose a socket is follows the enrolment of its cgroup.
    @Test func listenersFollowTheEnrolmentOfTheirCgroup() throws {
        let (sandbox, plane, python) = try prepared("wildcard-enrol", ports: [])
        try python.define(listening(sandbox))
        try python.expect("listen('server', 20080)", "None")
        try FileManager.default.createDirectory(
            atPath: "\(sandbox.cgroup)/other", withIntermediateDirectories: true)
        try python.expect("sleeper('other')", "None")
        var other = sandbox.workload("other", ports: [20090], addresses: ["127.0.0.9"])
        other.mutualTLS = .strict
        // The namespace has rules because of another workload whose processes are in it.
        func snapshot(_ server: MeshWorkload?) -> MeshSnapshot {
            sandbox.snapshot([], [other] + (server.map { [$0] } ?? []))
        }
        #expect(try plane.apply(snapshot(nil)).isEmpty)
        try python.expect("outside(20080)", "server")
        var server = sandbox.workload("server", ports: [20092], addresses: ["127.0.0.7"])
        server.mutualTLS = .strict
        #expect(try plane.apply(snapshot(server)).isEmpty)
        try python.expect("outside(20080)", "ECONNREFUSED")
        server.mutualTLS = .permissive
        #expect(try plane.apply(snapshot(server)).isEmpty)
        try python.expect("outside(20080)", "server")
        #expect(try plane.apply(snapshot(nil)).isEmpty)
        try python.expect("outside(20080)", "server")
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
