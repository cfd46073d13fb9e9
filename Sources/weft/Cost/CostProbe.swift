import BPF
import CLinux
import KernelPlane
import Telemetry
import WeftABI

/// Measures what Weft costs this node.
struct CostProbe {
    let pins: PinDirectory
    let agent: AdminClient

    /// Lets the kernel measure its programs for so long, and looks before and after.
    func report(over duration: Duration) throws(Failure) -> CostReport {
        guard pins.isInstalled else { throw .noMaps(at: pins.path, error: weft_errno()) }
        do throws(BPFError) {
            let maps = try PinnedMaps(pins)
            let infos = try pins.mapInfos()
            let process = try maps.settings.get(0).map { Int32(bitPattern: $0.agent_pid) }
            // Measuring costs every run of every program some 20 ns: it ends with this descriptor.
            let measuring = try BPFSystem.enableRunTimeStatistics()
            let before = try sample(maps, process)
            pause(duration)
            let after = try sample(maps, process)
            _ = consume measuring
            return CostReport(from: before, to: after, memory: try memory(maps, infos))
        } catch {
            throw Failure(error)
        }
    }

    private func sample(_ maps: PinnedMaps, _ process: Int32?) throws(BPFError) -> CostSample {
        var programs: [String: CostSample.Program] = [:]
        for program in try pins.programs() {
            var sum = programs[program.name] ?? CostSample.Program(runs: 0, nanoseconds: 0)
            sum.runs += program.runCount
            sum.nanoseconds += program.runTimeNanoseconds
            programs[program.name] = sum
        }
        let node = answer
        return CostSample(
            nanoseconds: monotonicNanoseconds(), programs: programs,
            agent: node == nil ? nil : process.flatMap { ThreadTimes.of(process: $0) },
            connections: try maps.traffic.summedCounters().reduce(0) { $0 &+ $1.sum.opened },
            kernelRequests: try maps.requests.summedCounters().reduce(0) { $0 &+ $1.sum.count },
            proxyRequests: node?.counted.proxyRequests)
    }

    private func memory(_ maps: PinnedMaps, _ infos: [(name: String, info: AnyMapInfo)]) throws(BPFError) -> CostMemory
    {
        var series: [(map: String, entries: Int, limit: Int, bytes: Int)] = []
        for (name, entries) in [("traffic", try maps.traffic.count()), ("requests", try maps.requests.count())] {
            guard let info = infos.first(where: { $0.name == name })?.info else { continue }
            let values = (info.valueSize + 7) / 8 * 8 * (info.type.isPerCPU ? BPFSystem.possibleCPUs : 1)
            series.append((name, entries, info.maxEntries, info.keySize + values))
        }
        return CostMemory(
            maps: infos.reduce(0) { $0 + ($1.info.memoryBytes ?? 0) }, series: series, agent: answer?.cost.residentBytes
        )
    }

    /// nil: no agent answers.
    private var answer: NodeAnswer? { agent.isThere ? try? agent.get("/v1/node", as: NodeAnswer.self) : nil }
}

/// What is needed of `GET /v1/node`.
struct NodeAnswer: Decodable {
    var counted: Counted
    var cost: Cost

    struct Counted: Decodable {
        var proxyRequests: UInt64
    }

    struct Cost: Decodable {
        var residentBytes: UInt64?
    }
}
