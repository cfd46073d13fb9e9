import WeftABI

/// Times of requests in microseconds, in the buckets of bpf/lib/latency.h: the same ones whether the kernel's programs
/// or the proxy has measured them. Istio's and Linkerd's buckets are sums of these.
public struct LatencyHistogram: Sendable, Equatable {
    /// With the one without a bound.
    public static let bucketCount = Int(WEFT_LATENCY_BUCKETS)

    /// Of all values, in microseconds.
    public var sum: UInt64 = 0
    /// Not cumulative.
    public var buckets = InlineArray<64, UInt64>(repeating: 0)

    public init() {}

    /// The inclusive upper bound of a bucket in microseconds; nil for the last one.
    public static func bound(_ bucket: Int) -> UInt64? {
        let bound = weft_latency_bound(UInt32(bucket))
        return bound == 0 ? nil : UInt64(bound)
    }

    /// The bucket of a value.
    public static func bucket(microseconds value: UInt64) -> Int { Int(weft_latency_bucket(value)) }

    /// The number of values.
    public var count: UInt64 {
        var total: UInt64 = 0
        for index in buckets.indices { total &+= buckets[index] }
        return total
    }

    public mutating func add(_ other: Self) {
        sum &+= other.sum
        for index in buckets.indices { buckets[index] &+= other.buckets[index] }
    }

    /// What was added since `earlier`, which is an earlier reading of the same counters.
    public func since(_ earlier: Self) -> Self {
        var change = Self()
        change.sum = sum &- earlier.sum
        for index in buckets.indices { change.buckets[index] = buckets[index] &- earlier.buckets[index] }
        return change
    }

    /// The value that `fraction` of all values do not exceed, in microseconds: interpolated in its bucket, so it is off
    /// by less than that bucket's width (at most half the value from 20 µs to 10 ms). nil without a value.
    public func percentile(_ fraction: Double) -> Double? {
        let total = count
        guard total > 0 else { return nil }
        let rank = max(1, fraction * Double(total))
        var before = 0.0
        for index in buckets.indices where buckets[index] > 0 {
            let here = Double(buckets[index])
            if before + here >= rank {
                let lower = index == 0 ? 0 : Double(Self.bound(index - 1) ?? 0)
                guard let upper = Self.bound(index) else { return lower }
                return lower + (Double(upper) - lower) * (rank - before) / here
            }
            before += here
        }
        return nil
    }

    public static func == (a: Self, b: Self) -> Bool {
        // Without a branch for each: these are compared by the thousand.
        var difference = a.sum ^ b.sum
        for index in a.buckets.indices { difference |= a.buckets[index] ^ b.buckets[index] }
        return difference == 0
    }
}
