public import Mesh
internal import Synchronization

/// One worker's view of a cluster: chooses endpoints and learns from what became of the requests.
///
/// Nothing here allocates, locks or counts references after it was made. Times are CLOCK_MONOTONIC in nanoseconds.
public struct ClusterState: ~Copyable {
    private let pinned = Pinned()
    public let shared: SharedReference<ClusterShared>
    /// Milliseconds and bounds of connections, for the pools.
    public let limits: ConnectionLimits
    let algorithm: HTTPBalancer.Algorithm
    let lookup: HashLookup
    let hashSource: HashSource
    let sessions: SharedTableView<Cluster.SessionPlace>
    let outlier: OutlierDetector.Settings?
    let budget: RetryBudget
    /// Nanoseconds.
    let slowStart: UInt64
    let penalizesFailures: Bool
    /// Percent.
    let panicThreshold: UInt32

    var endpoints: FixedArray<EndpointState>
    /// The endpoints in use, nearest tier first; `usableCount` of them.
    var usable: FixedArray<EndpointIndex>
    /// The sum of shares up to and with each of them.
    var shares: FixedArray<UInt64>
    var usableCount = 0
    var tiers = LocalityTiers()
    /// Whether all in use have the same share.
    var isUniform = true
    var emptyReason = Pick.Reason.noEndpoints
    /// Whether health is ignored because too few endpoints are healthy.
    public internal(set) var isInPanic = false
    var turn: UInt64
    var seenEpoch: UInt64 = .max
    /// When shares change by themselves: while an endpoint starts slowly.
    var refreshAt: UInt64 = .max
    var failFast = FailFast()

    /// Whoever keeps this keeps `cluster` too.
    init(_ cluster: Cluster, now: UInt64) {
        let traffic = cluster.config.traffic
        let distances = cluster.config.distances
        shared = cluster.shared.reference
        limits = traffic.limits
        algorithm = traffic.balancer.algorithm
        lookup = HashLookup(cluster.table)
        hashSource = cluster.hashNames.source
        sessions = cluster.sessions.view
        outlier = traffic.outlier.map(OutlierDetector.Settings.init)
        budget = traffic.retryBudget ?? RetryBudget()
        slowStart = UInt64(traffic.balancer.slowStart) * 1_000_000
        penalizesFailures = true
        panicThreshold = min(max(traffic.panicThreshold, traffic.outlier?.minHealthPercent ?? 0), 100)
        endpoints = FixedArray(count: cluster.endpoints.count) {
            EndpointState(
                cluster.endpoints[$0],
                distance: traffic.balancer.prefersLocality && $0 < distances.count ? distances[$0] : 0,
                latency: PeakEWMA(now: now))
        }
        usable = FixedArray(repeating: EndpointIndex(0), count: cluster.endpoints.count)
        shares = FixedArray(repeating: 0, count: cluster.endpoints.count)
        // Workers that all began with the first endpoint would go round together.
        turn = mix64(shared.value.workers.wrappingAdd(1, ordering: .relaxed).newValue)
        refresh(now: now)
    }

    /// Takes over what this worker has learnt about the endpoints that both have.
    mutating func inherit(from old: borrowing ClusterState) {
        turn = old.turn
        failFast = old.failFast
        // Both are in the order of the configuration, which is the order of addresses.
        var other = 0
        for index in endpoints.indices {
            let endpoint = endpoints[index]
            while other < old.endpoints.count,
                (old.endpoints[other].address, old.endpoints[other].port) < (endpoint.address, endpoint.port)
            {
                other += 1
            }
            guard other < old.endpoints.count, old.endpoints[other].identity == endpoint.identity else { continue }
            endpoints[index].latency = old.endpoints[other].latency
            endpoints[index].turn = old.endpoints[other].turn
        }
    }

    /// - Precondition: an index that this generation's `pick` gave.
    public subscript(endpoint: EndpointIndex) -> EndpointState { endpoints[endpoint.index] }

    // MARK: - Results

    /// An attempt begins.
    public func began(_ endpoint: EndpointIndex) {
        endpoints[endpoint.index].shared.value.active.wrappingAdd(1, ordering: .relaxed)
        endpoints[endpoint.index].shared.value.requests.wrappingAdd(1, ordering: .relaxed)
    }

    /// An attempt has ended. Exactly once for each `began`.
    public mutating func finished(_ endpoint: EndpointIndex, _ outcome: EndpointOutcome, now: UInt64) {
        let index = endpoint.index
        endpoints[index].shared.value.active.wrappingSubtract(1, ordering: .relaxed)
        if outcome.isServerError {
            endpoints[index].shared.value.failures.wrappingAdd(1, ordering: .relaxed)
        }
        if penalizesFailures && outcome.penalty > 0 {
            endpoints[index].latency.penalize(outcome.penalty, now: now)
        } else if outcome.failure != .cancelled {
            endpoints[index].latency.observe(outcome.latency, now: now)
        }
        endpoints[index].shared.value.latency.store(
            UInt64(endpoints[index].latency.latency(now: now)), ordering: .relaxed)
        endpoints[index].shared.value.latencyAt.store(now, ordering: .relaxed)
        guard let outlier else { return }
        OutlierDetector(
            settings: outlier, endpoint: endpoints[index].shared, cluster: shared,
            endpoints: UInt32(endpoints.count)
        ).report(outcome, now: now)
    }
}
