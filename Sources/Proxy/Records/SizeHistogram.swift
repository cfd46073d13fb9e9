import WeftABI

/// Sizes of bodies in the buckets of Istio's request metrics (bpf/lib/latency.h).
/// Source: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/metrics/v3/stats.proto (histogram bucket settings)
public struct SizeHistogram: Sendable, Equatable {
    /// With the one without a bound.
    public static let bucketCount = Int(WEFT_SIZE_BUCKETS)

    /// Of all values, in bytes.
    public var sum: UInt64 = 0
    /// Not cumulative.
    public var buckets = InlineArray<20, UInt64>(repeating: 0)

    public init() {}

    static func bucket(bytes value: UInt64) -> Int { Int(weft_size_bucket(value)) }

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

    public static func == (a: Self, b: Self) -> Bool {
        // Without a branch for each: these are compared by the thousand.
        var difference = a.sum ^ b.sum
        for index in a.buckets.indices { difference |= a.buckets[index] ^ b.buckets[index] }
        return difference == 0
    }
}
