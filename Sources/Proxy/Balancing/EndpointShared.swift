public import Synchronization

/// What all workers know of one endpoint. It outlives generations of the configuration, as long as its cluster has an
/// endpoint of this address and port.
public struct EndpointShared: ~Copyable, Sendable {
    public struct Flags: OptionSet, BitwiseCopyable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// By outlier detection.
        public static let ejected = Self(rawValue: 1 << 0)
        /// By active health checks.
        public static let failedCheck = Self(rawValue: 1 << 1)
        /// The first check has not ended; `failedCheck` is set with it.
        public static let awaitsCheck = Self(rawValue: 1 << 2)
        /// Ordered at run time: takes no new requests but those of its sessions.
        public static let draining = Self(rawValue: 1 << 3)
        /// No longer in the configuration.
        public static let removed = Self(rawValue: 1 << 4)
        /// Somebody is about to eject it.
        static let claimed = Self(rawValue: 1 << 5)

        public static let unhealthy: Self = [.ejected, .failedCheck, .removed]
    }

    private let bits: Atomic<UInt32>
    /// Requests in progress.
    public let active = Atomic<Int>(0)
    public let requests = Atomic<UInt64>(0)
    /// 5xx answers and attempts without an answer.
    public let failures = Atomic<UInt64>(0)
    /// Peak EWMA in nanoseconds as the worker that used it last knows it, for people; and when that was. 0: never used.
    let latency = Atomic<UInt64>(0)
    let latencyAt = Atomic<UInt64>(0)
    /// When it became able to take requests, nanoseconds: what slow start counts from.
    public let readySince: Atomic<UInt64>

    // Outlier detection.
    let consecutive5xx = Atomic<UInt32>(0)
    let consecutiveGatewayErrors = Atomic<UInt32>(0)
    let consecutiveLocalFailures = Atomic<UInt32>(0)
    /// Of the current interval: all in the upper half, successes in the lower.
    let intervalResults = Atomic<UInt64>(0)
    let intervalLocalResults = Atomic<UInt64>(0)
    public let ejectedAt = Atomic<UInt64>(0)
    /// The ejection time in units of the base time.
    public let ejectionMultiplier = Atomic<UInt32>(0)
    public let ejections = Atomic<UInt64>(0)

    init(flags: Flags, now: UInt64) {
        bits = Atomic(flags.rawValue)
        readySince = Atomic(now)
    }

    /// What P2C takes a request to need here now, nanoseconds; nil before the first one.
    public var averageLatency: UInt64? {
        let value = latency.load(ordering: .relaxed)
        guard value > 0 else { return nil }
        return PeakEWMA.decayed(value, since: latencyAt.load(ordering: .relaxed), now: MonotonicClock.now())
    }

    public var flags: Flags { Flags(rawValue: bits.load(ordering: .acquiring)) }

    /// - Returns: what was set before.
    @discardableResult
    func set(_ flags: Flags) -> Flags {
        Flags(rawValue: bits.bitwiseOr(flags.rawValue, ordering: .acquiringAndReleasing).oldValue)
    }

    /// - Returns: what was set before.
    @discardableResult
    func clear(_ flags: Flags) -> Flags {
        Flags(rawValue: bits.bitwiseAnd(~flags.rawValue, ordering: .acquiringAndReleasing).oldValue)
    }
}
