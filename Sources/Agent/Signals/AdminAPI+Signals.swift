import BPF
import FoundationEssentials
import KernelPlane
import Mesh
import Telemetry

/// The golden signals in the admin API: latencies in milliseconds, rates per second, null for what is not known.
extension AdminAPI {
    /// One row of `/v1/stat`.
    private struct Row {
        var name: ServiceName
        var route: String?
        /// Endpoints that are workloads and take connections, and all endpoints; nil for what is no more configured.
        var meshed: (ready: Int, total: Int)?
        var totals: SignalTotals
    }

    func stat(_ request: HTTPRequest) -> HTTPResponse {
        answer(request, ["by", "window", "namespace", "name"]) { query, signals in
            let (seconds, rows) =
                switch query.subject {
                case .service: services(query, signals)
                case .workload: workloads(query, signals)
                case .route: routes(query, signals)
                }
            var writer = JSONWriter()
            writer.object { writer in
                writer.add("window", number: seconds, decimals: 3)
                writer.array("rows") { writer in
                    for row in rows { Self.write(row, query.subject, seconds, &writer) }
                }
            }
            return writer
        }
    }

    func graph(_ request: HTTPRequest) -> HTTPResponse {
        answer(request, ["window"]) { query, signals in
            let graph = signals.graph(window: query.window)
            var writer = JSONWriter()
            writer.object { writer in
                writer.add("window", number: graph.seconds, decimals: 3)
                writer.array("nodes") { writer in
                    for (node, totals) in graph.nodes { Self.write(node, totals, graph.seconds, &writer) }
                }
                writer.array("edges") { writer in
                    for edge in graph.edges { Self.write(edge, graph.seconds, &writer) }
                }
            }
            return writer
        }
    }

    func history(_ request: HTTPRequest) -> HTTPResponse {
        answer(request, ["seconds", "namespace", "name"]) { query, signals throws(SignalQuery.Invalid) in
            guard (query.namespace == nil) == (query.name == nil) else {
                throw SignalQuery.Invalid(
                    description: "namespace and name of a service go together; without both it is the node's history")
            }
            let service = query.namespace.flatMap { namespace in
                query.name.map { ServiceName(namespace: namespace, name: $0) }
            }
            let (points, end) = signals.points(of: service, seconds: query.seconds)
            let age = Double(Reactor.now() &- end) / 1e9
            var writer = JSONWriter()
            writer.object { writer in
                writer.add("step", integer: 10)
                writer.add("end", integer: Int(Date.now.timeIntervalSince1970 - age))
                writer.array("points") { writer in
                    for point in points { Self.write(point, &writer) }
                }
            }
            return writer
        }
    }

    private func answer(
        _ request: HTTPRequest, _ parameters: [String],
        _ body: (SignalQuery, GoldenSignals) throws(SignalQuery.Invalid) -> JSONWriter
    ) -> HTTPResponse {
        guard request.method == .get else { return .methodNotAllowed([.get]) }
        let query: SignalQuery
        do throws(SignalQuery.Invalid) {
            query = try SignalQuery(request, parameters)
        } catch {
            return Self.error(400, error.description)
        }
        let signals: GoldenSignals
        do throws(BPFError) {
            signals = try agent.signals.current(agent)
        } catch {
            return Self.error(500, "\(error)")
        }
        do throws(SignalQuery.Invalid) {
            return .full(200, contentType: "application/json", body: try body(query, signals).bytes)
        } catch {
            return Self.error(400, error.description)
        }
    }

    // MARK: Rows

    /// Every service that is configured, and those that were and had traffic.
    private func services(_ query: SignalQuery, _ signals: GoldenSignals) -> (seconds: Double, rows: [Row]) {
        var (seconds, totals) = signals.services(window: query.window)
        var rows: [Row] = []
        let drains = agent.plane.drains
        for service in agent.config.snapshot.services.values where service.name.workloadOfService == nil {
            // As in the labels of metrics.
            let name = ServiceName(
                namespace: service.name.namespace, name: service.hosts.first ?? service.name.name)
            guard query.selects(name) else { continue }
            rows.append(
                Row(
                    name: name, meshed: Self.meshed(service, drains),
                    totals: totals.removeValue(forKey: name) ?? SignalTotals()))
        }
        rows += totals.filter { query.selects($0.key) && $0.value.health != .idle }
            .map { Row(name: $0.key, totals: $0.value) }
        return (seconds, rows.sorted { $0.name < $1.name })
    }

    private static func meshed(_ service: MeshService, _ drains: DrainDeadlines) -> (ready: Int, total: Int) {
        enum Endpoint: Hashable {
            case workload(ObjectName)
            case address(IPAddress)
        }
        var all: Set<Endpoint> = []
        var ready: Set<Endpoint> = []
        for port in service.ports {
            for endpoint in port.endpoints {
                let one = endpoint.workload.map(Endpoint.workload) ?? .address(endpoint.address)
                all.insert(one)
                guard endpoint.workload != nil, !endpoint.isDraining, endpoint.weight > 0 else { continue }
                let isDrained =
                    !drains.isEmpty
                    && [true, false].contains { isIPv4 in
                        let id = Identifier.service(
                            service.name, port: port.port, transport: port.transport, isIPv4: isIPv4)
                        return drains[
                            Identifier.backend(service: id, address: endpoint.address, port: endpoint.port)] != nil
                    }
                if !isDrained { ready.insert(one) }
            }
        }
        return (ready.count, all.count)
    }

