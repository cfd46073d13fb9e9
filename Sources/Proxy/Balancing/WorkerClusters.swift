/// The clusters of one generation as one worker sees them, in the order of the `ClusterSet`.
public struct WorkerClusters: ~Copyable {
    /// Kept alive here, because the states point into it.
    public let set: ClusterSet
    private var states: FixedArray<ClusterState>

    public init(_ set: ClusterSet, now: UInt64) {
        self.set = set
        let clusters = set.clusters
        states = FixedArray(count: clusters.count) { ClusterState(clusters[$0], now: now) }
    }

    /// The next generation, with what this worker has learnt. Requests that began with this generation end with it.
    public func successor(for set: ClusterSet, now: UInt64) -> WorkerClusters {
        var next = WorkerClusters(set, now: now)
        let places = Dictionary(
            self.set.clusters.enumerated().map { ($1.config.key, $0) }, uniquingKeysWith: { first, _ in first })
        for (index, cluster) in set.clusters.enumerated() {
            if let place = places[cluster.config.key] { next.states[index].inherit(from: states[place]) }
        }
        return next
    }

    public var count: Int { states.count }

    public subscript(index: Int) -> ClusterState {
        // Addresses, not coroutines: those allocate without optimisation.
        unsafeAddress { unsafe UnsafePointer(states.address(index)) }
        unsafeMutableAddress { unsafe states.address(index) }
    }
}
