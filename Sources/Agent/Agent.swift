import BPF
import CLinux
import ConfigSources
import DNS
import FoundationEssentials
import Glibc
import KernelPlane
import Logging
import Mesh
import Proxy
import Telemetry
import WeftABI

/// The composition root: configuration in, kernel plane kept equal to it, facts out. Everything but the reading of the
/// configuration happens on one thread, the reactor's.
public final class Agent {
    /// Open connections are counted, and checked against policy and drains, this often.
    private static let sweepInterval = Duration.seconds(1)
    /// Connections that end before are not worth an entry in their sockets' storage.
    private static let youngMilliseconds: UInt32 = 1000
    /// Flow records that nobody was woken for are collected this often.
    private static let flowInterval = Duration.milliseconds(250)
    /// How often the accept queues are looked at: their lengths are integrated over time.
    private static let acceptQueueInterval = Duration.seconds(1)
    private static let judgeInterval = Duration.seconds(10)
    private static let tidyInterval = Duration.seconds(30)
    /// Flow records that are taken in one turn.
    private static let flowBatch = 4096

    let options: AgentOptions
    let plane: KernelPlane
    let proxy: ProxyLane
    let reactor: Reactor
    let flows: FlowWindow
    private var ring: RingBuffer
    let logger = Logger(label: "weftd")
    let features: KernelFeatures
    let startedAt: UInt64
    /// The last configuration that was read, and what became of it.
    private(set) var config = ConfigState()
    /// Names of the snapshot in force, and of the rules that were ever counted.
    var directory: MeshDirectory { names.directory }
    private let names: NameBox
    let metrics: MetricsScrape
    let signals = SignalSampler()
    private var watcher: ConfigWatcher?
    private var responders: [HTTPResponder] = []
    private(set) var dns: DNSService?
    /// What becomes of requests in the proxy's lane, for whoever attaches himself.
    let requestLog: RequestLog
    private(set) var accessLog: AccessLogWriter?
    private(set) var flowOutlet: FlowOutlet?
    private(set) var spans: SpanExport?
    /// To the collector, one for each kind of telemetry.
    private(set) var exporters: [OTLPExporter] = []
    private(set) var workloadAPI: WorkloadAPIServer?
    let identity: IdentityService
    /// Of the workloads of this node, in the configuration in force.
    private var workloadIdentities = WorkloadIdentities()
    let inquiry: ProxyInquiry
    let behaviour: BehaviourService
    private(set) lazy var taps = TapService(self)
    let acceleration: AccelerationService
    private let manager = ServiceManager(environment: ProcessInfo.processInfo.environment)
    private var isReady = false
    /// Whether a configuration has been read.
    private var isReadyDue = false
    private var isDraining = false
    private var reports = LogLimiter()
    private var accelerationJudge = AccelerationJudge()

