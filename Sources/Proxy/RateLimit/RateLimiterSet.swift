public import Mesh
internal import Synchronization

/// A rate limit with the place that it is written in: what its counters are known by from one configuration to the next
/// and, for quotas, from one start to the next.
public struct RateLimitConfig: Sendable, Equatable {
    /// The service's name and port, and the rule if it is a rule's.
    public var scope: String
    public var limit: RateLimit

    public init(scope: String, limit: RateLimit) {
        self.scope = scope
        self.limit = limit
    }

    /// Equal for limits that count the same thing. How much they allow is not part of it.
    var identity: UInt64 {
        var text = "\(scope)\n\(limit.name)\n"
        switch limit.key {
        case .all: text += "all"
        case .identity: text += "identity"
        case .header(let name): text += "header \(name)"
        case .clientAddress: text += "address"
        }
        switch limit.window {
        case .bucket(let milliseconds): text += " \(limit.requests) \(limit.burst) \(milliseconds)"
        case .day: text += " day"
        case .month: text += " month"
        }
        return unsafe xxHash64(Array(text.utf8).span.bytes)
    }
}

/// The rate limits of one generation of the configuration. Counters of limits that did not change are carried over.
public final class RateLimiterSet: Sendable {
    /// In the order of the configurations that it was made from.
    public let limiters: [RateLimiter]
    /// What keys are hashed with: a secret, so that nobody can make keys that share a bucket with somebody else's.
    public let seed: UInt64

    /// - Parameters:
    ///   - quotas: what quotas had counted before this start.
    public init(_ configs: [RateLimitConfig], previous: RateLimiterSet? = nil, quotas: QuotaRecords) {
        seed = previous?.seed ?? quotas.seed
        let known = Dictionary(
            (previous?.limiters ?? []).map { ($0.identity, $0) }, uniquingKeysWith: { first, _ in first })
        limiters = configs.map { config in
            let old = known[config.identity]
            let limiter = RateLimiter(config, table: old?.table)
            if old == nil, limiter.isQuota { limiter.restore(quotas) }
            return limiter
        }
    }
}

/// One rate limit, and who owns its counters.
public final class RateLimiter: Sendable {
    public let config: RateLimitConfig
    let identity: UInt64
    let table: SharedCell<RateLimitTable>

    /// Clients that can have counters of their own at the same time.
    static let keys = 8192

    init(_ config: RateLimitConfig, table: SharedCell<RateLimitTable>?) {
        self.config = config
        identity = config.identity
        self.table = table ?? SharedCell(RateLimitTable(keys: config.limit.key == .all ? 0 : Self.keys))
    }

    var isQuota: Bool {
        switch config.limit.window {
        case .bucket: false
        case .day, .month: true
        }
    }

    /// Requests that were over the limit, refused or (in shadow mode) not.
    public var limited: UInt64 { table.reference.value.limited.load(ordering: .relaxed) }
    /// Requests counted in the bucket that clients share when all places are taken.
    public var overflows: UInt64 { table.reference.value.overflows.load(ordering: .relaxed) }

    func restore(_ quotas: QuotaRecords) {
        for record in quotas.records where record.limiter == identity {
            table.reference.value.restore(key: record.key, period: record.period, count: record.count)
        }
    }
}

/// The rate limits as one worker sees them, in the order of the `RateLimiterSet`.
public struct WorkerLimiters: ~Copyable {
    /// Kept alive here, because the limits point into it.
    public let set: RateLimiterSet
    private let limits: FixedArray<RateLimitCheck>

    public init(_ set: RateLimiterSet) {
        self.set = set
        let limiters = set.limiters
        limits = FixedArray(count: limiters.count) { RateLimitCheck(limiters[$0]) }
    }

    public var count: Int { limits.count }
    public subscript(index: Int) -> RateLimitCheck { limits[index] }

    /// What `RateLimitCheck.check` wants of a client: equal bytes have equal keys.
    public func key(_ bytes: RawSpan) -> UInt64 { xxHash64(bytes, seed: set.seed) }
    public func key(_ number: UInt64) -> UInt64 { mix64(number ^ set.seed) }
    public func key(_ address: ClientAddress) -> UInt64 { mix64(mix64(address.high ^ set.seed) ^ address.low) }
}
