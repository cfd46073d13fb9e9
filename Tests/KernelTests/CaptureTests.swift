import BPF
import CLinux
import Foundation
import KernelPlane
import Mesh
import Testing
import WeftABI

/// The proxy lane as far as the kernel carries it: connections that are turned to a listener of "the agent", a Python
/// script in the agent's cgroup.
@Suite(.serialized)
struct CaptureTests {
    /// What the scripts share. `ask` prints what getpeername() says and what it is answered, or the error.
    private static let prelude = """
        import os, socket, struct, selectors, threading, errno, signal, atexit
        def listen(family, place, port):
            s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((place, port)); s.listen(128); return s
        def serve(s, answer):
            def loop():
                while True:
                    c, _ = s.accept(); c.sendall(answer(c)); c.close()
            threading.Thread(target=loop, daemon=True).start()
        def within(group, body):
            r, w = os.pipe(); child = os.fork()
            if child == 0:
                open('CGROUP/' + group + '/cgroup.procs', 'w').write(str(os.getpid()))
                body(); os.write(w, b'.'); signal.pause()
            os.close(w)
            if not os.read(r, 1): print('the child has failed')
            atexit.register(lambda: os.kill(child, signal.SIGKILL))
            return child
        def origin(c):
            raw = c.getsockopt(0, 80, 88)[:80]
            if len(raw) != 80: return b'no origin'
            port, lane = struct.unpack('!HB', raw[16:19])
            service, backend, destination, source, netns, cgroup, started = struct.unpack('=7Q', raw[24:])
            mapped = raw[:12] == bytes(10) + bytes([255, 255])
            text = socket.inet_ntop(*((socket.AF_INET, raw[12:16]) if mapped else (socket.AF_INET6, raw[:16])))
            if mapped:
                plain = c.getsockopt(0, 80, 128)
                assert len(plain) == 16 and plain[:2] == struct.pack('=H', socket.AF_INET), plain
                assert plain[2:4] == raw[16:18] and plain[4:8] == raw[12:16], plain
            wide = c.getsockopt(41, 80, 28)
            assert len(wide) == 28 and wide[:2] == struct.pack('=H', socket.AF_INET6), wide
            assert wide[2:4] == raw[16:18] and wide[8:24] == raw[:16], wide
            through = 'tunnel %x %x ' % (backend, destination) if lane == 4 else ''
            return ('%s%s %d %x %x %d' % (through, text, port, service, source, started > 0)).encode()
        def answer(c):
            try: return origin(c)
            except OSError as e: return b'no origin'
            except Exception as e: return repr(e).encode()
        def agent():
            for family, place in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
                serve(listen(family, place, 15001), answer)
        def backend(): serve(listen(socket.AF_INET, '127.0.0.1', 18081), lambda c: b'backend')
        def ask(family, place, port=80):
            s = socket.socket(family); s.settimeout(5)
            try:
                s.connect((place, port))
                print(*s.getpeername()[:2], s.recv(1000).decode(), sep=' ', flush=True)
            except OSError as e: print(errno.errorcode[e.errno], flush=True)
            finally: s.close()

        """

    private func plane(_ sandbox: Sandbox) throws -> KernelPlane {
        let agent = "\(sandbox.cgroup)/agent"
        try FileManager.default.createDirectory(atPath: agent, withIntermediateDirectories: true)
        try FileManager.default.createDirectory(
            atPath: "\(sandbox.cgroup)/client", withIntermediateDirectories: true)
        let loopback = IPAddress(v4: 127, 0, 0, 1)
        return try KernelPlane(
            .init(
                pinDirectory: sandbox.pins, cgroup: sandbox.cgroup, cgroupMount: sandbox.cgroupMount,
                proxy: .init(
                    addresses: ProxyAddresses(
                        outbound: .init(address: loopback, port: 15001), inbound: .init(address: loopback, port: 15006),
                        tunnel: .init(address: loopback, port: 15008)),
                    cgroup: agent)))
    }

