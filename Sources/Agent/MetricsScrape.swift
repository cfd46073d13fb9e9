import BPF
import ConfigSources
import Doctor
import KernelPlane
import Mesh
import Proxy
import Telemetry
import WeftABI

/// What /metrics answers: the kernel's counters with names, and the agent's own state.
final class MetricsScrape {
    /// Counting the entries of a large map takes longer than reading the counters, so it is done less often.
    private static let countInterval: UInt64 = 15_000_000_000

    private var traffic: TrafficMetrics
    private var policy: PolicyMetrics
    private var requests: RequestMetrics
    private var acceptQueues: AcceptQueues
    private let maxSeries: Int
    private var counted: [AgentMetrics.MapUsage] = []
    private var countedAt: UInt64 = 0

    init(maxSeries: Int, compatibility: Set<MetricsCompatibility>) {
        self.maxSeries = maxSeries
        traffic = TrafficMetrics(limit: maxSeries, compatibility: compatibility)
        policy = PolicyMetrics(limit: maxSeries)
        acceptQueues = AcceptQueues(limit: maxSeries / 5)
        // Each set of labels has three histograms.
        requests = RequestMetrics(limit: max(1, maxSeries * 2 / 5), compatibility: compatibility)
    }

    /// The answer to a request for the metrics, in the format that it asks for: as a whole if it is short, else in
    /// pieces.
    func answer(_ request: HTTPRequest, _ agent: Agent) throws(BPFError) -> HTTPResponse {
        let format = ExpositionFormat(accept: request.header("accept"))
        var stream = MetricStream(format, try read(agent))
        var first: [UInt8] = []
        guard stream.next(into: &first) else {
            return .full(200, contentType: format.contentType, body: first)
        }
        return .pieces(contentType: format.contentType) { bytes in
            guard first.isEmpty else {
                bytes.append(contentsOf: first)
                first = []
                return true
            }
            return stream.next(into: &bytes)
        }
    }

    /// Looks how many connections wait to be accepted. To be called at least every second.
    func sampleAcceptQueues(_ plane: KernelPlane) throws(BPFError) {
        acceptQueues.take(try plane.acceptQueues(), now: Reactor.now())
    }

