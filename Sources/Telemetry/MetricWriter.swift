import Proxy

/// Writes metrics in Prometheus's text exposition format 0.0.4 into one buffer.
///
/// A family is written as a whole: its HELP and TYPE lines once, then all its samples. Labels come rendered
/// (`MetricLabels`), so that a scrape copies bytes and formats numbers, nothing else.
/// Source: https://prometheus.io/docs/instrumenting/exposition_formats/
public struct MetricWriter {
    /// The value of the Content-Type header that belongs to `bytes`.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    public enum Kind: String {
        case counter, gauge, histogram
    }

    /// The exposition so far.
    public private(set) var bytes: [UInt8] = []
    private var families: Set<String> = []
    private var name: [UInt8] = []

    /// - Parameter capacity: bytes to reserve; the size of the last exposition is a good guess.
    public init(capacity: Int = 16384) { bytes.reserveCapacity(capacity) }

    /// Begins a family; the samples that follow belong to it. Each name is begun once.
    public mutating func family(_ name: String, _ kind: Kind, help: String) {
        self.name = Array(name.utf8)
        guard families.insert(name).inserted else {
            assertionFailure("the family \(name) was written before: its samples have to be together")
            return
        }
        append("# HELP ")
        append(name)
        append(" ")
        for byte in help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            default: bytes.append(byte)
            }
        }
        append("\n# TYPE ")
        append(name)
        append(" ")
        append(kind.rawValue)
        append("\n")
    }

    /// One sample of the family that was begun last.
    public mutating func sample(_ labels: MetricLabels = MetricLabels(), _ value: UInt64) {
        bytes.append(contentsOf: name)
        append(labels)
        bytes.append(UInt8(ascii: " "))
        append(decimal: value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// One sample of the family that was begun last, with two sets of labels of which neither is empty.
    mutating func sample(_ labels: MetricLabels, _ more: MetricLabels, _ value: UInt64) {
        bytes.append(contentsOf: name)
        bytes.append(UInt8(ascii: "{"))
        bytes.append(contentsOf: labels.bytes)
        bytes.append(UInt8(ascii: ","))
        bytes.append(contentsOf: more.bytes)
        bytes.append(UInt8(ascii: "}"))
        bytes.append(UInt8(ascii: " "))
        append(decimal: value)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// One sample with a value that need not be whole.
    public mutating func sample(_ labels: MetricLabels = MetricLabels(), _ value: Double) {
        bytes.append(contentsOf: name)
        append(labels)
        bytes.append(UInt8(ascii: " "))
        append(value.isNaN ? "NaN" : value.isInfinite ? (value > 0 ? "+Inf" : "-Inf") : value.description)
        bytes.append(UInt8(ascii: "\n"))
    }

    /// A family with one sample.
    public mutating func gauge(_ name: String, help: String, _ value: Double) {
        family(name, .gauge, help: help)
        sample(MetricLabels(), value)
    }

    /// A family with one sample.
    public mutating func counter(_ name: String, help: String, _ value: UInt64) {
        family(name, .counter, help: help)
        sample(MetricLabels(), value)
    }

    /// One histogram of microseconds as a Prometheus histogram of seconds: cumulative buckets, sum and count.
    ///
    /// A bucket's values are whole microseconds below 2^i, so its inclusive bound `le` is 2^i - 1. Buckets below 7 µs are
    /// merged: nothing on a network is faster.
    public mutating func sample(_ labels: MetricLabels, microseconds histogram: Histogram) {
        var cumulative: UInt64 = 0
        var lines = HistogramLines(name: name, labels: labels, lines: Histogram.bucketCount + 2)
        for index in 0..<Histogram.bucketCount {
            cumulative &+= histogram.buckets[index]
            guard index >= Histogram.firstRenderedBucket, index < Histogram.bucketCount - 1 else { continue }
            lines.bucket(Histogram.bounds[index], cumulative)
        }
        lines.bucket(Self.infinity, cumulative)
        var sum: [UInt8] = []
        Self.append(microseconds: histogram.sum, to: &sum)
        lines.end(sum: sum, count: cumulative)
        lines.append(to: &bytes)
    }

    /// One histogram of request times in Istio's buckets, in milliseconds.
    mutating func sample(_ labels: MetricLabels, milliseconds histogram: LatencyHistogram) {
        var cumulative: UInt64 = 0
        var next = 0
        var lines = HistogramLines(name: name, labels: labels, lines: Self.requestBounds.count + 3)
        for (text, bound) in zip(Self.requestBounds, Self.requestMicroseconds) {
            while next < LatencyHistogram.bucketCount, let upper = LatencyHistogram.bound(next), upper <= bound {
                cumulative &+= histogram.buckets[next]
                next += 1
            }
            lines.bucket(text, cumulative)
        }
        while next < LatencyHistogram.bucketCount {
            cumulative &+= histogram.buckets[next]
            next += 1
        }
        lines.bucket(Self.infinity, cumulative)
        var sum: [UInt8] = []
        Self.append(thousandths: histogram.sum, to: &sum)
        lines.end(sum: sum, count: cumulative)
        lines.append(to: &bytes)
    }

    /// One histogram of bodies' sizes in Istio's buckets.
    mutating func sample(_ labels: MetricLabels, bytes histogram: SizeHistogram) {
        var cumulative: UInt64 = 0
        var lines = HistogramLines(name: name, labels: labels, lines: SizeHistogram.bucketCount + 2)
        for index in 0..<(SizeHistogram.bucketCount - 1) {
            cumulative &+= histogram.buckets[index]
            lines.bucket(Self.requestBounds[index], cumulative)
        }
        cumulative &+= histogram.buckets[SizeHistogram.bucketCount - 1]
        lines.bucket(Self.infinity, cumulative)
        var sum: [UInt8] = []
        Self.append(decimal: histogram.sum, to: &sum)
        lines.end(sum: sum, count: cumulative)
        lines.append(to: &bytes)
    }

    /// The bounds of Istio's histograms: milliseconds, or bytes.
    private static let requestBounds: [[UInt8]] = [
        "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000",
        "300000", "600000", "1800000", "3600000",
    ].map { Array($0.utf8) }

    private static let requestMicroseconds: [UInt64] = [
        500, 1000, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
        30_000_000, 60_000_000, 300_000_000, 600_000_000, 1_800_000_000, 3_600_000_000,
    ]

    private static let infinity = Array("+Inf".utf8)

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func append(_ labels: MetricLabels) {
        guard !labels.bytes.isEmpty else { return }
        bytes.append(UInt8(ascii: "{"))
        bytes.append(contentsOf: labels.bytes)
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func append(decimal value: UInt64) { Self.append(decimal: value, to: &bytes) }

    static func append(decimal value: UInt64, to bytes: inout [UInt8]) {
        var divisor: UInt64 = 1
        var rest = value
        while rest >= 10 {
            rest /= 10
            divisor *= 10
        }
        rest = value
        while divisor > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / divisor))
            rest %= divisor
            divisor /= 10
        }
    }

    /// Seconds, exactly: `1.000031`.
    static func append(microseconds value: UInt64, to bytes: inout [UInt8]) {
        append(decimal: value / 1_000_000, to: &bytes)
        var fraction = value % 1_000_000
        guard fraction > 0 else { return }
        bytes.append(UInt8(ascii: "."))
        var divisor: UInt64 = 100_000
        while fraction > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: fraction / divisor))
            fraction %= divisor
            divisor /= 10
        }
    }

    /// A thousandth of the value, exactly: `31.007`.
    private static func append(thousandths value: UInt64, to bytes: inout [UInt8]) {
        append(decimal: value / 1000, to: &bytes)
        let rest = value % 1000
        guard rest > 0 else { return }
        for character in [".", rest < 100 ? "0" : "", rest < 10 ? "0" : "", "\(rest)"] {
            bytes.append(contentsOf: character.utf8)
        }
    }
}
