import BPF
import CLinux
import KernelPlane
import Telemetry
import WeftABI

/// Golden signals from the pinned maps alone: sums since the maps were made, of what the kernel has counted.
struct PinnedSignals {
    private var signals = GoldenSignals(takesPast: true)

    init(_ directory: PinDirectory) throws(Failure) {
        guard directory.isInstalled else { throw .noMaps(at: directory.path, error: weft_errno()) }
        do throws(BPFError) {
            let maps = try PinnedMaps(directory)
            let names = PinnedNames(
                names: try maps.names.entries(), workloads: try maps.workloads.entries().map { ($0.key, $0.value) })
            signals.update(
                traffic: try maps.traffic.summedCounters(), requests: try maps.requests.summedCounters(), workers: [],
                directory: names, now: monotonicNanoseconds())
        } catch {
            throw Failure(error)
        }
    }

    func stat(_ request: StatRequest) -> StatAnswer {
        let all = GoldenSignals.longestWindow
        let totals =
            request.subject == .service
            ? signals.services(window: all).totals : signals.workloads(window: all).totals
        let rows = totals.filter { request.selects($0.key) }.sorted { $0.key < $1.key }
        return StatAnswer(
            window: nil, rows: rows.map { StatAnswer.Row(kind: request.subject.rawValue, $0.key, $0.value) })
    }

    var graph: GraphAnswer { GraphAnswer(signals.graph(window: GoldenSignals.longestWindow)) }
}

/// The names that the maps have.
struct PinnedNames: NameDirectory {
    let generation: UInt64 = 1
    private var workloads: [UInt64: WorkloadLabels] = [:]
    private var services: [UInt64: ServiceLabels] = [:]

    init(names: [(key: UInt64, value: weft_name)], workloads entries: [(UInt64, weft_workload)]) {
        let local = Set(entries.filter { UInt32($0.1.flags) & WEFT_WORKLOAD_LOCAL.rawValue != 0 }.map(\.0))
        for (id, name) in names {
            let parts = name.string.split(separator: "/", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            switch UInt32(name.kind) {
            case WEFT_NAME_WORKLOAD.rawValue:
                var labels = WorkloadLabels(workload: parts[1], namespace: parts[0], principal: "")
                labels.isLocal = local.contains(id)
                workloads[id] = labels
            case WEFT_NAME_SERVICE.rawValue:
                // `namespace/name:port`. One that stands for a workload's own address has no name.
                guard let colon = parts[1].lastIndex(of: ":"), !parts[1].hasPrefix("Workload/") else { continue }
                let service = parts[1][..<colon].split(separator: "/").last.map(String.init) ?? parts[1]
                services[id] = ServiceLabels(
                    host: "", name: service, namespace: parts[0],
                    port: UInt16(parts[1][parts[1].index(after: colon)...]) ?? 0)
            default: break
            }
        }
    }

    func workload(_ id: UInt64) -> WorkloadLabels? { workloads[id] }
    func service(_ id: UInt64) -> ServiceLabels? { services[id] }
    func rule(_ id: UInt64) -> String? { nil }
}

extension StatRequest {
    fileprivate func selects(_ candidate: ServiceName) -> Bool {
        let parts = name?.split(separator: "/", maxSplits: 1).map(String.init) ?? []
        let wanted = namespace ?? (parts.count == 2 ? parts.first : nil)
        return (wanted ?? candidate.namespace) == candidate.namespace
            && (parts.last ?? candidate.name) == candidate.name
    }
}

extension StatAnswer.Row {
    fileprivate init(kind: String, _ name: ServiceName, _ totals: SignalTotals) {
        self.init(
            kind: kind, namespace: name.namespace, name: name.name, requests: totals.requests, success: totals.success,
            latency: .init(p50: totals.latency(0.5), p95: totals.latency(0.95), p99: totals.latency(0.99)),
            tcp: .init(open: max(0, totals.open), rtt: totals.rtt),
            lanes: Dictionary(totals.lanes.map { ($0.lane, $0.share) }) { first, _ in first },
            health: totals.health.rawValue)
    }
}

extension GraphAnswer {
    fileprivate init(_ graph: ServiceGraph) {
        self.init(
            window: nil,
            nodes: graph.nodes.map { node, totals in
                Node(
                    id: node.id, kind: node.kind.rawValue, namespace: node.namespace, name: node.name,
                    local: node.isLocal, success: totals.success, p95: totals.latency(0.95),
                    health: totals.health.rawValue)
            },
            edges: graph.edges.map { edge in
                let totals = edge.totals
                return Edge(
                    from: edge.from.id, to: edge.to.id, service: edge.service.map { "\($0.namespace)/\($0.name)" },
                    lanes: totals.lanes.map(\.lane), requests: totals.requests, success: totals.success,
                    p50: totals.latency(0.5), p95: totals.latency(0.95), p99: totals.latency(0.99),
                    open: edge.hasConnections ? max(0, totals.open) : nil, secured: edge.security,
                    health: totals.health.rawValue)
            })
    }
}