    /// The whole exposition, of now.
    private func read(_ agent: Agent) throws(BPFError) -> [MetricPart] {
        let now = Reactor.now()
        let readings = try agent.plane.withMaps { maps throws(BPFError) in
            (
                traffic: try maps.traffic.summedCounters().map { ($0.key, $0.sum) },
                requests: try maps.requests.summedCounters(),
                rules: try maps.ruleCounters.summedCounters().map { ($0.key, $0.sum) },
                node: try Self.nodeCounters(maps),
                acceleration: try maps.acceleration.summedCounters()
            )
        }
        let engine = agent.proxy.engine
        traffic.update(
            readings.traffic, workers: engine.statistics, peers: engine.peerNames, directory: agent.directory, now: now)
        policy.update(readings.rules, directory: agent.directory, now: now)
        policy.update(engine.policyCounts?.readings ?? [], now: now)
        policy.update(agent.proxy.tunnelTable?.networkDenials ?? [], now: now)
        for noted in agent.spans?.takeNoted() ?? [] {
            requests.note(noted.exemplar, for: noted.key, worker: noted.worker)
        }
        requests.update(
            readings.requests, workers: engine.statistics, peers: engine.peerNames, directory: agent.directory, now: now
        )
        try retire(agent, now)
        if counted.isEmpty || now - countedAt > Self.countInterval {
            counted = try Self.countEntries(
                agent.plane, traffic: readings.traffic.count, requests: readings.requests.count,
                rules: readings.rules.count)
            countedAt = now
        }
        let programs = try agent.plane.pins.programs().filter { $0.runCount > 0 }

        var own = AgentMetrics(
            version: AgentVersion.current, layout: UInt64(WEFT_LAYOUT), node: agent.options.node)
        own.process = ProcessStatistics.current()
        own.configGeneration = agent.config.snapshot.generation
        var errors: [String: Int] = [:]
        for error in agent.config.errors { errors[error.file, default: 0] += 1 }
        own.configErrors = errors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        own.lastReloadSucceeded = agent.config.errors.isEmpty
        own.lastReloadSuccessTime = agent.config.acceptedAt
        own.maps = counted
        own.programs = AgentMetrics.ProgramRunTime.sums(
            programs.map { .init(name: $0.name, nanoseconds: $0.runTimeNanoseconds, runs: $0.runCount) })
        let times = ThreadTimes.of()
        own.features = agent.features.all.map { ($0.name, $0.isPresent) }
        own.probes = agent.behaviour.report?.probes.map { ($0.name, $0.verdict.rawValue) } ?? []
        own.take(nodeCounters: readings.node)
        own.losses.append(
            ("access_log", agent.requestLog.lost(.accessLog) &+ (agent.accessLog?.unwritten ?? 0)))
        for exporter in agent.exporters {
            let unread =
                exporter.signal == .traces
                ? agent.requestLog.lost(.traces) : agent.flowOutlet?.lostForCollector ?? 0
            own.losses.append((exporter.signal.source, exporter.lost &+ unread))
        }
        own.losses.append(("tap", agent.requestLog.lost(.tap)))
        own.losses.append(("flow_log", agent.flowOutlet?.lost ?? 0))
        own.losses.append(("tunnel_flows", engine.flows.reduce(0) { $0 &+ $1.lost }))
        // What is short is a part each, with the values that it has now.
        let policy = policy
        let acceptQueues = acceptQueues
        let directory = agent.directory
        let proxy = ProxyMetrics(engine.statistics)
        let authorizers = AuthorizerMetrics(engine.authorizers, issuers: engine.tokenIssuers)
        let identities = IdentityMetrics(agent.identity, limit: maxSeries)
        let names = agent.dns?.statistics
        let acceleration = AccelerationMetrics(
            AccelerationSummary.summaries(
                acceleration: readings.acceleration, traffic: [], requests: [], directory: agent.directory),
            limit: maxSeries / 20)
        return traffic.parts + requests.parts + [
            MetricPart { policy.write(to: &$0) },
            MetricPart { acceleration.write(to: &$0) },
            MetricPart { acceptQueues.write(to: &$0, directory: directory) },
            MetricPart { proxy.write(to: &$0) },
            MetricPart { [own] in own.write(to: &$0) },
            MetricPart { times?.write(to: &$0) },
            state(agent),
            MetricPart { authorizers.write(to: &$0) },
            MetricPart { identities.write(to: &$0) },
            MetricPart { names?.write(to: &$0) },
        ]
    }

    /// Deletes what has not counted for long: the maps would fill up for ever.
    private func retire(_ agent: Agent, _ now: UInt64) throws(BPFError) {
        try agent.plane.withMaps { maps throws(BPFError) in
            for key in traffic.retirable(now: now) {
                guard let last = try maps.traffic.takeCounters(key) else { continue }
                traffic.retired(key, last: last, directory: agent.directory, now: now)
            }
            for key in requests.retirable(now: now) {
                guard let last = try maps.requests.takeCounters(key) else { continue }
                requests.retired(key, last: last, directory: agent.directory, now: now)
            }
        }
    }

    /// How full the kernel's maps are, of a count that is not old.
    func mapUsage(_ agent: Agent) throws(BPFError) -> [AgentMetrics.MapUsage] {
        let now = Reactor.now()
        if counted.isEmpty || now - countedAt > Self.countInterval {
            let counts = try agent.plane.withMaps { maps throws(BPFError) in
                (try maps.traffic.count(), try maps.requests.count(), try maps.ruleCounters.count())
            }
            counted = try Self.countEntries(agent.plane, traffic: counts.0, requests: counts.1, rules: counts.2)
            countedAt = now
        }
        return counted
    }

    private func state(_ agent: Agent) -> MetricPart {
        var failures: [String: UInt64] = [:]
        for failure in agent.config.failures { failures[failure.kind, default: 0] += 1 }
        let missing = agent.plane.missingCgroups.count
        var states: [String: UInt64] = [:]
        for reason in AccelerationVerdicts.Reason.allCases { states[reason.state] = 0 }
        for verdict in agent.acceleration.verdicts.verdicts.values { states[verdict.reason.state, default: 0] += 1 }
        return MetricPart { [states] in
            Self.write(failures, missingCgroups: missing, acceleration: states, to: &$0)
        }
    }

