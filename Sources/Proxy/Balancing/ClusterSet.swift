/// The clusters of one generation of the configuration. What is learnt about endpoints is carried over from the
/// generation before by cluster key, address and port.
public final class ClusterSet: Sendable {
    /// In the order of the configurations that it was made from.
    public let clusters: [Cluster]

    /// - Parameters:
    ///   - configs: no key twice.
    ///   - now: CLOCK_MONOTONIC in nanoseconds, as everywhere in the engine.
    public init(from configs: [ClusterConfig], previous: ClusterSet? = nil, now: UInt64) {
        let known = Dictionary((previous?.clusters ?? []).map { ($0.config.key, $0) }, uniquingKeysWith: { a, _ in a })
        clusters = configs.map { Cluster($0, previous: known[$0.key], now: now) }
    }

    /// What has to be done now and then, once a second or so, by one thread that is not a worker: ends ejections and
    /// compares success rates.
    public func tick(now: UInt64) {
        for cluster in clusters { cluster.sweep(now: now) }
    }
}
