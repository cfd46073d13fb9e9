public import Proxy

/// The metrics of requests that the proxy has carried: from what its workers count by identifier to series by name.
///
/// The difference between two readings of an entry is added to the series that its names give, as with the kernel's
/// counters (`TrafficMetrics`); entries of several workers with the same names are one series. A request between two
/// workloads of this node is reported as both ends would report it, as connections are.
public struct ProxyMetrics {
    /// Requests only.
    struct Requests: SeriesValue {
        var count: UInt64 = 0
        mutating func add(_ other: Self) { count &+= other.count }
    }

    private struct Entry {
        var generation: UInt64
        var counts = RequestCounts()
        var source: Int?
        var destination: Int?
        var route: Int?
        var isRetired = false
    }

    private(set) var requests: SeriesTable<RequestCounts>
    private(set) var routes: SeriesTable<Requests>
    private let cluster: String
    /// By worker, then by place.
    private var entries: [[Int: Entry]] = []
    private var counters = [UInt64](repeating: 0, count: ProxyCounter.allCases.count)
    private var handshakeFailures: [(cause: String, count: UInt64)] = []
    private var violations: [(cause: String, count: UInt64)] = []
    private var names = KnownNames()

    /// - Parameters:
    ///   - limit: sets of labels; each is 67 lines of the exposition. What does not fit counts in an overflow series.
    ///   - expiry: how long a series is shown without a change.
    ///   - cluster: the value of Istio's cluster labels.
    public init(limit: Int = 2000, expiry: Duration = .seconds(600), cluster: String = "Kubernetes") {
        let nanoseconds = UInt64(max(expiry.components.seconds, 0)) * 1_000_000_000
        requests = SeriesTable(limit: limit, expiry: nanoseconds)
        routes = SeriesTable(limit: limit, expiry: nanoseconds)
        self.cluster = cluster
    }

    /// Reads the workers, always the same ones in the same order.
    ///
    /// - Parameters:
    ///   - peers: theirs, in the same order.
    ///   - now: CLOCK_MONOTONIC in nanoseconds.
    public mutating func update(
        _ workers: [WorkerStatistics], peers: [PeerNames] = [], directory: some NameDirectory, now: UInt64
    ) {
        if names.refresh(directory) { forgetLabels() }
        while entries.count < workers.count { entries.append([:]) }
        for (number, worker) in workers.enumerated() {
            for position in 0..<worker.entryCount {
                guard let reading = worker.reading(at: position) else {
                    if let gone = entries[number].removeValue(forKey: position) { release(gone) }
                    continue
                }
                let peer = peers.indices.contains(number) ? peers[number].name(reading.key.peer) : nil
                take(reading, from: peer, at: position, of: number, directory, now)
            }
        }
        for counter in ProxyCounter.allCases {
            counters[counter.rawValue] = workers.reduce(0) { $0 &+ $1.value(counter) }
        }
        handshakeFailures = Self.sums(workers.map(\.handshakeFailures))
        violations = Self.sums(workers.map(\.peerViolations))
        requests.expire(now: now)
        routes.expire(now: now)
        retire(workers)
    }

    private mutating func take(
        _ reading: WorkerStatistics.Reading, from peer: String?, at position: Int, of number: Int,
        _ directory: some NameDirectory, _ now: UInt64
    ) {
        var entry = entries[number].removeValue(forKey: position) ?? Entry(generation: reading.generation)
        defer { entries[number][position] = entry }
        if entry.generation != reading.generation {
            release(entry)
            entry = Entry(generation: reading.generation)
        }
        guard reading.requests != entry.counts else { return }
        let change = reading.requests.since(entry.counts)
        entry.counts = reading.requests
        entry.isRetired = false
        let key = reading.key
        guard key != .overflow else {
            requests.addToOverflow(change)
            routes.addToOverflow(Requests(count: change.count))
            return
        }
        if !key.isInbound {
            Self.add(change, to: &requests, &entry.source, now) {
                names.requestLabels(key, isFromSource: true, principal: peer, directory, cluster: cluster)
            }
        }
        if key.isInbound || names.isLocal(key.destination, directory) {
            Self.add(change, to: &requests, &entry.destination, now) {
                names.requestLabels(key, isFromSource: false, principal: peer, directory, cluster: cluster)
            }
        }
        Self.add(Requests(count: change.count), to: &routes, &entry.route, now) {
            names.routeLabels(key, directory)
        }
    }