    /// Takes the kernel: when it throws, nothing is left attached that was not before.
    public init(_ options: AgentOptions) throws(AgentError) {
        self.options = options
        inquiry = ProxyInquiry(trustedProxies: options.trustedProxies)
        guard geteuid() == 0 else {
            throw AgentError(
                "it needs root (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN) to load programs into the"
                    + " kernel, and runs as user \(geteuid()): start it as root")
        }
        let withheld = Capabilities.missing
        guard withheld.isEmpty else {
            throw AgentError(
                "it runs as root, but without \(withheld.joined(separator: ", ")): give it the capabilities"
                    + " that it needs to load programs into the kernel")
        }
        guard let mount = CgroupRoot.find() else {
            throw AgentError("no cgroup v2 hierarchy is mounted: mount one with `mount -t cgroup2 none /sys/fs/cgroup`")
        }
        features = KernelFeatures.probe()
        let missing = features.missing
        guard missing.isEmpty else {
            let list = missing.map { "\($0.name) (for \($0.purpose))" }.joined(separator: ", ")
            throw AgentError("this kernel lacks what the programs need: \(list). Run `weft check` for the whole list")
        }
        Reactor.ignoreBrokenPipes()
        BPFSystem.configure { [logger] level, text in
            if level == .warning { logger.debug("libbpf: \(text)") }
        }
        do throws(SystemError) {
            reactor = try Reactor()
        } catch {
            throw AgentError("\(error)")
        }
        identity = try IdentityService(options, reactor: reactor)
        acceleration = AccelerationService(
            stateDirectory: options.stateDirectory, mount: mount, seconds: options.acceleration.watchTime / .seconds(1),
            reactor: reactor)
        behaviour = BehaviourService(runDirectory: options.runDirectory, reactor: reactor)
        proxy = try ProxyLane(options, mount: mount, features: features)
        do throws(BPFError) {
            plane = try KernelPlane(
                .init(
                    pinDirectory: options.pinDirectory, cgroup: options.cgroup ?? mount, cgroupMount: mount,
                    mapLimits: options.mapLimits,
                    proxy: .init(addresses: proxy.addresses, cgroup: proxy.cgroup.path),
                    readsHTTP: options.readsHTTP && features.has("cgroup_skb_loop"), redirects: features.has("sk_msg")))
            ring = try plane.openFlows()
        } catch {
            proxy.stop()
            throw AgentError("\(error)")
        }
        let rules = plane.ruleNames
        let names = NameBox { MeshDirectory(MeshSnapshot(), generation: 0, rules: rules) }
        self.names = names
        do throws(SystemError) {
            requestLog = try RequestLog(proxy.engine.requestLogs, names: names.directory)
        } catch {
            proxy.stop()
            throw AgentError("\(error)")
        }
        flows = FlowWindow { names.directory }
        metrics = MetricsScrape(maxSeries: options.maxSeries, compatibility: options.metricsCompatibility)
        startedAt = Reactor.now()
    }

    /// Serves until it is told to stop by SIGTERM or SIGINT.
    public func run() throws(AgentError) {
        do throws(SystemError) {
            for signal in [SIGTERM, SIGINT] {
                try reactor.onSignal(signal) { [unowned self] in
                    logger.info("stopping", metadata: ["signal": "\(signal)"])
                    manager.stopping()
                    drain()
                }
            }
            try listen()
            dns = try answerNames()
            turnNames()
            workloadAPI = try serveWorkloads()
            try startIdentity()
            startAcceleration()
            try startAccessLog()
            try startFlowOutlet()
            try startTraces()
            try startProxy()
            let mailbox = reactor.mailbox
            let agent = Unchecked(self)
            watcher = try ConfigWatcher(
                path: options.configDirectory,
                options: MeshOptions(
                    trustDomain: options.trustDomain, node: options.node, rootNamespace: options.rootNamespace)
            ) { outcome in
                mailbox.post { _ in agent.value.take(outcome) }
            }
            // The programs wake the agent for refusals, and before the ring is full; the rest waits for the timer.
            try reactor.register(ring.fd, .readable) { [unowned self] _ in collectFlows() }
            for queue in proxy.engine.flows {
                try reactor.register(queue.wakeup, .readable) { [unowned self] _ in collectFlows() }
            }
            startTimers()
            logger.info(
                plane.adopted ? "running with the programs of an earlier agent" : "running",
                metadata: [
                    "node": "\(options.node)", "cgroup": "\(plane.options.cgroup)", "pins": "\(plane.pins.path)",
                ])
            checkHook()
            try reactor.run()
        } catch {
            // What this attempt has put into the kernel goes with it; what was there before stays.
            if plane.adopted { plane.leave() } else { try? plane.detach() }
            proxy.stop()
            throw AgentError("\(error)")
        }
        shutDown()
    }

    private func startIdentity() throws(SystemError) {
        // Whoever proves identities or checks them takes new certificates over here.
        identity.onChange = { [unowned self] trust in
            workloadAPI?.update(trust)
            proxy.publish(trust)
        }
        do throws(AgentError) {
            try identity.start()
        } catch {
            throw SystemError(error.description, code: EAGAIN)
        }
    }

    private func startAcceleration() {
        acceleration.conduct = { [unowned self] names in
            do throws(BPFError) {
                return try plane.takeConduct(of: names)
            } catch {
                if reports.admit("conduct") != nil { logger.error("conduct of workloads cannot be read: \(error)") }
                return [:]
            }
        }
        acceleration.onChange = { [unowned self] in accelerate() }
        if let problem = plane.redirectProblem {
            logger.warning("the accelerated lane stays off, and everything else works: \(problem)")
        }
        acceleration.laneProblem = laneProblem
        behaviour.onChange = { [unowned self] in
            acceleration.isFIONREADRight = behaviour.isFIONREADRight
            acceleration.laneProblem = laneProblem
            accelerate()
            if isReadyDue { becomeReady() }
        }
    }

