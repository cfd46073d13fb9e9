#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// When to reload after changes: at once when nothing has happened for a while, with patience in a burst.
struct ReloadPacing {
    /// Nothing came for so long: no burst is going on.
    static let calm: UInt64 = 500_000_000
    /// Wait for more after a change that comes out of calm. A replaced file is several events.
    static let firstQuiet: UInt64 = 5_000_000
    static let burstQuiet: UInt64 = 50_000_000
    /// A burst, or a file that is being written, delays a reload at most so long.
    static let patience: UInt64 = 500_000_000

    private var first: UInt64?
    private var last: UInt64 = 0
    private var lastReload: UInt64?

    mutating func note(_ now: UInt64) {
        if first == nil { first = now }
        last = now
    }

    func due(isUnfinished: Bool) -> UInt64? {
        guard let first else { return nil }
        let limit = first + Self.patience
        if isUnfinished { return limit }
        let isBurst = lastReload.map { first < $0 + Self.calm } ?? false
        return min(limit, last + (isBurst ? Self.burstQuiet : Self.firstQuiet))
    }

    mutating func reset() { first = nil }

    mutating func finished(_ now: UInt64) { lastReload = now }
}

/// CLOCK_MONOTONIC in nanoseconds.
func monotonicNow() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Now, in the form of RFC 3339 that Kubernetes writes.
func timestamp() -> String {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return timestamp(seconds: Int(time.tv_sec))
}

/// Seconds since 1970, UTC. The date is computed as in Howard Hinnant's civil_from_days.
func timestamp(seconds: Int) -> String {
    let days = seconds / 86400 + 719_468
    let (era, dayOfEra) = (days / 146_097, days % 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shifted + 2) / 5 + 1
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func pad(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let time = seconds % 86400
    return "\(year)-\(pad(month))-\(pad(day))T\(pad(time / 3600)):\(pad(time / 60 % 60)):\(pad(time % 60))Z"
}