    private func snapshot(
        _ sandbox: Sandbox, failureMode: FailureMode = .closed, policies: [AuthorizationPolicy] = []
    ) throws -> MeshSnapshot {
        let client = sandbox.workload("client")
        let server = sandbox.workload("server", ports: [18081], addresses: ["127.0.0.1"], enrolled: false)
        var port = MeshServicePort(
            name: "http", port: 80, transport: .tcp,
            endpoints: [MeshEndpoint(address: IPAddress(v4: 127, 0, 0, 1), port: 18081, workload: server.name)])
        let name = ObjectName(namespace: "shop", name: "web")
        port.http = HTTPRouting(rules: [
            HTTPRule(
                origin: ObjectKey(.service, name), index: 0,
                action: .forward([HTTPBackend(target: .service(name, port: 80, subset: nil))]))
        ])
        port.proxyReasons = ["HTTPRoute shop/web"]
        var service = MeshService(
            name: name, addresses: [IPAddress(v4: 127, 96, 1, 1), try #require(IPAddress("fd00:96::1"))],
            ports: [port], balancing: Balancing())
        service.failureMode = failureMode
        return MeshSnapshot(
            generation: 1, services: [name: service], workloads: [client.name: client, server.name: server],
            policies: Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) }))
    }

    /// Runs a script after `prelude`, in a network namespace of its own and the client's cgroup.
    private func run(_ sandbox: Sandbox, _ script: String, in workload: String = "client") throws -> [String] {
        try sandbox.python(Self.prelude.replacing("CGROUP", with: sandbox.cgroup) + script, in: workload)
            .split(separator: "\n").map(String.init)
    }

    /// The next line of a script's output.
    private func line(_ output: Pipe) -> String {
        var bytes: [UInt8] = []
        while let byte = try? output.fileHandleForReading.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") {
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private let web = ObjectName(namespace: "shop", name: "web")
    private func service(isIPv4: Bool) -> String {
        String(Identifier.service(web, port: 80, transport: .tcp, isIPv4: isIPv4), radix: 16)
    }
    private let clientID = String(Identifier.workload(ObjectName(namespace: "shop", name: "client")), radix: 16)

    @Test func aCapturedConnectionKeepsWhatTheApplicationAskedFor() throws {
        let sandbox = try Sandbox("capture")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let output = try run(
            sandbox,
            """
            within('agent', agent)
            ask(socket.AF_INET, '127.96.1.1')
            ask(socket.AF_INET6, '::ffff:127.96.1.1')
            ask(socket.AF_INET6, 'fd00:96::1')
            """)
        let ipv4 = "\(service(isIPv4: true)) \(clientID) 1"
        #expect(
            output == [
                "127.96.1.1 80 127.96.1.1 80 \(ipv4)",
                "::ffff:127.96.1.1 80 127.96.1.1 80 \(ipv4)",
                "fd00:96::1 80 fd00:96::1 80 \(service(isIPv4: false)) \(clientID) 1",
            ])

        let traffic = try plane.withMaps { maps in
            try maps.traffic.summed(into: (opened: UInt64(0), closed: UInt64(0))) { sum, value in
                sum.opened += value.opened
                sum.closed += value.closed
            }
        }.filter { $0.sum.opened > 0 }
        let client = Identifier.workload(ObjectName(namespace: "shop", name: "client"))
        #expect(
            traffic.allSatisfy {
                UInt32($0.key.lane) == WEFT_LANE_PROXY.rawValue && $0.key.source == client && $0.key.destination == 0
                    && UInt32($0.key.reporter) == WEFT_REPORTER_SOURCE.rawValue
            })
        #expect(traffic.map(\.sum.opened).sorted() == [1, 2])
        #expect(traffic.map(\.sum.closed).sorted() == [1, 2])
        #expect(try plane.withMaps { try $0.origins.count() } == 0)
        #expect(try plane.withMaps { try $0.tuples.count() } == 0)
    }

    /// A client that has sent everything and is gone before the agent accepts its connection.
    @Test func theOriginOutlivesTheClient() throws {
        let sandbox = try Sandbox("gone")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let output = try run(
            sandbox,
            """
            r, w = os.pipe(); go, gone = os.pipe()
            def late():
                s = listen(socket.AF_INET, '127.0.0.1', 15001)
                def accept():
                    os.read(go, 1); c, _ = s.accept(); os.write(w, c.recv(100) + b' ' + answer(c) + bytes([10]))
                threading.Thread(target=accept, daemon=True).start()
            within('agent', late)
            s = socket.create_connection(('127.96.1.1', 80)); s.sendall(b'hello'); s.close()
            os.write(gone, b'.'); print(os.read(r, 1000).decode())
            """)
        #expect(output.first == "hello 127.96.1.1 80 \(service(isIPv4: true)) \(clientID) 1")
        #expect(try plane.withMaps { try $0.origins.count() } == 0)
    }

    @Test func theAgentsOwnConnectionsAreLeftAlone() throws {
        let sandbox = try Sandbox("exempt")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let output = try run(
            sandbox,
            """
            serve(listen(socket.AF_INET, '127.96.1.1', 80), lambda c: b'the address itself')
            within('agent', lambda: ask(socket.AF_INET, '127.96.1.1'))
            ask(socket.AF_INET, '127.96.1.1')
            """)
        #expect(output == ["127.96.1.1 80 the address itself", "ECONNREFUSED"])
        let client = Identifier.workload(ObjectName(namespace: "shop", name: "client"))
        // Beside the overflow series, which stands for everybody.
        let sources = try plane.withMaps { try $0.traffic.entries() }.filter { $0.key.lane != .max }.map(\.key.source)
        #expect(sources == [client])
        #expect(try plane.withMaps { try $0.tuples.count() } == 0)
    }

    @Test(arguments: [FailureMode.closed, .open])
    func withoutAnAgent(mode: FailureMode) throws {
        let sandbox = try Sandbox("failure-\(mode.rawValue)")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox, failureMode: mode)).isEmpty)
        let output = try run(
            sandbox,
            """
            backend()
            ask(socket.AF_INET, '127.96.1.1'); ask(socket.AF_INET6, 'fd00:96::1')
            within('agent', agent)
            ask(socket.AF_INET, '127.96.1.1'); ask(socket.AF_INET6, 'fd00:96::1')
            """)
        #expect(
            output.prefix(2)
                == (mode == .closed
                    ? ["ECONNREFUSED", "ECONNREFUSED"] : ["127.96.1.1 80 backend", "fd00:96::1 80 backend"]))
        #expect(
            output.dropFirst(2).map { $0.split(separator: " ").prefix(4).joined(separator: " ") } == [
                "127.96.1.1 80 127.96.1.1 80", "fd00:96::1 80 fd00:96::1 80",
            ])
        let lanes = try plane.withMaps { maps in
            try maps.traffic.summed(into: UInt64(0)) { $0 += $1.opened }
        }.filter { $0.sum > 0 }.map { UInt32($0.key.lane) }
        #expect(lanes.contains(WEFT_LANE_KERNEL.rawValue) == (mode == .open))
        #expect(lanes.contains(WEFT_LANE_PROXY.rawValue))
    }

    private func allowingOthers() -> AuthorizationPolicy {
        var source = AuthorizationPolicy.Source()
        source.principals = [.exact("cluster.local/ns/shop/sa/other")]
        return AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "allow-other"), selector: ["app": "server"],
            rules: [.init(sources: [source])])
    }

    @Test func policyAboutTheSourceIsEnforcedBeforeCapture() throws {
        let sandbox = try Sandbox("guard")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox, policies: [allowingOthers()])).isEmpty)
        let output = try run(
            sandbox, "within('agent', agent)\nask(socket.AF_INET, '127.96.1.1')")
        #expect(output == ["EPERM"])
        // Decided once, counted once.
        #expect(try plane.withMaps { try $0.ruleCounters.summedCounters() }.map(\.sum) == [1])
        let denied = try plane.withMaps { maps in
            try maps.traffic.summed(into: UInt64(0)) { $0 += $1.denied }
        }.filter { $0.sum > 0 }
        #expect(denied.map { UInt32($0.key.lane) } == [WEFT_LANE_PROXY.rawValue])
    }

    /// The agent counts what AuthorizationPolicies allow, request by request; NetworkPolicies are counted here only.
    @Test func whatIsAllowedIsLeftToTheAgentToCount() throws {
        let sandbox = try Sandbox("guard-count")
        let plane = try plane(sandbox)
        var mesh = try snapshot(
            sandbox, policies: [sandbox.policy("clients", of: "server", allowing: ["cluster.local/ns/shop/sa/client"])])
        let network = NetworkPolicy(
            name: ObjectName(namespace: "shop", name: "open"), podSelector: LabelSelector(labels: ["app": "server"]),
            ingress: [.init()])
        mesh.networkPolicies[network.name] = network
        #expect(try plane.apply(mesh).isEmpty)
        let output = try run(sandbox, "within('agent', agent)\nask(socket.AF_INET, '127.96.1.1')")
        #expect(output.first?.hasPrefix("127.96.1.1 80") == true)
        let counted = try plane.withMaps { try $0.ruleCounters.summedCounters() }.filter { $0.sum > 0 }
        #expect(counted.map { plane.ruleNames[$0.key.rule] } == ["NetworkPolicy shop/open"])
        #expect(counted.map(\.sum) == [1])
    }

    @Test func aPolicyThatComesEndsCapturedConnections() throws {
        let sandbox = try Sandbox("doom")
        let plane = try plane(sandbox)
        #expect(try plane.apply(snapshot(sandbox)).isEmpty)
        let (process, output) = try sandbox.start(
            Self.prelude.replacing("CGROUP", with: sandbox.cgroup) + """
                def silent():
                    global s; s = listen(socket.AF_INET, '127.0.0.1', 15001)
                within('agent', silent)
                c = socket.create_connection(('127.96.1.1', 80)); print('open', flush=True)
                try: print(c.recv(1))
                except OSError as e: print(errno.errorcode[e.errno])
                """)
        defer { process.terminate() }
        #expect(line(output) == "open")
        #expect(try plane.sweep().doomed.isEmpty)
        #expect(try plane.apply(snapshot(sandbox, policies: [allowingOthers()])).isEmpty)
        #expect(try plane.sweep().ended == 1)
        #expect(line(output) == "ECONNABORTED")
    }

    @Test func servicesThatNeedItNoLongerLeaveTheLane() throws {
        let sandbox = try Sandbox("leave")
        let plane = try plane(sandbox)
        var mesh = try snapshot(sandbox)
        #expect(try plane.apply(mesh).isEmpty)
        let id = Identifier.service(web, port: 80, transport: .tcp, isIPv4: true)
        let reason = try plane.withMaps { try $0.names.get(Identifier.reason(service: id)) }
        #expect(reason?.string == "HTTPRoute shop/web")
        mesh.services[web]?.ports[0].http = nil
        mesh.services[web]?.ports[0].proxyReasons = []
        #expect(try plane.apply(mesh).isEmpty)
        #expect(try run(sandbox, "backend()\nask(socket.AF_INET, '127.96.1.1')") == ["127.96.1.1 80 backend"])
        // What was captured before stays guarded.
        #expect(try plane.withMaps { try $0.captures.count() } > 0)
    }

    /// A namespace gets listeners when a workload's process is in it and loses them when none is, and nobody connects to
    /// them who was not captured.
    @Test func listenersFollowWorkloadsIntoTheirNamespaces() throws {
        let sandbox = try Sandbox("netns")
        let plane = try plane(sandbox)
        let mesh = try snapshot(sandbox)
        #expect(try plane.apply(mesh).isEmpty)
        let listening = Recorder()
        let addresses = try #require(plane.options.proxy?.addresses)
        let listeners = ProxyListeners(
            addresses, workers: 2, opened: { listening.opened.append($0) },
            closed: { cookie in listening.close(cookie) })
        defer { listeners.close() }
        listeners.refresh(cgroups: plane.cgroups(ofWorkloadsIn: mesh))
        // Of each family for what is captured and for what comes from outside, and one for tunnels; in other namespaces
        // those are taken at all addresses.
        let purposes: [ProxyListeners.Purpose] = [.captured, .captured, .inbound, .inbound, .tunnel]
        #expect(listening.opened.map(\.purpose) == purposes)
        let own = try #require(listening.opened.first?.netnsCookie)

        let go = "\(sandbox.directory)/go"
        let (process, output) = try sandbox.start(
            Self.prelude + """
                import time
                def knock(family, place, port=15001):
                    s = socket.socket(family)
                    try: s.connect((place, port)); print('connected', flush=True)
                    except OSError as e: print(errno.errorcode[e.errno], flush=True)
                knock(socket.AF_INET, '127.96.1.1', 80)
                while not os.path.exists('\(go)'): time.sleep(0.02)
                knock(socket.AF_INET, '127.96.1.1', 80); knock(socket.AF_INET6, 'fd00:96::1', 80)
                knock(socket.AF_INET, '127.0.0.1'); knock(socket.AF_INET6, '::1')
                knock(socket.AF_INET6, '::ffff:127.0.0.1'); knock(socket.AF_INET, '0.0.0.0')
                """)
        #expect(line(output) == "ECONNREFUSED")
        #expect(listeners.refresh(cgroups: plane.cgroups(ofWorkloadsIn: mesh)))
        #expect(Array(listening.opened.map(\.purpose).dropFirst(5)) == purposes + [.tunnel])
        #expect(listening.opened.dropFirst(9).allSatisfy { $0.place.address.isUnspecified })
        #expect(listening.opened.allSatisfy { $0.descriptors.count == 2 })
        try plane.setProxyNamespaces(listeners.cookies)
        #expect(FileManager.default.createFile(atPath: go, contents: nil))
        let rest = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(rest.split(separator: "\n") == ["connected", "connected", "EPERM", "EPERM", "EPERM", "EPERM"])
        process.waitUntilExit()

        #expect(listeners.refresh(cgroups: plane.cgroups(ofWorkloadsIn: mesh)))
        #expect(listening.opened.map(\.netnsCookie) == purposes.map { _ in own })
        #expect(!listeners.refresh(cgroups: plane.cgroups(ofWorkloadsIn: mesh)))
    }

    private final class Recorder {
        var opened: [ProxyListeners.Listening] = []

        func close(_ cookie: UInt64) {
            for listening in opened where listening.netnsCookie == cookie {
                for descriptor in listening.descriptors { Glibc.close(descriptor) }
            }
            opened.removeAll { $0.netnsCookie == cookie }
        }
    }

    /// The test's own process shares its cgroup, so it gets one to itself, and gives it back.
    @Test func theAgentGetsACgroupOfItsOwn() throws {
        let mount = try #require(CgroupRoot.find())
        func present() throws -> String { try String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8) }
        let before = try present()
        let sandbox = try Sandbox("cgroup")
        let cgroup = try AgentCgroup.enter(mount: mount, attachRoot: sandbox.cgroup)
        #expect(try present().contains("0::\(cgroup.path.dropFirst(mount.count))\n"))
        #expect(
            try String(contentsOfFile: "\(cgroup.path)/cgroup.procs", encoding: .utf8) == "\(getpid())\n")
        // It is the process's only one now, so it is taken as it is.
        let again = try AgentCgroup.enter(mount: mount, attachRoot: sandbox.cgroup)
        #expect(again.path == cgroup.path)
        again.leave()
        #expect(FileManager.default.fileExists(atPath: cgroup.path))
        cgroup.leave()
        #expect(try present() == before)
        #expect(!FileManager.default.fileExists(atPath: cgroup.path))
    }
}
