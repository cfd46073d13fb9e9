/// The days and months of quotas, in UTC.
enum QuotaPeriod: UInt8, BitwiseCopyable, Sendable {
    case day, month

    private static let secondsPerDay: UInt64 = 86_400

    /// The period's number since 1970 and when it ends, seconds since 1970.
    func containing(_ wall: UInt64) -> (number: UInt64, end: UInt64) {
        let days = wall / Self.secondsPerDay
        switch self {
        case .day: return (days, (days + 1) * Self.secondsPerDay)
        case .month:
            let (year, month) = Self.civil(days)
            let next = month == 12 ? (year + 1, 1) : (year, month + 1)
            return ((year - 1970) * 12 + month - 1, Self.days(year: next.0, month: next.1) * Self.secondsPerDay)
        }
    }

    /// Year and month of a day since 1970-01-01 in the Gregorian calendar: eras of 400 years, years that begin in March.
    private static func civil(_ days: UInt64) -> (year: UInt64, month: UInt64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month)
    }

    /// Days from 1970-01-01 to the first of the month.
    private static func days(year: UInt64, month: UInt64) -> UInt64 {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year % 400
        let shiftedMonth = month > 2 ? month - 3 : month + 9
        let dayOfYear = (153 * shiftedMonth + 2) / 5
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
