import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// NetworkPolicies on the kernel: who may come, and where one may go.
@Suite(.serialized)
struct NetworkPolicyEnforcementTests {
    private static let helpers = """
        import os
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
        def asked(port, address='127.0.0.1', connected=False):
            u = datagram(); u.settimeout(1)
            if connected: u.connect((address, port)); u.send(b'?')
            else: u.sendto(b'?', (address, port))
            return u.recv(100).decode()
        def by(name, body): return within('CGROUP/' + name, body)
        def outside(body): return within('MOUNT', body)
        """

    private func prepared(_ label: String) throws -> (sandbox: Sandbox, plane: KernelPlane, python: Interpreter) {
        let sandbox = try Sandbox(label)
        for cgroup in ["client", "other", "server"] {
            try FileManager.default.createDirectory(
                atPath: "\(sandbox.cgroup)/\(cgroup)", withIntermediateDirectories: true)
        }
        let plane = try sandbox.plane()
        let python = try Interpreter(
            sandbox, in: "server",
            Self.helpers.replacing("CGROUP", with: sandbox.cgroup).replacing("MOUNT", with: sandbox.cgroupMount))
        try python.expect("tcp(20080, b'served')", "None")
        try python.expect("udp(20053, b'said')", "None")
        return (sandbox, plane, python)
    }

