public import WeftABI

/// A log2 histogram of whole microseconds: bucket i counts values in [2^(i-1), 2^i), bucket 0 the zeros and the last one
/// everything else (bpf/lib/histogram.h).
public struct Histogram: Sendable {
    static let bucketCount = Int(WEFT_HISTOGRAM_BUCKETS)
    /// Those below are shown as one with it: nothing on a network takes less than 7 µs.
    static let firstRenderedBucket = 3

    /// Of all values, in microseconds.
    public var sum: UInt64 = 0
    /// Not cumulative.
    public var buckets = InlineArray<24, UInt64>(repeating: 0)

    public init() {}

    public init(_ histogram: weft_histogram) {
        sum = histogram.sum
        unsafe withUnsafeBytes(of: histogram.buckets) { bytes in
            for index in 0..<Self.bucketCount {
                buckets[index] = unsafe bytes.load(fromByteOffset: index * 8, as: UInt64.self)
            }
        }
    }

    /// The number of values.
    public var count: UInt64 {
        var total: UInt64 = 0
        for index in 0..<Self.bucketCount { total &+= buckets[index] }
        return total
    }

    mutating func add(_ other: Histogram) {
        sum &+= other.sum
        for index in 0..<Self.bucketCount { buckets[index] &+= other.buckets[index] }
    }

    /// What was added since `earlier`; nil if something is smaller now.
    func since(_ earlier: Histogram) -> Histogram? {
        guard sum >= earlier.sum else { return nil }
        var difference = Histogram()
        difference.sum = sum - earlier.sum
        for index in 0..<Self.bucketCount {
            guard buckets[index] >= earlier.buckets[index] else { return nil }
            difference.buckets[index] = buckets[index] - earlier.buckets[index]
        }
        return difference
    }
}
