internal import Mesh
internal import Synchronization

/// What a limit says of one request, and what its `X-RateLimit-*` fields say.
public struct RateLimitVerdict: BitwiseCopyable, Sendable, Equatable {
    public var isWithinLimit: Bool
    /// Whether the request is to be refused: over the limit, and the limit is not in shadow mode.
    public var isRefused: Bool
    /// `X-RateLimit-Limit`: requests in a window, and the window in seconds.
    public var limit: UInt32
    public var window: UInt32
    /// `X-RateLimit-Remaining`.
    public var remaining: UInt32
    /// `X-RateLimit-Reset`: seconds until everything is there again.
    public var reset: UInt32
    /// `Retry-After`: seconds, 1 at least if the request is over the limit.
    public var retryAfter: UInt32
}

/// One limit as a worker checks it.
public struct RateLimitCheck: BitwiseCopyable, Sendable {
    private enum Window: BitwiseCopyable, Sendable {
        /// Nanoseconds from one token to the next, and from empty to full.
        case bucket(spacing: UInt64, capacity: UInt64)
        case quota(QuotaPeriod)
    }

    private let window: Window
    /// Of a day or a month.
    public var isQuota: Bool {
        if case .quota = window { true } else { false }
    }
    private let limit: UInt32
    /// Seconds.
    private let windowSeconds: UInt32
    /// Of a refusal.
    public let status: UInt16
    public let isShadow: Bool
    private let table: SharedReference<RateLimitTable>

    init(_ limiter: RateLimiter) {
        let config = limiter.config.limit
        switch config.window {
        case .bucket(let milliseconds):
            let nanoseconds = UInt64(max(milliseconds, 1)) * 1_000_000
            let spacing = max(nanoseconds / UInt64(max(config.requests, 1)), 1)
            let (capacity, overflows) = spacing.multipliedReportingOverflow(by: UInt64(max(config.burst, 1)))
            let longest = UInt64(Int64.max) / 2
            // A bucket of no requests has room for none.
            window = .bucket(
                spacing: spacing, capacity: config.requests == 0 ? 0 : overflows ? longest : min(capacity, longest))
            windowSeconds = UInt32((UInt64(milliseconds) + 999) / 1000)
        case .day:
            window = .quota(.day)
            windowSeconds = 86_400
        case .month:
            window = .quota(.month)
            windowSeconds = 30 * 86_400
        }
        limit = config.requests
        status = config.status
        isShadow = config.isShadow
        table = limiter.table.reference
    }

    /// Counts a request.
    ///
    /// - Parameters:
    ///   - key: of the client, from `WorkerLimiters.key`; anything for a limit with one bucket for all.
    ///   - now: CLOCK_MONOTONIC, nanoseconds.
    ///   - wall: seconds since 1970, for quotas.
    public func check(key: UInt64, now: UInt64, wall: UInt64) -> RateLimitVerdict {
        var verdict =
            switch window {
            case .bucket(let spacing, let capacity): take(key, spacing: spacing, capacity: capacity, now: now)
            case .quota(let period): count(key, period, wall: wall)
            }
        if !verdict.isWithinLimit {
            table.value.limited.wrappingAdd(1, ordering: .relaxed)
            verdict.isRefused = !isShadow
            verdict.retryAfter = max(verdict.retryAfter, 1)
        }
        return verdict
    }

    private func verdict(_ isWithinLimit: Bool, remaining: UInt64, reset: UInt64, retryAfter: UInt64)
        -> RateLimitVerdict
    {
        RateLimitVerdict(
            isWithinLimit: isWithinLimit, isRefused: false, limit: limit, window: windowSeconds,
            remaining: UInt32(clamping: remaining), reset: UInt32(clamping: reset),
            retryAfter: UInt32(clamping: retryAfter))
    }

    // MARK: - Token bucket

    /// The generic cell rate algorithm (ITU-T I.371): the state is the time at which the bucket will be full.
    private func take(_ key: UInt64, spacing: UInt64, capacity: UInt64, now: UInt64) -> RateLimitVerdict {
        func seconds(_ nanoseconds: UInt64) -> UInt64 { nanoseconds / second + (nanoseconds % second > 0 ? 1 : 0) }
        guard capacity > 0 else { return verdict(false, remaining: 0, reset: 0, retryAfter: UInt64(windowSeconds)) }
        let place = table.value.place(key) { $0 <= now }
        var full = table.value.state(place)
        while true {
            let next = max(full, now) + spacing
            guard next - now <= capacity else {
                return verdict(
                    false, remaining: 0, reset: seconds(full - now), retryAfter: seconds(next - now - capacity))
            }
            guard let seen = table.value.exchange(place, full, for: next) else {
                return verdict(
                    true, remaining: (capacity - (next - now)) / spacing, reset: seconds(next - now), retryAfter: 0)
            }
            full = seen
        }
    }

    private var second: UInt64 { 1_000_000_000 }

    // MARK: - Quota

    private func count(_ key: UInt64, _ period: QuotaPeriod, wall: UInt64) -> RateLimitVerdict {
        let (number, end) = period.containing(wall)
        let left = end - wall
        let place = table.value.place(key) { $0 >> 32 < number }
        var state = table.value.state(place)
        while true {
            // A clock that was put back does not give the quota anew.
            let counted = state >> 32 >= number ? state & 0xffff_ffff : 0
            guard counted < UInt64(limit) else { return verdict(false, remaining: 0, reset: left, retryAfter: left) }
            guard let seen = table.value.exchange(place, state, for: max(number, state >> 32) << 32 | counted + 1)
            else {
                if !table.value.isDirty.load(ordering: .relaxed) { table.value.isDirty.store(true, ordering: .relaxed) }
                return verdict(true, remaining: UInt64(limit) - counted - 1, reset: left, retryAfter: 0)
            }
            state = seen
        }
    }
}