    private func mesh(_ sandbox: Sandbox, _ policies: [NetworkPolicy]) throws -> MeshSnapshot {
        var server = sandbox.workload("server", ports: [20080], addresses: ["127.0.0.1"])
        server.ports.append(MeshWorkloadPort(name: "dns", port: 20053, transport: .udp))
        let service = try sandbox.service("web", "127.96.1.1", to: 20080, workload: "server")
        let names = try sandbox.service("names", "127.96.1.1", 53, .udp, to: 20053, workload: "server")
        var mesh = sandbox.snapshot(
            [service, names], [sandbox.workload("client"), sandbox.workload("other"), server])
        mesh.networkPolicies = Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) })
        return mesh
    }

    private func policy(
        _ name: String, of app: String, ingress: [NetworkPolicy.Rule]? = nil, egress: [NetworkPolicy.Rule]? = nil
    ) -> NetworkPolicy {
        NetworkPolicy(
            name: ObjectName(namespace: "shop", name: name), podSelector: LabelSelector(labels: ["app": app]),
            ingress: ingress, egress: egress)
    }

    private func pods(_ app: String) -> NetworkPolicy.Peer {
        .workloads(namespaces: nil, pods: LabelSelector(labels: ["app": app]))
    }

    @Test func onlyChosenClientsComeAtChosenPorts() throws {
        let (sandbox, plane, python) = try prepared("ingress")
        let rule = NetworkPolicy.Rule(
            peers: [pods("client")],
            ports: [
                .init(transport: .tcp, port: .number(20000), endPort: 20100),
                .init(transport: .udp, port: .name("dns")),
            ])
        #expect(try plane.apply(mesh(sandbox, [policy("some", of: "server", ingress: [rule])])).isEmpty)
        try python.expect("by('client', lambda: get('127.96.1.1', 80))", "served")
        try python.expect("by('client', lambda: asked(53, '127.96.1.1'))", "said?")
        try python.expect("by('client', lambda: asked(20053, connected=True))", "said?")
        try python.expect("by('other', lambda: get('127.96.1.1', 80))", "EPERM")
        try python.expect("by('other', lambda: get('127.0.0.1', 20080))", "EPERM")
        try python.expect("by('other', lambda: asked(53, '127.96.1.1'))", "EPERM")
        // To itself everybody may.
        try python.expect("get('127.0.0.1', 20080)", "served")
        // A client that no hook sees.
        try python.expect("outside(lambda: get('127.0.0.1', 20080))", "ECONNREFUSED")

        let counted = try plane.withMaps { try $0.ruleCounters.summedCounters() }.reduce(into: [String: UInt64]()) {
            $0[plane.ruleNames[$1.key.rule] ?? "?", default: 0] += $1.sum
        }
        #expect(counted == ["NetworkPolicy shop/some": 3, "NetworkPolicy shop/some (no rule matched)": 4])

        // Another protocol at the port is another port.
        let udp = NetworkPolicy.Rule(ports: [.init(transport: .udp, port: .number(20080))])
        #expect(try plane.apply(mesh(sandbox, [policy("some", of: "server", ingress: [udp])])).isEmpty)
        try python.expect("by('client', lambda: get('127.96.1.1', 80))", "EPERM")
    }

    @Test func authorizationPoliciesHaveToAgree() throws {
        let (sandbox, plane, python) = try prepared("both")
        var mesh = try mesh(sandbox, [policy("all", of: "server", ingress: [.init()])])
        let authorization = sandbox.policy(
            "client", of: "server", allowing: ["cluster.local/ns/shop/sa/client"])
        mesh.policies = [authorization.name: authorization]
        #expect(try plane.apply(mesh).isEmpty)
        try python.expect("by('client', lambda: get('127.96.1.1', 80))", "served")
        try python.expect("by('other', lambda: get('127.96.1.1', 80))", "EPERM")
        let closed = policy("all", of: "server", ingress: [])
        mesh.networkPolicies = [closed.name: closed]
        #expect(try plane.apply(mesh).isEmpty)
        try python.expect("by('client', lambda: get('127.96.1.1', 80))", "EPERM")
    }

    @Test func clientsFromOutsideAreKnownByTheirAddress() throws {
        let (sandbox, plane, python) = try prepared("outside")
        _ = try python.ask("os.system('ip addr add 10.96.3.1/32 dev lo; ip addr add 10.96.3.2/32 dev lo')")
        try python.expect(
            """
            exec("def come(source):\\n c = socket.socket()\\n c.bind((source, 0))\\n c.settimeout(5)\\n \
            c.connect(('127.0.0.1', 20080))\\n return c.recv(10).decode()\\n\
            def ask(source):\\n u = datagram()\\n u.settimeout(1)\\n u.bind((source, 0))\\n \
            u.sendto(b'?', ('127.0.0.1', 20053))\\n return u.recv(10).decode()", globals())
            """, "None")
        // A workload of another node whose address is known, and an address that a block leaves out.
        var remote = sandbox.workload("remote", addresses: ["10.96.3.1"], enrolled: false)
        remote.isLocal = false
        let block = IPBlock(address: IPAddress(v4: 10, 96, 3, 0), prefixLength: 120)
        let except = IPBlock(address: IPAddress(v4: 10, 96, 3, 1), prefixLength: 128)
        for (peer, first, second) in [
            (pods("remote"), true, false), (.block(block, except: [except]), false, true),
            (.block(block, except: []), true, true),
        ] {
            var mesh = try mesh(sandbox, [policy("some", of: "server", ingress: [.init(peers: [peer])])])
            mesh.workloads[remote.name] = remote
            #expect(try plane.apply(mesh).isEmpty)
            try python.expect("outside(lambda: come('10.96.3.1'))", first ? "served" : "ECONNREFUSED")
            try python.expect("outside(lambda: come('10.96.3.2'))", second ? "served" : "ECONNREFUSED")
            try python.expect("outside(lambda: ask('10.96.3.1'))", first ? "said?" : "timed out")
            try python.expect("outside(lambda: ask('10.96.3.2'))", second ? "said?" : "timed out")
        }
    }

    @Test func whereOneMayGo() throws {
        let (sandbox, plane, python) = try prepared("egress")
        _ = try python.ask("os.system('ip addr add 10.96.3.1/32 dev lo; ip addr add 10.96.3.2/32 dev lo')")
        try python.expect("tcp(20090, b'elsewhere', '10.96.3.1')", "None")
        try python.expect("tcp(20090, b'elsewhere', '10.96.3.2')", "None")
        try python.expect("tcp(20091, b'another')", "None")
        let block = IPBlock(address: IPAddress(v4: 10, 96, 3, 1), prefixLength: 128)
        let rules = [
            NetworkPolicy.Rule(peers: [pods("server")], ports: [.init(transport: .tcp, port: .name("p20080"))]),
            NetworkPolicy.Rule(
                peers: [.block(block, except: [])], ports: [.init(transport: .tcp, port: .number(20090))]),
        ]
        #expect(try plane.apply(mesh(sandbox, [policy("go", of: "client", egress: rules)])).isEmpty)
        try python.expect("by('client', lambda: get('127.96.1.1', 80))", "served")
        try python.expect("by('client', lambda: asked(53, '127.96.1.1'))", "EPERM")
        try python.expect("by('client', lambda: asked(53, '127.96.1.1', connected=True))", "EPERM")
        try python.expect("by('client', lambda: get('10.96.3.1', 20090))", "elsewhere")
        try python.expect("by('client', lambda: get('10.96.3.2', 20090))", "EPERM")
        try python.expect("by('client', lambda: asked(20090, '10.96.3.1'))", "EPERM")
        // The loopback address where nobody else listens is its own.
        try python.expect("by('client', lambda: (tcp(20092, b'own'), get('127.0.0.1', 20092))[1])", "own")
        try python.expect("by('client', lambda: get('127.0.0.1', 20091))", "EPERM")
        try python.expect("by('other', lambda: get('10.96.3.2', 20090))", "elsewhere")

        let denied = try plane.totals { UInt32($0.lane) == WEFT_LANE_PASSTHROUGH.rawValue }
        #expect(denied.denied == 2)
    }

    @Test func openConnectionsEnd() throws {
        let (sandbox, plane, python) = try prepared("live")
        _ = try python.ask("os.system('ip addr add 10.96.3.1/32 dev lo')")
        try python.expect("tcp(20090, b'elsewhere', '10.96.3.1')", "None")
        #expect(try plane.apply(mesh(sandbox, [])).isEmpty)
        try python.expect(
            """
            exec("def hold(*address):\\n c = socket.create_connection(address, 5)\\n c.recv(20)\\n \
            open('\(sandbox.directory)/' + str(os.getpid()) + '.open', 'w')\\n c.settimeout(5)\\n return c.recv(10)\\n\
            results = []\\n\
            for address in (('127.96.1.1', 80), ('10.96.3.1', 20090)):\\n \
            thread(lambda a=address: results.append(by('client', lambda: hold(*a))))", globals())
            """, "None")
        func open() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: sandbox.directory).count { $0.hasSuffix(".open") }
        }
        for _ in 0..<200 where try open() < 2 { usleep(20_000) }
        #expect(try open() == 2)
        #expect(try plane.sweep().doomed.isEmpty)
        let closed = [policy("go", of: "client", egress: []), policy("come", of: "server", ingress: [])]
        #expect(try plane.apply(mesh(sandbox, closed)).isEmpty)
        let doomed = try plane.sweep().doomed
        // Both ends of the one whose server nobody knew by its address.
        #expect(
            doomed.compactMap { plane.ruleNames[$0.rule] }.sorted() == [
                "NetworkPolicy shop/come (no rule matched)", "NetworkPolicy shop/go (no rule matched)",
                "NetworkPolicy shop/go (no rule matched)",
            ])
        try python.expect("[time.sleep(0.1) for _ in range(60) if len(results) < 2][:0]", "[]")
        try python.expect("{r in ('ECONNABORTED', 'ECONNRESET') for r in results}", "{True}")
    }
}
