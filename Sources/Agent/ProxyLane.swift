import BPF
import CLinux
import Glibc
import KernelPlane
import Logging
import Mesh
import Proxy
import Synchronization
import Telemetry

/// The proxy's place in the agent: its workers, its listeners in every network namespace that has a workload, and its
/// configuration. Belongs to the reactor's thread; only `origin(of:)` is called by the workers.
final class ProxyLane {
    /// Names the agent's cgroup, by which the kernel knows its connections.
    let cgroup: AgentCgroup
    let addresses: ProxyAddresses
    let engine: ProxyEngine
    /// In force; nil before the first configuration.
    private(set) var table: RouteTable?
    /// What `table` was made of.
    private var published: MeshSnapshot?
    /// What the tunnels' table was made of.
    var publishedTunnels: MeshSnapshot?
    /// What it has become.
    var tunnelTable: TunnelTable?
    /// Ports of this agent, to which no tunnel may lead.
    let ownPorts: Set<UInt16>
    private let trustedProxies: Int
    /// Whether the kernel's programs may decide about requests.
    private let takesShortcuts: Bool
    private let inbound: InboundServices
    private let launcher: StandbyLauncher
    /// To the process that holds the connections of an earlier agent; nil: there is none.
    private let standby: StandbyLine?
    private let leavesShortcuts: Bool
    private var drained: Set<UInt64> = []
    private var listeners: ProxyListeners?
    private var listenerIDs: [UInt64: [ListenerID]] = [:]
    /// What arrives before the first configuration waits in the sockets' queues.
    private var waiting: [ProxyListeners.Listening] = []
    private var unknownToKernel: [ProxyListeners.Listening] = []
    /// Ports that were in the proxy lane once: connections that were captured then go on, and their requests need a rule.
    private var everProxied: Set<RouteIdentifiers.ServicePort> = []
    private let logger = Logger(label: "weftd.proxy")
    private var reports = LogLimiter()