    private static func write(
        _ failures: [String: UInt64], missingCgroups: Int, acceleration: [String: UInt64],
        to writer: inout MetricWriter
    ) {
        writer.family(
            "weft_programming_failures", .gauge, help: "Objects that could not be put into the kernel's maps, by kind.")
        for (kind, count) in failures.sorted(by: { $0.key < $1.key }) {
            writer.sample(MetricLabels([("kind", kind)]), count)
        }
        writer.gauge(
            "weft_workload_cgroups_missing", help: "Local workloads whose cgroup does not exist.",
            Double(missingCgroups))
        writer.family(
            "weft_acceleration_workloads", .gauge,
            help: "Workloads that opted in to acceleration, by what became of it.")
        for (state, count) in acceleration.sorted(by: { $0.key < $1.key }) {
            writer.sample(MetricLabels([("state", state)]), count)
        }
    }

    /// The entries of three maps are known: they have just been read.
    private static func countEntries(
        _ plane: KernelPlane, traffic: Int, requests: Int, rules: Int
    ) throws(BPFError) -> [AgentMetrics.MapUsage] {
        func usage(_ name: String, _ entries: Int, _ limit: Int) -> AgentMetrics.MapUsage {
            .init(name: name, entries: UInt64(entries), capacity: UInt64(limit))
        }
        return try plane.withMaps { maps throws(BPFError) in
            [
                usage("services", try maps.services.count(), maps.services.maxEntries),
                usage("slots", try maps.slots.count(), maps.slots.maxEntries),
                usage("backends", try maps.backends.count(), maps.backends.maxEntries),
                usage("maglev", try maps.maglev.count(), maps.maglev.maxEntries),
                usage("captures", try maps.captures.count(), maps.captures.maxEntries),
                usage("routes", try maps.routes.count(), maps.routes.maxEntries),
                usage("inbound_ports", try maps.inboundPorts.count(), maps.inboundPorts.maxEntries),
                usage("workloads", try maps.workloads.count(), maps.workloads.maxEntries),
                usage("addresses", try maps.addresses.count(), maps.addresses.maxEntries),
                usage("cgroups", try maps.cgroups.count(), maps.cgroups.maxEntries),
                usage("policies", try maps.policies.count(), maps.policies.maxEntries),
                usage("policy_ids", try maps.policyIdentities.count(), maps.policyIdentities.maxEntries),
                usage("policy_ports", try maps.policyPorts.count(), maps.policyPorts.maxEntries),
                usage("policy_prefixes", try maps.policyPrefixes.count(), maps.policyPrefixes.maxEntries),
                usage("policy_ranges", try maps.policyRanges.count(), maps.policyRanges.maxEntries),
                usage("policy_rules", try maps.policyRules.count(), maps.policyRules.maxEntries),
                usage("names", try maps.names.count(), maps.names.maxEntries),
                usage("backend_load", try maps.backendLoad.count(), maps.backendLoad.maxEntries),
                usage("service_state", try maps.serviceState.count(), maps.serviceState.maxEntries),
                usage("affinity", try maps.affinity.count(), maps.affinity.maxEntries),
                usage("conduct", try maps.conduct.count(), maps.conduct.maxEntries),
                usage("acceleration", try maps.acceleration.count(), maps.acceleration.maxEntries),
                usage("listeners", try maps.listeners.count(), maps.listeners.maxEntries),
                usage("cgroup_cache", try maps.cgroupCache.count(), maps.cgroupCache.maxEntries),
                usage("traffic", traffic, maps.traffic.maxEntries),
                usage("requests", requests, maps.requests.maxEntries),
                usage("rule_counters", rules, maps.ruleCounters.maxEntries),
                usage("tuples", try maps.tuples.count(), maps.tuples.maxEntries),
                usage("origins", try maps.origins.count(), maps.origins.maxEntries),
            ]
        }
    }

    private static func nodeCounters(_ maps: borrowing PinnedMaps) throws(BPFError) -> [UInt64] {
        var counters = [UInt64](repeating: 0, count: Int(WEFT_NODE_COUNTERS.rawValue))
        for (index, sum) in try maps.nodeCounters.summedCounters() where Int(index) < counters.count {
            counters[Int(index)] = sum
        }
        return counters
    }
}
