public import Proxy
public import WeftABI

/// The golden signals of the last minutes: requests, success, latency and connections of every pair of workloads, from
/// whichever lane.
///
/// Each reading of the counters adds what has changed since the one before, for the series that have; any window is the
/// sum of the changes in it. What is older is kept in longer intervals: 5 seconds after 15 seconds, 30 after two minutes.
/// A change takes 64 bytes and 8 for each bucket of its latencies; of more than `limit` of them the oldest are dropped,
/// and windows become shorter and say so.
///
/// Each request and connection counts once: one within the node at its client's end, one that the proxy carries by the
/// worker that did. What found no room in the kernel's maps or the workers' tables has no name, and is not here.
public struct GoldenSignals: Sendable {
    /// Nanoseconds that are kept.
    public static let longestWindow: UInt64 = 900_000_000_000

    private var reader: SignalReader
    private var intervals: [SignalChanges] = []
    private var size = 0
    private let limit: Int
    private var history: SignalHistory
    private var names = SignalNames()
    private var firstRead: UInt64?
    /// When the counters were last read; 0 before. CLOCK_MONOTONIC, in nanoseconds.
    public private(set) var lastRead: UInt64 = 0
    /// What has been counted since the first reading.
    public private(set) var counted = Counted()

    public struct Counted: Sendable, Equatable {
        public var connections: UInt64 = 0
        /// Requests that the kernel's programs have read, and that the proxy has carried.
        public var kernelRequests: UInt64 = 0
        public var proxyRequests: UInt64 = 0
    }

    /// - Parameters:
    ///   - limit: changes that are kept.
    ///   - services: services of which there is an hour's history.
    ///   - takesPast: whether what was counted before the first reading is a change: then the first reading alone says
    ///     what happened since the counters were made, and no window has a length.
    public init(limit: Int = 250_000, services: Int = 1024, takesPast: Bool = false) {
        reader = SignalReader(takesPast: takesPast)
        self.limit = max(1, limit)
        history = SignalHistory(limit: services)
    }

    /// Takes a reading of all counters: the first one is what later ones are compared with.
    ///
    /// - Parameters:
    ///   - traffic: the kernel's map, summed over the CPUs.
    ///   - requests: the same.
    ///   - workers: always the same ones in the same order.
    ///   - now: CLOCK_MONOTONIC in nanoseconds.
    /// - Returns: whether anything has changed.
    @discardableResult
    public mutating func update(
        traffic: some Sequence<(key: weft_traffic_key, sum: weft_traffic)>,
        requests: some Sequence<(key: weft_requests_key, sum: weft_requests)>, workers: [WorkerStatistics],
        directory: some NameDirectory, now: UInt64
    ) -> Bool {
        var changes = SignalChanges(from: firstRead == nil ? now : lastRead, to: now)
        reader.read(traffic: traffic, requests: requests, workers: workers, into: &changes)
        if firstRead == nil { firstRead = now }
        lastRead = now
        names.refresh(directory, reader.series)
        history.advance(from: changes.from, to: now)
        for change in changes.requests {
            guard let key = reader.series[change.series]?.key else { continue }
            let isCounted = !isCountedByClient(key)
            history.add(
                change, changes.buckets(of: change), to: names.service(key.service)?.name, countsForNode: isCounted)
            guard isCounted else { continue }
            if key.isProxied {
                counted.proxyRequests &+= change.count
            } else {
                counted.kernelRequests &+= change.count
            }
        }
        for change in changes.connections {
            guard let key = reader.series[change.series]?.key, !isCountedByClient(key) else { continue }
            counted.connections &+= UInt64(change.opened)
        }
        compact(now)
        guard !changes.isEmpty else { return false }
        size += changes.size
        intervals.append(changes)
        return true
    }

    /// A local client counts its connections itself, also where it does not know who serves them: what the server's end
    /// says of them is the same thing again.
    private func isCountedByClient(_ key: SignalKey) -> Bool {
        key.isServersOwn && names.workload(key.source)?.isLocal == true
    }

    // MARK: Forgetting

    private static func grain(age: UInt64) -> UInt64 {
        switch age {
        case ..<15_000_000_000: 0
        case ..<120_000_000_000: 5_000_000_000
        default: 30_000_000_000
        }
    }