    /// Makes the workers and moves the process into a cgroup of its own. Nothing listens yet.
    init(_ options: AgentOptions, mount: String, features: KernelFeatures) throws(AgentError) {
        let outbound = try Self.place(options.outboundListen, "--outbound-listen")
        let inboundPlace = try Self.place(options.inboundListen, "--inbound-listen")
        let tunnel = try Self.place(options.tunnelListen, "--tunnel-listen")
        do throws(ProxyAddresses.Invalid) {
            addresses = try ProxyAddresses(outbound: outbound, inbound: inboundPlace, tunnel: tunnel)
        } catch {
            throw AgentError("--outbound-listen: \(error)")
        }
        ownPorts = TunnelTable.standardPorts.union([outbound.port, inboundPlace.port, tunnel.port])
        trustedProxies = options.trustedProxies
        takesShortcuts = options.takesShortcuts && options.acceleration.mode != .off
        var engineOptions = ProxyOptions()
        engineOptions.workers = options.workers > 0 ? options.workers : max(1, Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))))
        engineOptions.readsTunnels = options.readsHTTP
        engineOptions.kernelTLS = Self.kernelTLS(options.kernelTLS, features)
        engineOptions.tracing = options.otlp == nil ? nil : options.tracing
        // A failure shows when something is written there.
        _ = unsafe mkdir(options.stateDirectory, 0o700)
        engineOptions.quotaPath = "\(options.stateDirectory)/quotas"
        let inbound = InboundServices()
        self.inbound = inbound
        launcher = StandbyLauncher(runDirectory: options.runDirectory, pinDirectory: options.pinDirectory)
        leavesShortcuts = !options.detachOnExit
        standby = StandbyLine(path: launcher.path)
        do throws(ProxyError) {
            engine = try ProxyEngine(options: engineOptions) { socket in
                if let origin = OriginalDestination(of: socket) { return ConnectionOrigin(origin) }
                return inbound.origin(of: socket)
            }
        } catch {
            throw AgentError("\(error)")
        }
        do throws(BPFError) {
            cgroup = try AgentCgroup.enter(
                mount: mount, attachRoot: options.cgroup ?? mount, standby: standby?.process ?? 0)
        } catch {
            throw AgentError("\(error)")
        }
    }

    /// Connections whose keys cannot be changed end after a while, which nobody should meet who has not asked for it.
    private static func kernelTLS(_ use: AgentOptions.KernelTLSUse, _ features: KernelFeatures) -> KernelTLS {
        if use == .off { return .none }
        if features.has("kernel_tls_key_update") { return .updates }
        return use == .on && features.has("kernel_tls") ? .records : .none
    }

    private static func place(_ text: String, _ flag: String) throws(AgentError) -> ProxyAddresses.Place {
        guard case .ip(let host, let port)? = try? HTTPListenAddress(text), let address = IPAddress(host), port != 0
        else { throw AgentError("\(flag): \(text) is not ADDRESS:PORT or [IPV6]:PORT") }
        return ProxyAddresses.Place(address: address, port: port)
    }

    // MARK: Start and end

    /// Starts the workers and listens in the agent's own namespace, and for clients outside of the mesh.
    func start(_ plane: KernelPlane) throws(AgentError) {
        do throws(BPFError) {
            inbound.use(try ListenerDirectory(plane.pins))
        } catch {
            throw AgentError("\(error)")
        }
        do throws(ProxyError) {
            // Who is not to decide about requests any more does not know how to take them back either.
            if !takesShortcuts { standby?.dismiss() }
            let inherited = try engine.start(
                shortcuts: takesShortcuts ? shortcutMemory(plane) : nil, inheriting: takesShortcuts ? standby : nil)
            if inherited > 0 {
                logger.info("taking over connections of an earlier agent", metadata: ["connections": "\(inherited)"])
            }
        } catch {
            throw AgentError("\(error)")
        }
        let listeners = ProxyListeners(
            addresses, workers: engine.options.workers, opened: { [unowned self] in opened($0) },
            closed: { [unowned self] in closed($0) })
        self.listeners = listeners
        listeners.refresh(cgroups: [])
        if let failure = listeners.failures.values.first { throw AgentError(failure) }
        handOver(plane)
    }

    /// nil: the connections of no workload may be redirected, or the kernel refuses (then with a line in the log).
    private func shortcutMemory(_ plane: KernelPlane) -> ShortcutMemory? {
        do throws(BPFError) {
            let mapped = try unsafe ShortcutMaps(plane.pins)
            return unsafe ShortcutMemory(
                shortcuts: mapped.shortcuts, legs: mapped.legs, tables: mapped.tables, node: mapped.node)
        } catch {
            logger.warning("requests cannot be decided in the kernel: \(error)")
            return nil
        }
    }

    /// Gives the kernel the listeners for connections from outside of the node that have come since the last time.
    private func handOver(_ plane: KernelPlane) {
        for listening in unknownToKernel {
            do throws(BPFError) {
                try plane.setListener(listening)
            } catch {
                logger.error("connections from outside of the node cannot be taken: \(error)")
            }
        }
        unknownToKernel = []
    }

    /// Takes no further connections, and ends those that are open after their present request.
    func drain() {
        listeners?.close()
        engine.drain(leavesShortcuts: leavesShortcuts)
    }

    /// Clients' connections that are open.
    var openConnections: UInt64 { engine.statistics.reduce(0) { $0 + $1.value(.downstreamActive) } }

    func stop() {
        engine.stop()
        for descriptor in waiting.map(\.descriptors).joined() {
            close(descriptor)
        }
        waiting = []
        // Another agent's, if this one has not come to start.
        if !leavesShortcuts, listeners != nil { StandbyLine(path: launcher.path)?.dismiss() }
        cgroup.leave()
    }

    // MARK: Configuration

    /// Puts the rules of a snapshot in force, before the kernel turns connections to them.
    func publish(_ snapshot: MeshSnapshot) {
        publishTunnels(snapshot)
        let snapshot = concerning(completed(snapshot))
        // Most changes of a large mesh are no business of the proxy's.
        guard table == nil || snapshot != published else { return }
        published = snapshot
        let identifiers = RouteIdentifiers(snapshot)
        let table = RouteTable(snapshot, identifiers: identifiers)
        engine.publish(table, AuthorizationTable(snapshot, identifiers: identifiers, trustedHops: trustedProxies))
        inbound.replace(snapshot)
        if self.table == nil {
            for listening in waiting { serve(listening) }
            waiting = []
            engine.adoptInherited()
        }
        self.table = table
        for id in drained { mark(id, isDraining: true) }
    }

    /// Takes over which backends are drained, by the kernel's identifiers: requests go elsewhere too.
    func setDrains(_ backends: Set<UInt64>) {
        for id in drained.subtracting(backends) { mark(id, isDraining: false) }
        for id in backends.subtracting(drained) { mark(id, isDraining: true) }
        drained = backends
    }

    private func mark(_ backend: UInt64, isDraining: Bool) {
        for cluster in engine.clusters?.clusters ?? [] {
            let key = cluster.config.key
            let services = [true, false].map {
                Identifier.service(key.service, port: key.port, transport: .tcp, isIPv4: $0)
            }
            for endpoint in cluster.config.endpoints {
                let ids = services.map {
                    Identifier.backend(service: $0, address: endpoint.address, port: endpoint.port)
                }
                guard ids.contains(backend) else { continue }
                cluster.setDraining(isDraining, address: endpoint.address, port: endpoint.port)
            }
        }
    }

    /// The part of a snapshot that requests can meet: services with rules, and where those lead. The generation is left
    /// out, so that parts can be compared.
    private func concerning(_ snapshot: MeshSnapshot) -> MeshSnapshot {
        var part = snapshot
        part.generation = 0
        part.services = [:]
        var names = snapshot.services.filter { $0.value.ports.contains { $0.http != nil } }.map(\.key)
        // Asked by the proxy itself.
        names += snapshot.authorizers.values.map(\.service)
        while let name = names.popLast() {
            guard part.services[name] == nil, let service = snapshot.services[name] else { continue }
            part.services[name] = service
            var targets = service.subsets.map(\.traffic.fallback) + [service.traffic.fallback]
            for subset in service.subsets { targets += subset.portTraffic.values.map(\.fallback) }
            for port in service.ports {
                targets.append(port.traffic?.fallback)
                targets += service.targets(of: port)
            }
            for case .service(let target, _, _)? in targets { names.append(target) }
        }
        if part.services.isEmpty, part.policies.isEmpty { part.workloads = [:] }
        return part
    }

    /// With a rule that sends everything to the service itself for each port that has left the proxy lane.
    private func completed(_ snapshot: MeshSnapshot) -> MeshSnapshot {
        var snapshot = snapshot
        for (name, service) in snapshot.services {
            for (index, port) in service.ports.enumerated() where port.transport == .tcp {
                let key = RouteIdentifiers.ServicePort(service: name, port: port.port)
                if port.http != nil {
                    everProxied.insert(key)
                } else if everProxied.contains(key) {
                    let itself = HTTPBackend(target: .service(name, port: port.port, subset: nil))
                    snapshot.services[name]?.ports[index].http = HTTPRouting(rules: [
                        HTTPRule(origin: ObjectKey(.service, name), index: 0, action: .forward([itself]))
                    ])
                }
            }
        }
        everProxied = everProxied.filter { snapshot.services[$0.service] != nil }
        return snapshot
    }

    // MARK: Namespaces

    /// Listens where processes of the local workloads are now.
    func refresh(_ plane: KernelPlane, _ snapshot: MeshSnapshot) {
        launcher.tend(engine)
        guard let listeners else { return }
        let changed = listeners.refresh(cgroups: plane.cgroups(ofWorkloadsIn: snapshot))
        for failure in listeners.failures.values where reports.admit("listen") != nil {
            logger.error("connections of workloads there cannot be captured: \(failure)")
        }
        if let problem = engine.quotaProblem, reports.admit("quotas") != nil {
            logger.error("quotas will not survive a restart: \(problem)")
        }
        guard changed else { return }
        handOver(plane)
        do throws(BPFError) {
            try plane.setProxyNamespaces(listeners.cookies)
        } catch {
            logger.error("the proxy's own listeners could not be guarded: \(error)")
        }
    }

    private func opened(_ listening: ProxyListeners.Listening) {
        unknownToKernel.append(listening)
        if table == nil { waiting.append(listening) } else { serve(listening) }
    }

    private func serve(_ listening: ProxyListeners.Listening) {
        let kind: ListenerKind =
            switch listening.purpose {
            case .captured, .inbound: .captured
            case .tunnel: .tunnel
            }
        listenerIDs[listening.netnsCookie, default: []].append(engine.addListener(listening.descriptors, kind))
    }

    private func closed(_ netnsCookie: UInt64) {
        for id in listenerIDs.removeValue(forKey: netnsCookie) ?? [] { engine.removeListener(id) }
        for listening in waiting where listening.netnsCookie == netnsCookie {
            for descriptor in listening.descriptors { close(descriptor) }
        }
        waiting.removeAll { $0.netnsCookie == netnsCookie }
        unknownToKernel.removeAll { $0.netnsCookie == netnsCookie }
    }
}

