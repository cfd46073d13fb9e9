import BPF
import ConfigSources
import KernelPlane
import Mesh
import Telemetry
import WeftABI

/// What /metrics answers: the kernel's counters with names, and the agent's own state.
final class MetricsScrape {
    /// Counting the entries of a large map takes longer than reading the counters, so it is done less often.
    private static let countInterval: UInt64 = 15_000_000_000

    private var traffic: TrafficMetrics
    private var policy: PolicyMetrics
    private var counted: [AgentMetrics.MapUsage] = []
    private var countedAt: UInt64 = 0

    init(maxSeries: Int) {
        traffic = TrafficMetrics(limit: maxSeries)
        policy = PolicyMetrics(limit: maxSeries)
    }

    /// The whole exposition.
    func render(_ agent: Agent) throws(BPFError) -> [UInt8] {
        let now = Reactor.now()
        let readings = try agent.plane.withMaps { maps throws(BPFError) in
            (
                traffic: try maps.traffic.summedCounters().map { ($0.key, $0.sum) },
                rules: try maps.ruleCounters.summedCounters().map { ($0.key, $0.sum) },
                node: try Self.nodeCounters(maps)
            )
        }
        traffic.update(readings.traffic, directory: agent.directory, now: now)
        policy.update(readings.rules, directory: agent.directory, now: now)
        if counted.isEmpty || now - countedAt > Self.countInterval {
            counted = try Self.countEntries(agent.plane)
            countedAt = now
        }

        var writer = MetricWriter(capacity: 1 << 16)
        traffic.write(to: &writer)
        policy.write(to: &writer)
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
        own.features = agent.features.all.map { ($0.name, $0.isPresent) }
        own.take(nodeCounters: readings.node)
        own.write(to: &writer)
        writeState(agent, &writer)
        return writer.bytes
    }

    private func writeState(_ agent: Agent, _ writer: inout MetricWriter) {
        writer.family(
            "weft_programming_failures", .gauge, help: "Objects that could not be put into the kernel's maps, by kind.")
        var failures: [String: UInt64] = [:]
        for failure in agent.config.failures { failures[failure.kind, default: 0] += 1 }
        for (kind, count) in failures.sorted(by: { $0.key < $1.key }) {
            writer.sample(MetricLabels([("kind", kind)]), count)
        }
        writer.gauge(
            "weft_workload_cgroups_missing", help: "Local workloads whose cgroup does not exist.",
            Double(agent.plane.missingCgroups.count))
    }

    private static func countEntries(
        _ plane: KernelPlane
    ) throws(BPFError) -> [AgentMetrics.MapUsage] {
        try plane.withMaps { maps throws(BPFError) in
            [
                .init(name: "services", entries: UInt64(try maps.services.count()), capacity: UInt64(maps.services.maxEntries)),
                .init(name: "slots", entries: UInt64(try maps.slots.count()), capacity: UInt64(maps.slots.maxEntries)),
                .init(name: "backends", entries: UInt64(try maps.backends.count()), capacity: UInt64(maps.backends.maxEntries)),
                .init(name: "maglev", entries: UInt64(try maps.maglev.count()), capacity: UInt64(maps.maglev.maxEntries)),
                .init(name: "workloads", entries: UInt64(try maps.workloads.count()), capacity: UInt64(maps.workloads.maxEntries)),
                .init(name: "addresses", entries: UInt64(try maps.addresses.count()), capacity: UInt64(maps.addresses.maxEntries)),
                .init(name: "cgroups", entries: UInt64(try maps.cgroups.count()), capacity: UInt64(maps.cgroups.maxEntries)),
                .init(name: "policies", entries: UInt64(try maps.policies.count()), capacity: UInt64(maps.policies.maxEntries)),
                .init(name: "policy_ids", entries: UInt64(try maps.policyIdentities.count()), capacity: UInt64(maps.policyIdentities.maxEntries)),
                .init(name: "policy_ports", entries: UInt64(try maps.policyPorts.count()), capacity: UInt64(maps.policyPorts.maxEntries)),
                .init(name: "policy_prefixes", entries: UInt64(try maps.policyPrefixes.count()), capacity: UInt64(maps.policyPrefixes.maxEntries)),
                .init(name: "policy_rules", entries: UInt64(try maps.policyRules.count()), capacity: UInt64(maps.policyRules.maxEntries)),
                .init(name: "names", entries: UInt64(try maps.names.count()), capacity: UInt64(maps.names.maxEntries)),
                .init(name: "backend_load", entries: UInt64(try maps.backendLoad.count()), capacity: UInt64(maps.backendLoad.maxEntries)),
                .init(name: "service_state", entries: UInt64(try maps.serviceState.count()), capacity: UInt64(maps.serviceState.maxEntries)),
                .init(name: "affinity", entries: UInt64(try maps.affinity.count()), capacity: UInt64(maps.affinity.maxEntries)),
                .init(name: "cgroup_cache", entries: UInt64(try maps.cgroupCache.count()), capacity: UInt64(maps.cgroupCache.maxEntries)),
                .init(name: "traffic", entries: UInt64(try maps.traffic.count()), capacity: UInt64(maps.traffic.maxEntries)),
                .init(name: "rule_counters", entries: UInt64(try maps.ruleCounters.count()), capacity: UInt64(maps.ruleCounters.maxEntries)),
                .init(name: "tuples", entries: UInt64(try maps.tuples.count()), capacity: UInt64(maps.tuples.maxEntries)),
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
