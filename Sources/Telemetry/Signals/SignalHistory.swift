import Proxy

/// An hour of points, each of ten seconds, for every service that had requests in it and for the node: about 9 KB each.
/// Of more services than `limit`, those are kept that had requests last.
struct SignalHistory: Sendable {
    /// Nanoseconds.
    static let step: UInt64 = 10_000_000_000
    static let length = 360

    private struct Ring: Sendable {
        var points = [SignalPoint](repeating: SignalPoint(), count: SignalHistory.length)
        /// Which step is in each place.
        var steps = [UInt64](repeating: 0, count: SignalHistory.length)
        var last: UInt64 = 0
    }

    private let limit: Int
    private var node = Ring()
    private var services: [ServiceName: Ring] = [:]
    /// Of the step that is not over yet.
    private var sums: [ServiceName: SignalTotals] = [:]
    private var nodeSum = SignalTotals()
    private var current: UInt64 = 0
    private var first: UInt64?
    /// Nanoseconds of the step that have been read.
    private var covered: UInt64 = 0

    init(limit: Int = 1024) { self.limit = max(1, limit) }

    /// Begins the step of `to`, if it is another one than before, and counts the time that a reading stands for.
    mutating func advance(from: UInt64, to: UInt64) {
        let step = to / Self.step
        if step != current { finish() }
        if first == nil { first = step }
        current = step
        covered &+= to &- from
    }

    mutating func add(
        _ change: SignalChanges.Requests, _ buckets: ArraySlice<SignalChanges.Bucket>, to service: ServiceName?,
        countsForNode: Bool
    ) {
        if let service { sums[service, default: SignalTotals()].add(change, buckets) }
        if countsForNode { nodeSum.add(change, buckets) }
    }

    private mutating func finish() {
        defer {
            sums.removeAll(keepingCapacity: true)
            nodeSum = SignalTotals()
            covered = 0
        }
        guard covered > 0 else { return }
        if nodeSum.requests > 0 { Self.put(point(nodeSum), at: current, into: &node) }
        for (service, sum) in sums {
            if services[service] == nil { makeRoom() }
            Self.put(point(sum), at: current, into: &services[service, default: Ring()])
        }
    }

    private mutating func makeRoom() {
        guard services.count >= limit, let oldest = services.min(by: { $0.value.last < $1.value.last }) else { return }
        services[oldest.key] = nil
    }

    private func point(_ sum: SignalTotals) -> SignalPoint {
        func value(_ fraction: Double) -> Float? { sum.latency(fraction).map { Float($0) } }
        return SignalPoint(
            rate: Float(Double(sum.requests) * 1e9 / Double(covered)), success: sum.success.map { Float($0) },
            p50: value(0.5), p95: value(0.95), p99: value(0.99))
    }

    private static func put(_ point: SignalPoint, at step: UInt64, into ring: inout Ring) {
        ring.points[Int(step % UInt64(length))] = point
        ring.steps[Int(step % UInt64(length))] = step
        ring.last = step
    }

    /// The steps that are over, the newest last.
    ///
    /// - Parameter service: nil: the node.
    /// - Returns: points, nil where nobody looked, and the end of the last one on CLOCK_MONOTONIC.
    func points(of service: ServiceName?, count: Int, now: UInt64) -> (points: [SignalPoint?], end: UInt64) {
        let end = now / Self.step
        let count = min(max(0, count), Self.length)
        let ring = service.map { services[$0] } ?? node
        var points: [SignalPoint?] = []
        for back in stride(from: UInt64(count), to: 0, by: -1) {
            guard let first, end >= back, end - back >= first else {
                points.append(nil)
                continue
            }
            let step = end - back
            let place = Int(step % UInt64(Self.length))
            if let ring, ring.steps[place] == step, ring.last > 0 {
                points.append(ring.points[place])
            } else {
                points.append(SignalPoint())
            }
        }
        return (points, end * Self.step)
    }
}

/// Ten seconds of a service, or of the node.
public struct SignalPoint: Sendable, Equatable {
    /// Requests in a second.
    public var rate: Float = 0
    /// Part of the requests that were answered well; nil: no request counts for or against it.
    public var success: Float?
    /// Milliseconds; nil without a request.
    public var p50: Float?
    public var p95: Float?
    public var p99: Float?
}

/// Namespace and name of a service, over all of its ports and address families.
public struct ServiceName: Hashable, Sendable, Comparable {
    public var namespace: String
    public var name: String

    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    public static func < (a: Self, b: Self) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
}
