/// A histogram in the buckets of Istio's request metrics, which are the same numbers for milliseconds and for bytes.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/metrics/v3/stats.proto (histogram bucket settings)
public struct RequestHistogram: Sendable, Equatable {
    /// With the one without a bound.
    public static let bucketCount = 20

    /// Inclusive upper bounds in thousandths of a unit (microseconds, thousandths of a byte); the last bucket has none.
    public static let bounds: InlineArray<19, UInt64> = [
        500, 1000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
        30_000_000, 60_000_000, 300_000_000, 600_000_000, 1_800_000_000, 3_600_000_000,
    ]

    /// Of all values: microseconds or bytes.
    public var sum: UInt64 = 0
    /// Not cumulative.
    public var buckets = InlineArray<20, UInt64>(repeating: 0)

    public init() {}

    public var count: UInt64 {
        var total: UInt64 = 0
        for index in buckets.indices { total &+= buckets[index] }
        return total
    }

    public mutating func add(_ other: Self) {
        sum &+= other.sum
        for index in buckets.indices { buckets[index] &+= other.buckets[index] }
    }

    public static func == (a: Self, b: Self) -> Bool {
        a.sum == b.sum && a.buckets.indices.allSatisfy { a.buckets[$0] == b.buckets[$0] }
    }

    /// The bucket of a value in thousandths. Written out: most values are small, and nothing is loaded.
    static func bucket(thousandths value: UInt64) -> Int {
        switch value {
        case ...500: 0
        case ...1000: 1
        case ...5000: 2
        case ...10_000: 3
        case ...25_000: 4
        case ...50_000: 5
        case ...100_000: 6
        case ...250_000: 7
        case ...500_000: 8
        case ...1_000_000: 9
        case ...2_500_000: 10
        case ...5_000_000: 11
        case ...10_000_000: 12
        case ...30_000_000: 13
        case ...60_000_000: 14
        case ...300_000_000: 15
        case ...600_000_000: 16
        case ...1_800_000_000: 17
        case ...3_600_000_000: 18
        default: 19
        }
    }

    /// The bucket of a number of bytes.
    static func bucket(bytes value: UInt64) -> Int {
        let (thousandths, overflow) = value.multipliedReportingOverflow(by: 1000)
        return overflow ? 19 : bucket(thousandths: thousandths)
    }
}