    private func startAccessLog() throws(SystemError) {
        guard options.accessLog.policy != .off else { return }
        let writer = try AccessLogWriter(options.accessLog)
        for queue in proxy.engine.requestLogs { queue.set(options.accessLog.policy) }
        try requestLog.attach(writer)
        accessLog = writer
    }

    private func startTraces() throws(SystemError) {
        guard options.tracing != nil, let traces = try makeExporter(.traces) else { return }
        let export = SpanExport(traces, node: options.node)
        try requestLog.attach(export)
        spans = export
    }

    /// What sends telemetry of a kind to the collector; nil: there is none. It is stopped with the agent.
    func makeExporter(_ signal: OTLPSignal) throws(SystemError) -> OTLPExporter? {
        guard let otlp = options.otlp else { return nil }
        let logger = Logger(label: "weftd.otlp")
        do throws(OTLPFailure) {
            let exporter = try OTLPExporter(signal, otlp, version: AgentVersion.current) { problem in
                if let problem {
                    logger.warning("the collector does not get the \(signal.rawValue): \(problem)")
                } else {
                    logger.info("the collector gets the \(signal.rawValue)")
                }
            }
            exporters.append(exporter)
            return exporter
        } catch {
            throw SystemError("start the exporter of \(signal.rawValue)", code: error.errno)
        }
    }

    private func startFlowOutlet() throws(SystemError) {
        let collector = options.exportsFlows ? try makeExporter(.logs) : nil
        guard options.flowLog.file != nil || collector != nil else { return }
        flowOutlet = try FlowOutlet(log: options.flowLog, collector: collector, node: options.node)
    }

    private func startProxy() throws(SystemError) {
        do throws(AgentError) {
            try proxy.start(plane)
        } catch {
            throw SystemError(error.description, code: EADDRINUSE)
        }
    }

    /// Lets requests in progress come to their end, and stops; at once when it is told a second time.
    private func drain() {
        guard !isDraining else { return reactor.stop() }
        isDraining = true
        proxy.drain()
        let deadline = Reactor.now() + UInt64(options.drainTime / .nanoseconds(1))
        reactor.every(.milliseconds(20)) { [unowned self] in
            if proxy.openConnections == 0 || Reactor.now() >= deadline { reactor.stop() }
        }
    }

    private func shutDown() {
        watcher?.stop()
        for responder in responders { responder.close() }
        dns?.stop()
        workloadAPI?.close()
        identity.stop()
        acceleration.stop()
        proxy.stop()
        requestLog.stop()
        _ = try? plane.sweep()
        collectFlows(limit: .max)
        flowOutlet?.stop()
        for exporter in exporters { exporter.stop() }
        if options.detachOnExit {
            do throws(BPFError) {
                try plane.detach()
                logger.info("the programs and maps are removed from the kernel")
            } catch {
                logger.error("the programs could not be removed: \(error)")
            }
        } else {
            plane.leave()
            logger.info(
                "stopped; the kernel goes on with the programs that are pinned",
                metadata: ["pins": "\(plane.pins.path)"])
        }
    }

    // MARK: Configuration

