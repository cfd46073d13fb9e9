import Telemetry

/// What the mesh had done, and what it had cost, at one moment.
struct CostSample {
    struct Program: Equatable {
        var runs: UInt64
        var nanoseconds: UInt64
    }

    /// CLOCK_MONOTONIC.
    var nanoseconds: UInt64
    /// By name; those of the same name are one.
    var programs: [String: Program]
    /// nil: no agent runs.
    var agent: ThreadTimes?
    /// Connections that were opened, and requests that were read in the kernel.
    var connections: UInt64
    var kernelRequests: UInt64
    /// nil: no agent runs.
    var proxyRequests: UInt64?
}

/// What is held for it.
struct CostMemory {
    /// Bytes of the kernel's maps.
    var maps: Int
    /// Entries, the most there can be, and the bytes of one, of `traffic` and of `requests`.
    var series: [(map: String, entries: Int, limit: Int, bytes: Int)]
    /// Resident memory of the agent; nil: none runs.
    var agent: UInt64?
}

/// What Weft costs a node: between two samples.
struct CostReport {
    /// What a program is there for.
    enum Family: String {
        /// Runs when a connection is made and when it ends.
        case connection
        case datagram
        /// Run for packets, to read requests.
        case request
        /// Run by the agent, at an interval.
        case background

        init(program name: String) {
            if name.hasPrefix("sendmsg") || name.hasPrefix("recvmsg") || name.hasPrefix("datagram") {
                self = .datagram
            } else if ["aged", "settle", "sweep", "sweep_udp"].contains(name) {
                self = .background
            } else if name.hasPrefix("http") {
                self = .request
            } else {
                self = .connection
            }
        }
    }

    struct Program {
        var name: String
        var family: Family
        /// In a second.
        var runs: Double
        /// Nanoseconds; nil: it did not run.
        var duration: Double?
        /// Of one CPU.
        var share: Double
    }

    var seconds: Double
    /// The most expensive first.
    var programs: [Program]
    /// Of one CPU, by part.
    var agent: [(part: String, share: Double)]
    var connections: UInt64
    var kernelRequests: UInt64
    var proxyRequests: UInt64?
    /// Nanoseconds; nil: there was none to measure.
    var perConnection: Double?
    var perKernelRequest: Double?
    var perProxyRequest: Double?
    var memory: CostMemory

    init(from: CostSample, to: CostSample, memory: CostMemory) {
        seconds = Double(to.nanoseconds &- from.nanoseconds) / 1e9
        self.memory = memory
        connections = to.connections &- from.connections
        kernelRequests = to.kernelRequests &- from.kernelRequests
        proxyRequests = to.proxyRequests.flatMap { now in from.proxyRequests.map { now &- $0 } }
        programs = []
        var spent: [Family: UInt64] = [:]
        for (name, now) in to.programs {
            let before = from.programs[name] ?? CostSample.Program(runs: 0, nanoseconds: 0)
            // One that was loaded anew begins at 0.
            let runs = now.runs >= before.runs ? now.runs - before.runs : now.runs
            let time = now.nanoseconds >= before.nanoseconds ? now.nanoseconds - before.nanoseconds : now.nanoseconds
            let family = Family(program: name)
            spent[family, default: 0] += time
            programs.append(
                Program(
                    name: name, family: family, runs: Double(runs) / seconds,
                    duration: runs == 0 ? nil : Double(time) / Double(runs), share: Double(time) / 1e9 / seconds))
        }
        programs.sort { ($1.share, $0.name) < ($0.share, $1.name) }
        agent = []
        if let now = to.agent, let before = from.agent {
            for (part, earlier) in zip(now.parts, before.parts) {
                agent.append((part.name, max(0, part.seconds - earlier.seconds) / seconds))
            }
        }
        func each(_ time: Double, _ count: UInt64) -> Double? { count == 0 ? nil : time / Double(count) }
        perConnection = each(Double(spent[.connection] ?? 0), connections)
        perKernelRequest = each(Double(spent[.request] ?? 0), kernelRequests)
        if let proxyRequests, let workers = agent.first(where: { $0.part == "workers" }) {
            perProxyRequest = each(workers.share * seconds * 1e9, proxyRequests)
        }
    }

    // MARK: Output

    var value: Value {
        func number(_ value: Double?) -> Value { value.map(Value.number) ?? .null }
        return [
            "seconds": .number(seconds),
            "programs": .array(
                programs.map {
                    [
                        "name": .string($0.name), "for": .string($0.family.rawValue), "runsPerSecond": .number($0.runs),
                        "nanosecondsPerRun": number($0.duration), "cpuShare": .number($0.share),
                    ]
                }),
            "agent": .object(Value.Object(agent.map { ($0.part, .number($0.share)) })),
            "connections": Value(connections), "kernelRequests": Value(kernelRequests),
            "proxyRequests": proxyRequests.map { Value($0) } ?? .null,
            "nanosecondsPerConnection": number(perConnection),
            "nanosecondsPerKernelRequest": number(perKernelRequest),
            "nanosecondsPerProxyRequest": number(perProxyRequest),
            "mapBytes": Value(memory.maps), "agentBytes": memory.agent.map { Value($0) } ?? .null,
            "series": .array(
                memory.series.map {
                    [
                        "map": .string($0.map), "entries": Value($0.entries), "limit": Value($0.limit),
                        "bytesPerSeries": Value($0.bytes),
                    ]
                }),
        ]
    }

    func page(_ terminal: Terminal) -> String {
        func each(_ nanoseconds: Double?, _ count: UInt64?, _ what: String) -> String {
            guard let count else { return "-  (no agent runs)" }
            guard let nanoseconds else { return "-  (there was no \(what): ask again under load)" }
            return "\(formatSeconds(nanoseconds / 1e9))  (\(count) in \(formatSeconds(seconds)))"
        }
        var page = Page(terminal)
        page.facts([
            ("per connection, in the kernel", each(perConnection, connections, "connection")),
            ("per request read in the kernel", each(perKernelRequest, kernelRequests, "such request")),
            ("per request carried by the agent", each(perProxyRequest, proxyRequests, "such request")),
            ("programs", "\(Self.share(programs.reduce(0) { $0 + $1.share })) of one CPU"),
            (
                "agent",
                agent.isEmpty ? "none runs" : agent.map { "\($0.part) \(Self.share($0.share))" }.joined(separator: ", ")
            ),
            (
                "memory",
                "maps \(formatBytes(UInt64(memory.maps)))" + (memory.agent.map { ", agent \(formatBytes($0))" } ?? "")
            ),
        ])
        page.table(
            "PROGRAMS",
            programs.filter { $0.runs > 0 }.map { program in
                var duration = Field(
                    "nanosecondsPerRun", .null, title: "NS/RUN",
                    text: program.duration.map { fixed($0, decimals: 0) } ?? "-")
                duration.isNumeric = true
                return Record([
                    Field("program", .string(program.name)), Field("for", .string(program.family.rawValue)),
                    Field("runs", .number(program.runs), title: "RUNS/S", text: fixed(program.runs, decimals: 1)),
                    duration, Field("share", .number(program.share), title: "CPU", text: Self.share(program.share)),
                ])
            })
        page.table(
            "SERIES",
            memory.series.map {
                Record([
                    Field("map", .string($0.map)), Field("entries", Value($0.entries)),
                    Field("limit", Value($0.limit)),
                    Field("bytes", Value($0.bytes), title: "BYTES EACH"),
                ])
            })
        return page.text
    }

    private static func share(_ share: Double) -> String { fixed(share * 100, decimals: 3) + "%" }
}
