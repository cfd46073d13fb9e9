/// The agent's metrics of itself and of what it programmed, as values that the agent collects for a scrape.
public struct AgentMetrics: Sendable {
    public struct MapUsage: Sendable {
        public var name: String
        public var entries: UInt64
        public var capacity: UInt64

        public init(name: String, entries: UInt64, capacity: UInt64) {
            self.name = name
            self.entries = entries
            self.capacity = capacity
        }
    }

    public struct ProgramRunTime: Sendable {
        public var name: String
        public var nanoseconds: UInt64
        public var runs: UInt64

        public init(name: String, nanoseconds: UInt64, runs: UInt64) {
            self.name = name
            self.nanoseconds = nanoseconds
            self.runs = runs
        }

        /// One for each name: a program may have been loaded several times.
        public static func sums(_ programs: [Self]) -> [Self] {
            var sums: [String: Self] = [:]
            for program in programs {
                sums[program.name, default: Self(name: program.name, nanoseconds: 0, runs: 0)].nanoseconds +=
                    program.nanoseconds
                sums[program.name]?.runs += program.runs
            }
            return sums.values.sorted { $0.name < $1.name }
        }
    }

    public var version: String
    public var layout: UInt64
    public var node: String
    public var process: ProcessStatistics?
    /// Of the MeshSnapshot in force.
    public var configGeneration: UInt64 = 0
    /// Errors by file; a file without errors need not be here.
    public var configErrors: [(file: String, count: Int)] = []
    /// Nil before the first attempt.
    public var lastReloadSucceeded: Bool?
    /// Unix time in seconds of the last configuration that was accepted.
    public var lastReloadSuccessTime: Double?
    public var maps: [MapUsage] = []
    /// What was lost because something was full, by what it was; see `losses(nodeCounters:)`.
    public var losses: [(source: String, count: UInt64)] = []
    /// Connections that were refused because an entry of a map was missing.
    public var failedClosed: UInt64 = 0
    public var features: [(name: String, isPresent: Bool)] = []
    /// What was found out about redirected connections on this kernel; empty unless somebody needed to know.
    public var probes: [(name: String, verdict: String)] = []
    /// Empty unless the kernel measures (kernel.bpf_stats_enabled).
    public var programs: [ProgramRunTime] = []

    public init(version: String, layout: UInt64, node: String) {
        self.version = version
        self.layout = layout
        self.node = node
    }

    public func write(to writer: inout MetricWriter) {
        writer.family("weft_build_info", .gauge, help: "Always 1; what this agent is, in the labels.")
        writer.sample(MetricLabels([("version", version), ("layout", "\(layout)"), ("node", node)]), UInt64(1))
        process?.write(to: &writer)
        writeConfiguration(&writer)
        writeMaps(&writer)

        writer.family("weft_kernel_feature", .gauge, help: "Whether the kernel has a feature that Weft can use.")
        for (name, isPresent) in unique(features.map { ($0.name, $0.isPresent ? 1 : 0) }) {
            writer.sample(MetricLabels([("feature", name)]), isPresent)
        }
        writeProbes(&writer)
        guard !programs.isEmpty else { return }
        let names = programs.map(\.name)
        writer.family("weft_program_run_seconds_total", .counter, help: "Time that an eBPF program has run.")
        for program in programs where names.filter({ $0 == program.name }).count == 1 {
            writer.sample(MetricLabels([("program", program.name)]), Double(program.nanoseconds) / 1e9)
        }
        writer.family("weft_program_runs_total", .counter, help: "How often an eBPF program has run.")
        for program in programs where names.filter({ $0 == program.name }).count == 1 {
            writer.sample(MetricLabels([("program", program.name)]), program.runs)
        }
    }

    private func writeProbes(_ writer: inout MetricWriter) {
        guard !probes.isEmpty else { return }
        writer.family(
            "weft_kernel_probe", .gauge,
            help: "Always 1; what a probe of redirected connections found on this kernel, in the labels.")
        for (name, position) in unique(probes.enumerated().map { ($1.name, UInt64($0)) }) {
            writer.sample(MetricLabels([("probe", name), ("verdict", probes[Int(position)].verdict)]), UInt64(1))
        }
    }

    private func writeConfiguration(_ writer: inout MetricWriter) {
        writer.family("weft_config_generation", .gauge, help: "Generation of the configuration that is in force.")
        writer.sample(MetricLabels(), configGeneration)
        writer.family("weft_config_errors", .gauge, help: "Errors in the configuration, by file.")
        for (file, count) in unique(configErrors.map { ($0.file, UInt64(max($0.count, 0))) }) {
            writer.sample(MetricLabels([("file", file)]), count)
        }
        if let lastReloadSucceeded {
            writer.gauge(
                "weft_config_last_reload_successful", help: "Whether the last configuration that was read is in force.",
                lastReloadSucceeded ? 1 : 0)
        }
        if let lastReloadSuccessTime {
            writer.gauge(
                "weft_config_last_reload_success_timestamp_seconds",
                help: "When a configuration was last put in force.", lastReloadSuccessTime)
        }
    }

    private func writeMaps(_ writer: inout MetricWriter) {
        writer.family("weft_map_entries", .gauge, help: "Entries of a kernel map.")
        for (name, entries) in unique(maps.map { ($0.name, $0.entries) }) {
            writer.sample(MetricLabels([("map", name)]), entries)
        }
        writer.family("weft_map_pressure", .gauge, help: "Part of a kernel map that is used, from 0 to 1.")
        for (name, position) in unique(maps.enumerated().map { ($1.name, UInt64($0)) }) {
            let map = maps[Int(position)]
            let pressure = map.capacity == 0 ? 0 : Double(map.entries) / Double(map.capacity)
            writer.sample(MetricLabels([("map", name)]), pressure)
        }
        writer.family(
            "weft_events_lost_total", .counter,
            help: "What was not recorded because something was full, by what it was.")
        for (source, count) in unique(losses.map { ($0.source, $0.count) }) {
            writer.sample(MetricLabels([("source", source)]), count)
        }
        writer.counter(
            "weft_failed_closed_total", help: "Connections refused because an entry of a kernel map was missing.",
            failedClosed)
    }

    /// One value for each name, the first: a series may be there only once.
    private func unique(_ values: [(String, UInt64)]) -> [(String, UInt64)] {
        var seen: Set<String> = []
        return values.filter { seen.insert($0.0).inserted }
    }
}
