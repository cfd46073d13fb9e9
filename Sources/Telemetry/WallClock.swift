import Glibc

/// Wall-clock time of moments on CLOCK_MONOTONIC, and its text.
public struct WallClock: Sendable {
    /// CLOCK_REALTIME - CLOCK_MONOTONIC in nanoseconds.
    public var offset: Int64

    public init(offset: Int64) { self.offset = offset }

    /// The offset as it is now; the wall clock may be set, so it is asked anew for every use.
    public static func current() -> WallClock {
        WallClock(offset: now(CLOCK_REALTIME) - now(CLOCK_MONOTONIC))
    }

    /// Nanoseconds since 1970 at a moment of CLOCK_MONOTONIC.
    public func unixNanoseconds(monotonic: UInt64) -> Int64 { Int64(truncatingIfNeeded: monotonic) &+ offset }

    /// CLOCK_MONOTONIC in nanoseconds.
    public static func monotonic() -> UInt64 { UInt64(max(now(CLOCK_MONOTONIC), 0)) }

    /// CLOCK_REALTIME in nanoseconds since 1970.
    public static func unixNanoseconds() -> Int64 { now(CLOCK_REALTIME) }

    private static func now(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        _ = unsafe clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// RFC 3339 in UTC with microseconds: `2026-01-31T23:59:59.000001Z`.
    public static func text(unixNanoseconds: Int64) -> String {
        let microseconds = unixNanoseconds.flooredQuotient(1000)
        let seconds = microseconds.flooredQuotient(1_000_000)
        let days = seconds.flooredQuotient(86400)
        let (year, month, day) = civil(days)
        let inDay = seconds - days * 86400
        func padded(_ value: Int64, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(width - digits.utf8.count, 0)) + digits
        }
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
            + "\(padded(inDay / 3600, 2)):\(padded(inDay / 60 % 60, 2)):\(padded(inDay % 60, 2))"
            + ".\(padded(microseconds - seconds * 1_000_000, 6))Z"
    }

    /// The date of a day since 1970-01-01 in the Gregorian calendar, reckoned in years that begin in March.
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }
}

extension Int64 {
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        self / divisor - (self % divisor < 0 ? 1 : 0)
    }
}
