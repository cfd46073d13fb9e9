public import WeftABI

/// What became of the connections of one destination that could be accelerated, and what it was worth.
///
/// All numbers are sums since the kernel's maps were made.
public struct AccelerationSummary: Sendable {
    /// Who is connected to, and by which lane.
    public struct Subject: Hashable, Comparable, Sendable {
        /// `namespace/name:port` of a service, `namespace/name` of a workload that is connected to by its own address.
        public var name: String
        /// Its identifier; 0 for a workload.
        public var service: UInt64
        /// `accelerated`, or `proxy` for the connections between workloads and the agent.
        public var lane: String

        public init(name: String, service: UInt64, lane: String) {
            self.name = name
            self.service = service
            self.lane = lane
        }

        public static func < (a: Subject, b: Subject) -> Bool {
            (a.name, a.lane, a.service) < (b.name, b.lane, b.service)
        }
    }

    /// Requests and how long they took, request's first byte to response's last as the kernel has seen them.
    public struct Latency: Sendable, Equatable {
        public var requests: UInt64 = 0
        public var sumMicroseconds: UInt64 = 0

        public init() {}

        /// Microseconds; nil without requests.
        public var mean: Double? { requests > 0 ? Double(sumMicroseconds) / Double(requests) : nil }

        /// What has been added since `earlier`; everything if the counters began anew.
        public static func - (later: Latency, earlier: Latency) -> Latency {
            guard later.requests >= earlier.requests, later.sumMicroseconds >= earlier.sumMicroseconds else {
                return later
            }
            var difference = Latency()
            difference.requests = later.requests - earlier.requests
            difference.sumMicroseconds = later.sumMicroseconds - earlier.sumMicroseconds
            return difference
        }
    }

    public init() {}

    /// Connections that may be redirected.
    public var connections: UInt64 = 0
    /// Those that may not, by the reason's name (see `reasons`).
    public var slowConnections: [String: UInt64] = [:]
    public var redirectedSends: UInt64 = 0
    /// Sends on accelerated connections that went by TCP, by the reason's name.
    public var slowSends: [String: UInt64] = [:]
    public var redirectedBytes: UInt64 = 0
    /// All that accelerated connections have carried; nil where that is not known by destination.
    public var bytes: UInt64?
    public var demotions: UInt64 = 0
    public var promotions: UInt64 = 0
    /// On accelerated connections, and on those between the same workloads that stayed with TCP.
    public var accelerated = Latency()
    public var control = Latency()

    /// Names of enum weft_slow_reason, by number.
    public static let reasons = [
        "none", "paused", "no_peer", "not_accepted", "slow_reader", "unread", "blocking", "socket_option", "memory",
        "refused", "no_place", "control", "no_gain",
    ]

    /// Of the connections that could be accelerated, the share that was; nil without one.
    public var connectionShare: Double? {
        let all = connections &+ slowConnections.values.reduce(0, &+)
        return all > 0 ? Double(connections) / Double(all) : nil
    }

    /// Of the bytes on accelerated connections, the share that was redirected; nil if that is not known.
    public var byteShare: Double? { bytes.flatMap { $0 > 0 ? min(1, Double(redirectedBytes) / Double($0)) : nil } }

    /// By how much of its time a request is shorter on an accelerated connection; negative if it is longer, nil when either
    /// side has fewer requests than `enough`.
    public func gain(enough: UInt64) -> Double? {
        guard accelerated.requests >= enough, control.requests >= enough, let fast = accelerated.mean,
            let slow = control.mean, slow > 0
        else { return nil }
        return 1 - fast / slow
    }

    /// Sums what the kernel has counted, by who is connected to.
    ///
    /// - Parameters:
    ///   - acceleration: the map of that name, summed over the CPUs; `traffic` and `requests` likewise.
    public static func summaries(
        acceleration: [(key: weft_acceleration_key, sum: weft_acceleration)],
        traffic: [(key: weft_traffic_key, sum: weft_traffic)],
        requests: [(key: weft_requests_key, sum: weft_requests)], directory: some NameDirectory
    ) -> [Subject: AccelerationSummary] {
        func subject(service: UInt64, destination: UInt64, lane: UInt8) -> Subject {
            let name =
                directory.service(service)?.fullName ?? directory.workload(destination)?.fullName ?? Terms.unknown
            return Subject(name: name, service: service, lane: Terms.lane(lane))
        }
        var summaries: [Subject: AccelerationSummary] = [:]
        for (key, value) in acceleration {
            summaries[
                subject(service: key.service, destination: key.destination, lane: key.lane), default: .init()
            ].add(value)
        }
        let accelerated = UInt8(truncatingIfNeeded: WEFT_LANE_ACCELERATED.rawValue)
        let kernel = UInt8(truncatingIfNeeded: WEFT_LANE_KERNEL.rawValue)
        for (key, value) in traffic
        where key.lane == accelerated && UInt32(key.reporter) != WEFT_REPORTER_DESTINATION.rawValue {
            let subject = subject(service: key.service, destination: key.destination, lane: accelerated)
            guard var summary = summaries[subject] else { continue }
            summary.bytes = (summary.bytes ?? 0) &+ value.sent_bytes &+ value.received_bytes
            summaries[subject] = summary
        }
        // The control group is between the same workloads: what others connect by TCP says nothing.
        let pairs = Set(acceleration.lazy.filter { $0.key.lane == accelerated }.map { Pair($0.key) })
        for (key, value) in requests
        where UInt32(key.outcome) == WEFT_REQUEST_COMPLETE.rawValue
            && UInt32(key.reporter) != WEFT_REPORTER_DESTINATION.rawValue
            && (key.lane == accelerated || (key.lane == kernel && pairs.contains(Pair(key))))
        {
            let subject = subject(service: key.service, destination: key.destination, lane: accelerated)
            let field: WritableKeyPath<AccelerationSummary, Latency> =
                key.lane == accelerated ? \.accelerated : \.control
            summaries[subject]?[keyPath: field].requests &+= value.count
            summaries[subject]?[keyPath: field].sumMicroseconds &+= value.duration.sum
        }
        return summaries
    }

    private struct Pair: Hashable {
        var source: UInt64
        var service: UInt64
        var destination: UInt64

        init(_ key: weft_acceleration_key) {
            (source, service, destination) = (key.source, key.service, key.destination)
        }

        init(_ key: weft_requests_key) {
            (source, service, destination) = (key.source, key.service, key.destination)
        }
    }

    private mutating func add(_ value: weft_acceleration) {
        connections &+= value.connections
        redirectedSends &+= value.redirected.sends
        redirectedBytes &+= value.redirected.bytes
        demotions &+= value.redirected.demotions
        promotions &+= value.redirected.promotions
        Self.add(value.slowConnectionCounts, to: &slowConnections)
        Self.add(value.slowSendCounts, to: &slowSends)
    }

    private static func add(_ counts: [UInt64], to sums: inout [String: UInt64]) {
        for (reason, count) in zip(reasons, counts) where count > 0 { sums[reason, default: 0] &+= count }
    }
}

extension weft_acceleration {
    /// By enum weft_slow_reason.
    fileprivate var slowConnectionCounts: [UInt64] {
        unsafe withUnsafeBytes(of: slow_connections) { unsafe Array($0.bindMemory(to: UInt64.self)) }
    }

    fileprivate var slowSendCounts: [UInt64] {
        unsafe withUnsafeBytes(of: slow_sends) { unsafe Array($0.bindMemory(to: UInt64.self)) }
    }
}
