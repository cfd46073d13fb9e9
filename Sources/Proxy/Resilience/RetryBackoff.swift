/// How long to wait before a retry. Nanoseconds.
public struct RetryBackoff: BitwiseCopyable, Sendable, Equatable {
    public let base: UInt64
    public let cap: UInt64
    /// Whether no retry comes before `base` has passed (Gateway API).
    public let isMinimum: Bool

    public init(base: UInt64, cap: UInt64, isMinimum: Bool) {
        self.base = base
        // A cap below the base is none that anybody meant.
        self.cap = cap >= base ? cap : base.multipliedReportingOverflow(by: 10).partialValue
        self.isMinimum = isMinimum
    }

    /// Envoy's full jitter: uniform in [0, (2ᴺ-1) × base), at most `cap`. With a minimum the same comes on top of it,
    /// bounded by the base, so that clients that failed together do not come back together.
    ///
    /// - Parameter retry: 1 for the first.
    public func delay(retry: UInt32, random: UInt64) -> UInt64 {
        let steps = (UInt64(1) << UInt64(min(max(retry, 1), 32))) - 1
        let (product, overflows) = base.multipliedReportingOverflow(by: steps)
        let longest = overflows ? cap : min(product, cap)
        guard isMinimum else { return longest.multipliedFullWidth(by: random).high }
        return base + min(longest, base).multipliedFullWidth(by: random).high
    }
}
