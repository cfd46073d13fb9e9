/// Whether requests wait for an endpoint: they do until the cluster has been without any for three seconds, and then fail at
/// once until it has one again, as in Linkerd's queue.
public struct FailFast: BitwiseCopyable, Sendable {
    public enum Verdict: BitwiseCopyable, Sendable, Equatable {
        /// Ask again now and then; at this time (nanoseconds) at the latest it is over.
        case wait(until: UInt64)
        case fail
    }

    public static let patience: UInt64 = 3_000_000_000

    /// `.max`: it has endpoints.
    private var emptySince = UInt64.max

    init() {}

    @inline(__always)
    mutating func found() { emptySince = .max }

    mutating func missed(now: UInt64) { emptySince = min(emptySince, now) }

    func verdict(now: UInt64) -> Verdict {
        guard emptySince != .max else { return .wait(until: now + Self.patience) }
        let end = emptySince + Self.patience
        return now < end ? .wait(until: end) : .fail
    }
}