    /// Takes what the configuration means now. A rejected one changes nothing but what is said about it.
    private func take(_ outcome: ConfigOutcome) {
        config.errors = outcome.errors
        for error in outcome.errors { logger.error("configuration: \(error)") }
        guard let snapshot = outcome.snapshot else {
            logger.warning("the configuration is not taken: the last good one stays in force")
            // Connections that the kernel still captures by an earlier agent's rules are answered, not left waiting.
            if proxy.table == nil { proxy.publish(config.snapshot) }
            becomeReady()
            return
        }
        config.table = outcome.table
        config.acceptedAt = Date.now.timeIntervalSince1970
        if snapshot.generation == config.snapshot.generation && config.failures.isEmpty && config.isProgrammed {
            // Files were touched, or repaired to what is in force already.
            becomeReady()
            return
        }
        let started = Reactor.now()
        identity.take(snapshot)
        // What takes connections is there before they are turned to it.
        proxy.setDrains(Set(plane.drains.keys))
        proxy.publish(snapshot)
        proxy.refresh(plane, snapshot)
        probeIfNeeded(snapshot)
        do throws(BPFError) {
            config.failures = try plane.apply(snapshot, acceleration: accelerationDecision(snapshot))
            config.isProgrammed = true
            removeOlderLayouts()
        } catch {
            logger.error("the kernel could not be programmed: \(error)")
            config.isProgrammed = false
        }
        config.snapshot = snapshot
        dns?.take(snapshot)
        workloadIdentities = WorkloadIdentities(snapshot, trustDomain: options.trustDomain)
        workloadAPI?.refresh()
        if options.acceleration.mode == .certified { acceleration.take(snapshot) }
        config.programmedAt = Date.now.formatted(.iso8601)
        let rules = plane.ruleNames
        names.replace { MeshDirectory(snapshot, generation: snapshot.generation, rules: rules) }
        requestLog.take(directory)
        for failure in config.failures { logger.error("\(failure.kind) \(failure.name): \(failure.message)") }
        logger.info(
            "configuration in force",
            metadata: [
                "generation": "\(snapshot.generation)", "services": "\(snapshot.services.count)",
                "workloads": "\(snapshot.workloads.count)", "policies": "\(snapshot.policies.count)",
                "milliseconds": "\((Reactor.now() - started) / 1_000_000)",
            ])
        sweep()
        becomeReady()
    }

    /// Puts into force what has come to be known since the configuration was.
    private func accelerate() {
        let next = accelerationDecision(config.snapshot)
        guard config.isProgrammed, next != plane.acceleration else { return }
        let isSameWorkloads = next.workloads == plane.acceleration.workloads
        do throws(BPFError) {
            let failures = try plane.setAcceleration(next)
            if !isSameWorkloads { config.failures = failures }
        } catch {
            logger.error("which workloads are accelerated could not be programmed: \(error)")
            config.isProgrammed = false
        }
    }

    private func becomeReady() {
        isReadyDue = true
        // Whether connections are accelerated is part of what is in force.
        guard !isReady, !behaviour.isRunning else { return }
        isReady = true
        weft_forget_code()
        manager.ready(status: "generation \(config.snapshot.generation)")
    }

    /// Records that an endpoint is to be drained, or no longer.
    func drain(_ backends: [UInt64], deadline: UInt64?) throws(BPFError) {
        config.failures = try plane.drain(backends, deadlineNanoseconds: deadline)
        proxy.setDrains(Set(plane.drains.keys))
        if let deadline {
            let now = Reactor.now()
            reactor.after(.nanoseconds(deadline > now ? deadline - now : 0)) { [unowned self] in sweep() }
        }
    }

    // MARK: Turns

    private func startTimers() {
        manager.keepAlive(on: reactor)
        signals.start(self)
        reactor.every(Self.sweepInterval) { [unowned self] in
            refreshEnrolment()
            sweep(sparing: Self.youngMilliseconds)
        }
        reactor.every(Self.flowInterval) { [unowned self] in collectFlows() }
        reactor.every(Self.acceptQueueInterval) { [unowned self] in sampleAcceptQueues() }
        reactor.every(Self.judgeInterval) { [unowned self] in judgeAcceleration() }
        reactor.every(Self.tidyInterval) { [unowned self] in
            plane.tidy()
            retry()
        }
    }

    private func removeOlderLayouts() {
        for removal in plane.removeOlderLayouts() {
            let metadata: Logger.Metadata = ["pins": "\(removal.path)", "removed": "\(removal.removed.count)"]
            guard let problem = removal.problem else {
                logger.info("took off the programs of an earlier version", metadata: metadata)
                continue
            }
            guard reports.admit("layouts") != nil else { continue }
            logger.warning(
                "the programs of an earlier version stay attached, and decide every connection too: \(problem)",
                metadata: metadata)
        }
    }

    /// Tries again what did not fit: something else may have made room.
    private func retry() {
        guard plane.isProgrammed, !config.failures.isEmpty || !config.isProgrammed else { return }
        do throws(BPFError) {
            config.failures = try plane.apply(config.snapshot)
            config.isProgrammed = true
        } catch {
            if reports.admit("retry") != nil { logger.error("the kernel could not be programmed: \(error)") }
        }
    }

