import BPF
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// Questions for names are turned to the agent, and look to those who ask as if they were not.
@Suite(.serialized)
struct ResolverTests {
    private static let helpers = """
        import atexit, os, signal
        os.system('ip addr add 10.96.5.5/32 dev lo; ip -6 addr add fd00:96::5/128 dev lo nodad')
        def answerer(family, address, port, name):
            u = socket.socket(family, socket.SOCK_DGRAM); u.bind((address, port))
            def loop():
                while True:
                    d, a = u.recvfrom(2000); u.sendto(name, a)
            thread(loop); tcp(port, name, address)
        answerer(socket.AF_INET, '10.96.5.5', 53, b'resolver')
        answerer(socket.AF_INET6, 'fd00:96::5', 53, b'resolver')
        def run_agent():
            r, w = os.pipe(); child = os.fork()
            if child == 0:
                open('CGROUP/agent/cgroup.procs', 'w').write(str(os.getpid()))
                answerer(socket.AF_INET, '127.0.0.1', 15053, b'agent'); answerer(socket.AF_INET6, '::1', 15053, b'agent')
                os.write(w, b'.'); signal.pause()
            os.read(r, 1); os.close(w); atexit.register(lambda: os.kill(child, signal.SIGKILL)); return child
        def end(child): os.kill(child, signal.SIGKILL); os.waitpid(child, 0); atexit._clear()
        def sent(address='10.96.5.5', family=socket.AF_INET):
            u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(3); u.sendto(b'?', (address, 53))
            d, a = u.recvfrom(100); return '%s from %s %d' % (d.decode(), a[0], a[1])
        def connected(address='10.96.5.5', family=socket.AF_INET):
            u = socket.socket(family, socket.SOCK_DGRAM); u.settimeout(3); u.connect((address, 53)); u.send(b'?')
            return '%s from %s %d' % (u.recv(100).decode(), u.getpeername()[0], u.getpeername()[1])
        def streamed(address='10.96.5.5', family=socket.AF_INET):
            c = socket.create_connection((address, 53), 5)
            return '%s from %s %d' % (c.recv(100).decode(), c.getpeername()[0], c.getpeername()[1])
        def by(name, body):
            r, w = os.pipe(); child = os.fork()
            if child == 0:
                open('CGROUP/' + name + '/cgroup.procs', 'w').write(str(os.getpid()))
                try: text = str(body())
                except OSError as e: text = errno.errorcode.get(e.errno, str(e))
                os.write(w, text.encode()); os._exit(0)
            os.close(w); text = os.read(r, 1000).decode(); os.close(r); os.waitpid(child, 0); return text
        """

    @Test func enrolledProcessesAskTheAgentWhileItListens() throws {
        let sandbox = try Sandbox("names")
        for cgroup in ["agent", "client", "stranger"] {
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
        let own = try sandbox.service("own", "127.96.5.5", 53, .udp, to: 20053)
        #expect(try plane.apply(sandbox.snapshot([own], [sandbox.workload("client")])).isEmpty)
        let python = try Interpreter(sandbox, Self.helpers.replacing("CGROUP", with: sandbox.cgroup))
        try python.expect("udp(20053, b'mesh')", "None")
        let (v4, v6) = ("10.96.5.5 53", "fd00:96::5 53")
        func all(_ name: String) throws {
            for way in ["sent", "connected", "streamed"] {
                try python.expect("\(way)()", "\(name) from \(v4)")
                try python.expect("\(way)('fd00:96::5', socket.AF_INET6)", "\(name) from \(v6)")
            }
        }
        try all("resolver")
        try plane.setResolver(.init(address: loopback, port: 15053))
        // Nobody listens.
        try all("resolver")
        try python.expect("globals().__setitem__('child', run_agent())", "None")
        try all("agent")
        try python.expect("connected('::ffff:10.96.5.5', socket.AF_INET6)", "agent from ::ffff:10.96.5.5 53")
        try python.expect("by('agent', sent)", "resolver from \(v4)")
        try python.expect("by('stranger', sent)", "resolver from \(v4)")
        // A resolver that is a service of the mesh.
        try python.expect("sent('127.96.5.5')", "mesh? from 127.96.5.5 53")

        let forbidden = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "no-names"), podSelector: LabelSelector(),
            egress: [.init(ports: [.init(transport: .tcp, port: .number(53))])])
        var mesh = sandbox.snapshot([own], [sandbox.workload("client")])
        mesh.networkPolicies = [forbidden.name: forbidden]
        #expect(try plane.apply(mesh).isEmpty)
        try python.expect("sent()", "EPERM")
        try python.expect("streamed()", "agent from \(v4)")
        #expect(try plane.apply(sandbox.snapshot([own], [sandbox.workload("client")])).isEmpty)

        try python.expect("end(child)", "None")
        try all("resolver")
        try python.expect("globals().__setitem__('child', run_agent())", "None")
        try plane.setResolver(nil)
        try all("resolver")
    }
}
