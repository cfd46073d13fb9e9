import WeftABI

/// C's fixed arrays, which Swift imports as tuples.

/// The elements of an array member.
func elements<Tuple: BitwiseCopyable, Element: BitwiseCopyable>(
    of tuple: Tuple, as type: Element.Type = Element.self
) -> [Element] {
    unsafe withUnsafeBytes(of: tuple) { unsafe Array($0.bindMemory(to: type)) }
}

extension weft_clauses {
    /// The indices of the bits that are set.
    var indices: [Int] {
        elements(of: words, as: UInt64.self).enumerated().flatMap { word, bits in
            (0..<64).filter { bits >> UInt64($0) & 1 == 1 }.map { word * 64 + $0 }
        }
    }
}

extension weft_acceleration {
    /// By `weft_slow_reason`.
    var slowConnections: [UInt64] { elements(of: slow_connections, as: UInt64.self) }

    /// By `weft_slow_reason`.
    var slowSends: [UInt64] { elements(of: slow_sends, as: UInt64.self) }
}

extension weft_histogram {
    var counts: [UInt64] { elements(of: buckets, as: UInt64.self) }

    var count: UInt64 { counts.reduce(0, &+) }

    /// The upper bound of the bucket that holds the quantile, in the histogram's unit; nil without values, infinity in
    /// the last bucket.
    func bound(ofQuantile quantile: Double) -> Double? {
        let total = count
        guard total > 0 else { return nil }
        let rank = max(1, (Double(total) * quantile).rounded(.up))
        var seen = 0.0
        for (index, count) in counts.enumerated() {
            seen += Double(count)
            if seen >= rank { return index == counts.count - 1 ? .infinity : Double(UInt64(1) << UInt64(index)) }
        }
        return .infinity
    }
}