    private func refreshEnrolment() {
        do throws(BPFError) {
            try plane.refreshEnrolment()
        } catch {
            if reports.admit("enrolment") != nil { logger.error("workloads' cgroups could not be enrolled: \(error)") }
        }
        proxy.refresh(plane, config.snapshot)
    }

    private func sampleAcceptQueues() {
        do throws(BPFError) {
            try metrics.sampleAcceptQueues(plane)
        } catch {
            if reports.admit("accept queues") != nil { logger.error("the accept queues could not be read: \(error)") }
        }
    }

    /// Takes off the accelerated lane what gains nothing there.
    private func judgeAcceleration() {
        guard !plane.acceleration.workloads.isEmpty else { return }
        do throws(BPFError) {
            let summaries = try plane.withMaps { maps throws(BPFError) in
                AccelerationSummary.summaries(
                    acceleration: try maps.acceleration.summedCounters(), traffic: [],
                    requests: try maps.requests.summedCounters(), directory: directory)
            }
            for verdict in accelerationJudge.judge(summaries) {
                try plane.stopAccelerating(service: verdict.service)
                logger.notice(
                    "a service is not accelerated any more: its requests are no faster so",
                    metadata: [
                        "service": "\(verdict.name)", "accelerated": "\(Int(verdict.accelerated)) µs",
                        "tcp": "\(Int(verdict.control)) µs",
                    ])
            }
        } catch {
            if reports.admit("acceleration") != nil {
                logger.error("the accelerated lane could not be judged: \(error)")
            }
        }
    }

    private func sweep(sparing youngMilliseconds: UInt32 = 0) {
        do throws(BPFError) {
            let result = try plane.sweep(sparing: youngMilliseconds)
            if result.ended > 0 { logger.info("ended connections", metadata: ["count": "\(result.ended)"]) }
            if result.failed > 0 && reports.admit("destroy") != nil {
                logger.error("\(result.failed) connections that may no longer be could not be ended: \(result.reason)")
            }
            if result.unreached > 0 && reports.admit("settle") != nil {
                logger.warning(
                    "connections cannot be looked at before they end: no process is in their network namespace",
                    metadata: ["namespaces": "\(result.unreached)"])
            }
        } catch {
            if reports.admit("sweep") != nil { logger.error("open connections could not be looked at: \(error)") }
        }
    }

    /// Takes the records that the programs and the proxy's workers have written.
    ///
    /// - Parameter limit: a producer that is faster than this reader must not keep the reactor from everything else.
    func collectFlows(limit: Int = Agent.flowBatch) {
        var batch: [RawFlow] = []
        let taken = ring.consume(limit: limit) { record in
            guard record.byteCount >= MemoryLayout<weft_flow>.size else { return }
            batch.append(RawFlow(unsafe record.unsafeLoadUnaligned(as: weft_flow.self)))
        }
        let most = proxy.engine.flows.map { $0.drain(limit: limit) { batch.append(RawFlow($0)) } }.max() ?? 0
        for index in batch.indices { addRequests(&batch[index].flow) }
        for flow in batch { flows.append(flow) }
        if let flowOutlet, !batch.isEmpty { flowOutlet.take(batch, names: directory) }
        if max(taken, most) >= limit { reactor.after(.milliseconds(1)) { [unowned self] in collectFlows() } }
    }

    /// Of connections that the agent has carried, it knows the requests, and not the kernel.
    private func addRequests(_ flow: inout weft_flow) {
        guard UInt32(flow.lane) == WEFT_LANE_PROXY.rawValue, flow.http_requests == 0,
            let requests = proxy.engine.requests(ofConnectionStarted: flow.started_ns)
        else { return }
        flow.http_class = requests.firstClass
        flow.http_requests = requests.count
    }

    /// Records that found no room on their way to this agent.
    func lostFlows() throws(BPFError) -> UInt64 {
        proxy.engine.flows.reduce(try ring.lost()) { $0 &+ $1.lost }
    }