/// Which service's rules a connection meets that was steered to the agent: by the address that its client connected to, or
/// by who listens there if that address is nobody's.
private final class InboundServices: Sendable {
    private struct WorkloadPort: Hashable {
        var workload: UInt64
        var port: UInt16
    }

    private struct Services {
        var byPlace: [ProxyAddresses.Place: UInt64] = [:]
        var byWorkload: [WorkloadPort: UInt64] = [:]
    }

    private let services = Mutex<Services>(Services())
    private let listeners = Mutex<ListenerDirectory?>(nil)

    func use(_ directory: ListenerDirectory) { listeners.withLock { $0 = directory } }

    func replace(_ snapshot: MeshSnapshot) {
        var found = Services()
        for workload in snapshot.workloads.values where workload.isLocal {
            for (port, service) in workload.inboundHTTP {
                // A service that stands for a workload has its ports; another one may have others.
                let ports = snapshot.services[service]?.ports.filter { $0.http != nil && $0.transport == .tcp } ?? []
                guard let frontend = ports.first(where: { $0.port == port }) ?? ports.first else { continue }
                let id = Identifier.service(service, port: frontend.port, transport: .tcp, isIPv4: true)
                found.byWorkload[WorkloadPort(workload: Identifier.workload(workload.name), port: port)] = id
                for address in workload.addresses {
                    found.byPlace[ProxyAddresses.Place(address: address, port: port)] = id
                }
            }
        }
        services.withLock { $0 = found }
    }