    private func workloads(_ query: SignalQuery, _ signals: GoldenSignals) -> (seconds: Double, rows: [Row]) {
        var (seconds, totals) = signals.workloads(window: query.window)
        var rows: [Row] = []
        for workload in agent.config.snapshot.workloads.keys {
            let name = ServiceName(namespace: workload.namespace, name: workload.name)
            guard query.selects(name) else { continue }
            rows.append(Row(name: name, meshed: (1, 1), totals: totals.removeValue(forKey: name) ?? SignalTotals()))
        }
        rows += totals.filter { query.selects($0.key) && $0.value.health != .idle }
            .map { Row(name: $0.key, totals: $0.value) }
        return (seconds, rows.sorted { $0.name < $1.name })
    }

    private func routes(_ query: SignalQuery, _ signals: GoldenSignals) -> (seconds: Double, rows: [Row]) {
        let (seconds, totals) = signals.routes(window: query.window)
        let rows = totals.filter { query.selects($0.key.service) }
            .map { Row(name: $0.key.service, route: $0.key.route, totals: $0.value) }
        return (seconds, rows.sorted { ($0.name, $0.route ?? "") < ($1.name, $1.route ?? "") })
    }

    // MARK: JSON

    private static func write(
        _ row: Row, _ subject: SignalQuery.Subject, _ seconds: Double, _ writer: inout JSONWriter
    ) {
        let totals = row.totals
        writer.object { writer in
            writer.add("kind", subject.rawValue)
            writer.add("namespace", row.name.namespace)
            writer.add("name", row.name.name)
            writer.add("route", row.route)
            writer.key("meshed")
            if let meshed = row.meshed {
                writer.object { writer in
                    writer.add("ready", integer: meshed.ready)
                    writer.add("total", integer: meshed.total)
                }
            } else {
                writer.null()
            }
            writer.add("requests", integer: totals.requests)
            writer.add("rps", number: rate(totals.requests, seconds))
            writer.add("success", number: totals.success, decimals: 6)
            writer.object("latency") { writeLatency(totals, &$0) }
            writer.object("tcp") { writer in
                writer.add("open", integer: max(0, totals.open))
                writer.add("openedPerSecond", number: rate(totals.opened, seconds))
                writer.add(
                    "failedPerSecond", number: rate(totals.connectionsFailed &+ totals.noBackend, seconds))
                writer.add("deniedPerSecond", number: rate(totals.denied, seconds))
                writer.add("sentBytesPerSecond", number: rate(totals.sentBytes, seconds))
                writer.add("receivedBytesPerSecond", number: rate(totals.receivedBytes, seconds))
                writer.add("rtt", number: totals.rtt)
                writer.add("retransmitsPerSecond", number: rate(totals.retransmits, seconds))
                writer.add("windowLimited", number: rate(totals.windowLimited, seconds) / 1000)
            }
            writer.object("lanes") { writer in
                for (lane, share) in totals.lanes { writer.add(lane, number: share) }
            }
            writer.add("health", totals.health.rawValue)
        }
    }

    private static func write(
        _ node: ServiceGraph.Node, _ totals: SignalTotals, _ seconds: Double, _ writer: inout JSONWriter
    ) {
        writer.object { writer in
            writer.add("id", node.id)
            writer.add("kind", node.kind.rawValue)
            writer.add("namespace", node.namespace)
            writer.add("name", node.name)
            writer.add("local", flag: node.isLocal)
            writer.add("rps", number: rate(totals.requests, seconds))
            writer.add("success", number: totals.success, decimals: 6)
            writer.add("p95", number: totals.latency(0.95))
            writer.add("health", totals.health.rawValue)
        }
    }

    private static func write(_ edge: ServiceGraph.Edge, _ seconds: Double, _ writer: inout JSONWriter) {
        let totals = edge.totals
        writer.object { writer in
            writer.add("from", edge.from.id)
            writer.add("to", edge.to.id)
            writer.add("service", edge.service.map { "\($0.namespace)/\($0.name)" })
            writer.array("lanes") { writer in for (lane, _) in totals.lanes { writer.value(lane) } }
            writer.add("requests", integer: totals.requests)
            writer.add("rps", number: rate(totals.requests, seconds))
            writer.add("success", number: totals.success, decimals: 6)
            writeLatency(totals, &writer)
            let hasConnections = edge.hasConnections
            writer.add("openedPerSecond", number: hasConnections ? rate(totals.opened, seconds) : nil)
            writer.add(
                "bytesPerSecond",
                number: hasConnections ? rate(totals.sentBytes &+ totals.receivedBytes, seconds) : nil)
            writer.add("deniedPerSecond", number: rate(totals.denied, seconds))
            writer.add(
                "failedPerSecond",
                number: hasConnections ? rate(totals.connectionsFailed &+ totals.noBackend, seconds) : nil)
            writer.add("open", integer: hasConnections ? max(0, totals.open) : nil)
            writer.add("secured", edge.security)
            writer.add("health", totals.health.rawValue)
        }
    }

    private static func writeLatency(_ totals: SignalTotals, _ writer: inout JSONWriter) {
        writer.add("p50", number: totals.latency(0.5))
        writer.add("p95", number: totals.latency(0.95))
        writer.add("p99", number: totals.latency(0.99))
    }

    private static func write(_ point: SignalPoint?, _ writer: inout JSONWriter) {
        guard let point else { return writer.null() }
        writer.array { writer in
            writer.value(number: Double(point.rate), decimals: 3)
            writer.value(number: point.success.map(Double.init), decimals: 4)
            for latency in [point.p50, point.p95, point.p99] {
                writer.value(number: latency.map(Double.init), decimals: 3)
            }
        }
    }

    private static func rate(_ count: UInt64, _ seconds: Double) -> Double {
        seconds > 0 ? Double(count) / seconds : 0
    }
}