    private func checkHook() {
        switch plane.verifyHook() {
        case .called: break
        case .notCalled:
            logger.critical(
                "the programs are attached but not called for processes of the cgroup: nothing is balanced or policed",
                metadata: ["cgroup": "\(plane.options.cgroup)"])
        case .unknown(let reason):
            logger.warning("whether the programs are called could not be tried: \(reason)")
        }
    }

    // MARK: Listeners

    private func listen() throws(SystemError) {
        makeRunDirectory()
        let admin = HTTPResponder(reactor: reactor, checksHosts: true) { [unowned self] in
            DashboardPages.answer($0) ?? AdminAPI(agent: self).answer($0)
        }
        let metrics = HTTPResponder(reactor: reactor) { [unowned self] in
            $0.path == "/metrics" || $0.path == "/stats/prometheus" ? scrape($0) : .notFound
        }
        let ready = HTTPResponder(reactor: reactor) { [unowned self] in
            guard $0.path == "/healthz/ready" else { return .notFound }
            return isReady ? .text(200, "ready") : .text(503, "the first configuration has not been read yet")
        }
        for (responder, address) in [
            (admin, "unix:\(options.runDirectory)/admin.sock"), (admin, options.adminListen),
            (metrics, options.metricsListen), (ready, options.readyListen),
        ] {
            let parsed: HTTPListenAddress
            do throws(HTTPListenAddress.Invalid) {
                parsed = try HTTPListenAddress(address)
            } catch {
                throw SystemError(error.description, code: EINVAL)
            }
            let bound = try responder.listen(on: parsed)
            logger.debug("listening", metadata: ["address": "\(bound)"])
        }
        responders = [admin, metrics, ready]
    }

    /// Lets processes of the mesh ask this agent for names, whatever resolver they know.
    private func turnNames() {
        guard let place = dns?.place else { return }
        do throws(BPFError) {
            try plane.setResolver(ProxyAddresses.Place(address: place.address, port: place.port))
        } catch {
            logger.error("names cannot be asked of the agent: \(error)")
        }
    }

    private func answerNames() throws(SystemError) -> DNSService {
        var upstreams: [DNSUpstream] = []
        for text in options.dnsUpstreams {
            guard let upstream = DNSUpstream(text) else {
                throw SystemError("ask the resolver \(text), which is not ADDRESS or ADDRESS:PORT", code: EINVAL)
            }
            upstreams.append(upstream)
        }
        let listen: HTTPListenAddress
        do throws(HTTPListenAddress.Invalid) {
            listen = try HTTPListenAddress(options.dnsListen)
        } catch {
            throw SystemError(error.description, code: EINVAL)
        }
        let service = try DNSService(listen: listen, upstreams: upstreams)
        logger.debug("answering names", metadata: ["address": "\(service.address)"])
        return service
    }

    private func serveWorkloads() throws(SystemError) -> WorkloadAPIServer {
        let text =
            options.workloadAPIListen.isEmpty
            ? "unix:\(options.runDirectory)/workload.sock" : options.workloadAPIListen
        guard case .unix(let path) = try? HTTPListenAddress(text) else {
            throw SystemError("serve the Workload API on \(text), which is not unix:PATH", code: EINVAL)
        }
        let server = WorkloadAPIServer(reactor: reactor) { [unowned self] in workloadIdentities.spiffeID(ofCgroup: $0) }
        try server.listen(path: path)
        return server
    }

    private func scrape(_ request: HTTPRequest) -> HTTPResponse {
        do throws(BPFError) {
            return try metrics.answer(request, self)
        } catch {
            return .text(500, "\(error)")
        }
    }

    private func makeRunDirectory() {
        // A failure shows when the socket is bound, with the path.
        _ = unsafe mkdir(options.runDirectory, 0o755)
    }
}

/// The names that are valid now. They are put together when somebody asks: most changes of the configuration are never
/// looked at.
private final class NameBox {
    private var made: MeshDirectory?
    private var make: () -> MeshDirectory

    init(_ make: @escaping () -> MeshDirectory) { self.make = make }

    var directory: MeshDirectory {
        if let made { return made }
        let directory = make()
        made = directory
        return directory
    }

    func replace(_ make: @escaping () -> MeshDirectory) {
        made = nil
        self.make = make
    }
}

/// Carries the agent into closures that other threads hold but only the reactor's thread runs.
private struct Unchecked<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
