import Synchronization

/// The SPIFFE ids of the peers that a worker has met, by the numbers that its records have. The worker adds one when it
/// meets it the first time; any thread reads.
public final class PeerNames: Sendable {
    private let names = Mutex<[String]>([])

    public init() {}

    /// Adds a SPIFFE id, whose number is by one higher than that of the one before; the first is 1.
    public func add(_ spiffeID: String) { names.withLock { $0.append(spiffeID) } }

    /// nil: 0 (no peer), or a number that was not given.
    public func name(_ number: UInt32) -> String? {
        names.withLock { number > 0 && number <= $0.count ? $0[Int(number) - 1] : nil }
    }
}