    func origin(of socket: CInt) -> ConnectionOrigin? {
        var local = weft_endpoint()
        guard unsafe weft_local_endpoint(socket, &local) == 0 else { return nil }
        let place = ProxyAddresses.Place(address: IPAddress(high: local.high, low: local.low), port: local.port)
        guard let service = services.withLock({ $0.byPlace[place] }) ?? serviceOfListener(socket, place) else {
            return nil
        }
        var origin = ConnectionOrigin(
            destination: ClientAddress(place.address, port: place.port), service: service, source: 0)
        origin.isInbound = true
        return origin
    }

    private func serviceOfListener(_ socket: CInt, _ place: ProxyAddresses.Place) -> UInt64? {
        let namespace = weft_netns_cookie(socket)
        guard let listeners = listeners.withLock({ $0 }),
            let workload = listeners.workload(at: place.address, port: place.port, namespace: namespace)
        else { return nil }
        return services.withLock { $0.byWorkload[WorkloadPort(workload: workload, port: place.port)] }
    }
}

extension ConnectionOrigin {
    init(_ origin: OriginalDestination) {
        self.init(
            destination: ClientAddress(origin.address, port: origin.port), service: origin.service,
            source: origin.source)
        startedAt = origin.startedAt
        shortcutClient = origin.pair
        if case .tunnel(let backend, let workload) = origin.lane {
            lane = .tunnel
            self.backend = backend
            self.workload = workload
        }
    }
}

extension ClientAddress {
    init(_ address: IPAddress, port: UInt16) {
        self.init(high: UInt64(bigEndian: address.high), low: UInt64(bigEndian: address.low), port: port)
    }
}

extension RouteIdentifiers {
    /// The identifiers of everything that rules speak of.
    init(_ snapshot: MeshSnapshot) {
        self.init()
        for (name, service) in snapshot.services {
            for port in service.ports where port.transport == .tcp {
                services[ServicePort(service: name, port: port.port)] = [true, false].map {
                    Identifier.service(name, port: port.port, transport: .tcp, isIPv4: $0)
                }
            }
        }
        for name in snapshot.workloads.keys { workloads[name] = Identifier.workload(name) }
    }
}