    /// The sums over workers, whose causes are the same ones in the same order.
    private static func sums(_ workers: [[(cause: String, count: UInt64)]]) -> [(cause: String, count: UInt64)] {
        guard var sums = workers.first else { return [] }
        for worker in workers.dropFirst() {
            for (index, (_, count)) in worker.enumerated() { sums[index].count &+= count }
        }
        return sums
    }

    private static func add<Value>(
        _ change: Value, to table: inout SeriesTable<Value>, _ handle: inout Int?, _ now: UInt64,
        labels: () -> MetricLabels
    ) {
        if handle == nil {
            let labels = labels()
            if table.hasRoom || table.shows(labels) { handle = table.retain(labels) }
        }
        guard let handle else { return table.addToOverflow(change) }
        table.add(change, to: handle, now: now)
    }

    private mutating func release(_ entry: Entry) {
        if let handle = entry.source { requests.release(handle) }
        if let handle = entry.destination { requests.release(handle) }
        if let handle = entry.route { routes.release(handle) }
    }

    /// Names have changed: every entry finds its series anew when it counts next.
    private mutating func forgetLabels() {
        for number in entries.indices {
            for (position, entry) in entries[number] {
                release(entry)
                entries[number][position]?.source = nil
                entries[number][position]?.destination = nil
                entries[number][position]?.route = nil
            }
        }
    }

    /// Gives the workers back the room of entries that no series shows any more.
    private mutating func retire(_ workers: [WorkerStatistics]) {
        for (number, worker) in workers.enumerated() {
            for (position, entry) in entries[number] where !entry.isRetired {
                let isShown =
                    entry.source.map(requests.isShown) == true || entry.destination.map(requests.isShown) == true
                    || entry.route.map(routes.isShown) == true
                // An entry without a series counts in the overflow and may be in use.
                guard !isShown, entry.source != nil || entry.destination != nil,
                    let reading = worker.reading(at: position), reading.generation == entry.generation,
                    reading.requests == entry.counts
                else { continue }
                worker.retire(reading, at: position)
                entries[number][position]?.isRetired = true
            }
        }
    }
}

extension ProxyMetrics {
    /// Writes every family of requests, and the proxy's own.
    public func write(to writer: inout MetricWriter) {
        func each(_ body: (MetricLabels, RequestCounts) -> Void) {
            for series in requests.shown { body(series.labels, series.value) }
            if let rest = requests.overflow { body(Self.overflow, rest) }
        }
        writer.family("istio_requests_total", .counter, help: "Requests.")
        each { writer.sample($0, $1.count) }
        writer.family(
            "istio_request_duration_milliseconds", .histogram, help: "From a request's first byte to its answer's last."
        )
        each { writer.sample($0, milliseconds: $1.duration) }
        writer.family("istio_request_bytes", .histogram, help: "Sizes of requests' bodies.")
        each { writer.sample($0, bytes: $1.requestBytes) }
        writer.family("istio_response_bytes", .histogram, help: "Sizes of responses' bodies.")
        each { writer.sample($0, bytes: $1.responseBytes) }

        writer.family("weft_route_requests_total", .counter, help: "Requests by the rule that decided about them.")
        for series in routes.shown { writer.sample(series.labels, series.value.count) }
        if let rest = routes.overflow {
            writer.sample(
                MetricLabels(["destination_service", "route", "response_code"].map { ($0, Self.overflowName) }),
                rest.count)
        }
        for counter in ProxyCounter.allCases {
            let (name, help) = counter.metric
            let value = counters[counter.rawValue]
            if counter.isGauge {
                writer.gauge("weft_proxy_\(name)", help: help, Double(Int64(bitPattern: value)))
            } else {
                writer.counter("weft_proxy_\(name)", help: help, value)
            }
        }
        writeTunnels(&writer)
    }

    private func writeTunnels(_ writer: inout MetricWriter) {
        writer.family(
            "weft_tunnel_handshake_failures_total", .counter,
            help: "Connections between agents that could not be made, by cause.")
        for (cause, count) in handshakeFailures { writer.sample(MetricLabels([("cause", cause)]), count) }
        writer.family(
            "weft_tunnel_violations_total", .counter,
            help: "Other agents whose connections were ended for what they did with HTTP/2, by cause.")
        for (cause, count) in violations { writer.sample(MetricLabels([("cause", cause)]), count) }
    }

    private static let overflowName = "overflow"

    private static let overflow = KnownNames.istioLabels(
        reporter: overflowName, source: nil, destination: nil, service: nil, cluster: overflowName,
        transport: overflowName, code: overflowName, flags: overflowName, security: overflowName, lane: "proxy",
        missing: overflowName)
}

extension RequestCounts: SeriesValue {}