    private mutating func compact(_ now: UInt64) {
        let oldest = now > Self.longestWindow ? now - Self.longestWindow : 0
        let gone = intervals.prefix { $0.to <= oldest }.count
        intervals.removeFirst(gone)
        var kept: [SignalChanges] = []
        kept.reserveCapacity(intervals.count + 1)
        for interval in intervals {
            if let last = kept.last, interval.to - last.from <= Self.grain(age: now - interval.to) {
                kept[kept.count - 1] = .merged(last, interval)
            } else {
                kept.append(interval)
            }
        }
        size = kept.reduce(0) { $0 + $1.size }
        let excess = kept.prefix { interval in
            guard size > limit else { return false }
            size -= interval.size
            return true
        }.count
        if excess > 0 { firstRead = kept[excess - 1].to }
        intervals = Array(kept.dropFirst(excess))
        if gone + excess > 0 { reader.expire(before: intervals.first?.from ?? oldest) }
    }

    // MARK: Windows

    /// The sums of what happened in the last `window` nanoseconds before the last reading.
    ///
    /// - Parameter group: what a series counts for; nil: nothing.
    /// - Returns: the seconds that the sums stand for, and the sums by group; also of groups in which nothing happened but
    ///   that have connections open.
    func totals<Group: Hashable>(
        window: UInt64, _ group: (SignalKey) -> Group?
    ) -> (seconds: Double, totals: [Group: SignalTotals]) {
        let begin = lastRead > window ? lastRead - window : 0
        var start = max(begin, firstRead ?? lastRead)
        var places: [Int] = []
        var groups: [Group: Int] = [:]
        var totals: [SignalTotals] = []
        for series in reader.series.all {
            guard let series, let group = group(series.key) else {
                places.append(-1)
                continue
            }
            let place = groups[group] ?? totals.count
            if place == totals.count {
                groups[group] = place
                totals.append(SignalTotals())
            }
            totals[place].open += series.open
            places.append(place)
        }
        for interval in intervals where interval.to > begin {
            start = min(start, interval.from)
            for change in interval.requests where places[Int(change.series)] >= 0 {
                guard let key = reader.series[change.series]?.key else { continue }
                totals[places[Int(change.series)]].add(change, interval.buckets(of: change), key)
            }
            for change in interval.connections where places[Int(change.series)] >= 0 {
                guard let key = reader.series[change.series]?.key else { continue }
                totals[places[Int(change.series)]].add(change, key)
            }
        }
        return (Double(lastRead - start) / 1e9, groups.mapValues { totals[$0] })
    }

    /// What clients have asked of services, over all of their ports and address families: requests and connections of this
    /// node's clients, and from outside those of which the service is known.
    public func services(window: UInt64) -> (seconds: Double, totals: [ServiceName: SignalTotals]) {
        totals(window: window) { names.service($0.service)?.name }
    }

    /// What workloads have served, by `namespace/name`: those of this node wherever it came from, others as this node's
    /// clients have seen them.
    public func workloads(window: UInt64) -> (seconds: Double, totals: [ServiceName: SignalTotals]) {
        totals(window: window) { names.workload($0.destination)?.name }
    }

    /// Requests by the rule that decided about them, or by the kernel's route template.
    public func routes(window: UInt64) -> (seconds: Double, totals: [RouteName: SignalTotals]) {
        let (seconds, totals) = totals(window: window) { key -> RouteName? in
            names.service(key.service).map { RouteName(service: $0.name, route: names.route(key)) }
        }
        return (seconds, totals.filter { $0.value.requests > 0 })
    }

    /// Who has talked to whom.
    public func graph(window: UInt64) -> ServiceGraph {
        let (seconds, totals) = totals(window: window) { key -> ServiceGraph.Pair? in
            isCountedByClient(key) ? nil : ServiceGraph.Pair(key, names)
        }
        return ServiceGraph(seconds: seconds, totals)
    }

    /// Points of ten seconds that are over, oldest first, nil where nobody has looked; and when the last one ended, on
    /// CLOCK_MONOTONIC in nanoseconds.
    ///
    /// - Parameter service: nil: the node.
    public func points(
        of service: ServiceName?, seconds: Int
    ) -> (points: [SignalPoint?], end: UInt64) {
        history.points(of: service, count: (max(0, seconds) + 9) / 10, now: lastRead)
    }

    /// Connections that are open now, by lane.
    public var openConnections: [(lane: String, count: Int64)] {
        var open = InlineArray<6, Int64>(repeating: 0)
        for case let one? in reader.series.all where Int(one.key.lane) < open.count && !isCountedByClient(one.key) {
            open[Int(one.key.lane)] += one.open
        }
        var lanes: [(lane: String, count: Int64)] = []
        for lane in open.indices { lanes.append((Terms.lane(UInt8(lane)), max(0, open[lane]))) }
        return lanes
    }

    /// Series and changes that are kept, for what they cost.
    public var memory: (series: Int, changes: Int) { (reader.series.count, size) }
}

/// A rule of HTTP requests to a service.
public struct RouteName: Hashable, Sendable {
    public var service: ServiceName
    /// nil: no rule has decided.
    public var route: String?
}
