import Proxy

/// The upper bounds of a histogram's buckets as they are written after `le="`, with what ends the labels.
struct BucketBounds {
    private let text: [[UInt8]]
    private let openMetrics: [[UInt8]]
    /// Bytes of the longest one.
    let longest: Int

    /// - Parameter bounds: as the text format has them, without the last one, which is added: `+Inf`.
    init(_ bounds: [String]) {
        text = (bounds + ["+Inf"]).map { Array("\($0)\"} ".utf8) }
        openMetrics = (bounds.map(Self.canonical) + ["+Inf"]).map { Array("\($0)\"} ".utf8) }
        longest = (text + openMetrics).map(\.count).max() ?? 0
    }

    var count: Int { text.count }

    func ends(in format: ExpositionFormat) -> [[UInt8]] {
        switch format {
        case .text: text
        case .openMetrics: openMetrics
        }
    }

    /// A number as OpenMetrics wants bounds: as Go prints it, and recognisable as a float.
    static func canonical(_ number: String) -> String {
        guard let value = Double(number), value != 0 else { return "0.0" }
        // Digits and the exponent of the first of them, from 1234.5 as from 1.2345e+03.
        let parts = "\(value)".split(separator: "e")
        let mantissa = parts[0].split(separator: ".").map(String.init)
        var digits = mantissa[0] + (mantissa.count > 1 && mantissa[1] != "0" ? mantissa[1] : "")
        var exponent = mantissa[0].count - 1 + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        while digits.hasPrefix("0") {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.hasSuffix("0") { digits.removeLast() }
        if exponent < -4 || exponent >= 6 {
            let rest = digits.dropFirst()
            let size = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return "\(digits.prefix(1))\(rest.isEmpty ? "" : ".\(rest)")e\(exponent < 0 ? "-" : "+")\(size)"
        }
        if exponent < 0 { return "0." + String(repeating: "0", count: -exponent - 1) + digits }
        let whole = digits.prefix(exponent + 1) + String(repeating: "0", count: max(0, exponent + 1 - digits.count))
        let fraction = digits.dropFirst(exponent + 1)
        return "\(whole).\(fraction.isEmpty ? "0" : fraction)"
    }

    /// Istio's: milliseconds, or bytes.
    static let istio = BucketBounds([
        "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000",
        "300000", "600000", "1800000", "3600000",
    ])

    /// Powers of two less one, in seconds, from 7 µs: nothing on a network is faster.
    static let powers = BucketBounds(
        (Histogram.firstRenderedBucket..<Histogram.bucketCount - 1).map { index in
            var text: [UInt8] = []
            text.append(atMost: 32) { $0.decimal((1 << UInt64(index)) - 1, fraction: 6) }
            return String(decoding: text, as: UTF8.self)
        })
}

/// Which of a coarser histogram's buckets each bucket of a request's times belongs to.
struct LatencyMapping {
    private let bucket: InlineArray<64, UInt8>

    /// - Parameter bounds: inclusive, in microseconds; each is one of `LatencyHistogram`'s.
    init(_ bounds: [UInt64]) {
        bucket = InlineArray { fine in
            guard let upper = LatencyHistogram.bound(fine) else { return UInt8(bounds.count) }
            return UInt8(bounds.firstIndex { upper <= $0 } ?? bounds.count)
        }
    }

    /// Adds a histogram's buckets to those that they belong to.
    func add(_ histogram: LatencyHistogram, to sums: inout InlineArray<64, UInt64>) {
        for fine in histogram.buckets.indices { sums[Int(bucket[fine])] &+= histogram.buckets[fine] }
    }

    subscript(fine: Int) -> Int { Int(bucket[fine]) }

    /// Of `BucketBounds.istio`.
    static let istio = LatencyMapping([
        500, 1000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
        30_000_000, 60_000_000, 300_000_000, 600_000_000, 1_800_000_000, 3_600_000_000,
    ])
}
