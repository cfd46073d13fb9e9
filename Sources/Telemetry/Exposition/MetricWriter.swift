import Proxy

/// Writes metrics into one buffer, in Prometheus's text format or in OpenMetrics.
///
/// A family is written as a whole: its HELP and TYPE lines once, then all its samples. Labels come rendered
/// (`MetricLabels`), so that a scrape copies bytes and formats numbers, nothing else.
public struct MetricWriter {
    /// The value of the Content-Type header that belongs to the text format.
    public static let contentType = ExpositionFormat.text.contentType

    public enum Kind: String {
        case counter, gauge, histogram
    }

    public let format: ExpositionFormat
    /// The exposition so far, or since it was last taken.
    public internal(set) var bytes: [UInt8] = []
    private var families: Set<String> = []
    private var name: [UInt8] = []

    /// - Parameter capacity: bytes to reserve; the size of the last exposition is a good guess.
    public init(_ format: ExpositionFormat = .text, capacity: Int = 16384) {
        self.format = format
        bytes.reserveCapacity(capacity)
    }

    /// Begins a family; the samples that follow belong to it. Each name is begun once, and those of counters end in
    /// `_total`.
    public mutating func family(_ name: String, _ kind: Kind, help: String) {
        self.name = Array(name.utf8)
        guard families.insert(name).inserted else {
            assertionFailure("the family \(name) was written before: its samples have to be together")
            return
        }
        assert(kind != .counter || name.hasSuffix("_total"), "\(name) is a counter without _total")
        // In OpenMetrics the suffix belongs to the sample, not to the family.
        let title = format == .openMetrics && kind == .counter ? name.dropLast("_total".count) : name[...]
        append("# HELP ")
        append(title)
        append(" ")
        for byte in help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\n"): append("\\n")
            case UInt8(ascii: "\"") where format == .openMetrics: append("\\\"")
            default: bytes.append(byte)
            }
        }
        append("\n# TYPE ")
        append(title)
        append(" ")
        append(kind.rawValue[...])
        append("\n")
    }

    /// What ends an exposition.
    public mutating func end() {
        if format == .openMetrics { append("# EOF\n") }
    }

    /// One sample of the family that was begun last.
    public mutating func sample(_ labels: MetricLabels = MetricLabels(), _ value: UInt64) {
        line(labels) { $0.decimal(value) }
    }

    /// One sample of the family that was begun last, with two sets of labels of which neither is empty.
    mutating func sample(_ labels: MetricLabels, _ more: MetricLabels, _ value: UInt64) {
        line(labels, more) { $0.decimal(value) }
    }

    /// One sample with a value that need not be whole.
    public mutating func sample(_ labels: MetricLabels = MetricLabels(), _ value: Double) {
        let text = value.isNaN ? "NaN" : value.isInfinite ? (value > 0 ? "+Inf" : "-Inf") : value.description
        line(labels, valueLength: text.utf8.count) { $0.copy(Array(text.utf8)) }
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
    /// A bucket's values are whole microseconds below 2^i, so its inclusive bound `le` is 2^i - 1.
    public mutating func sample(_ labels: MetricLabels, microseconds histogram: Histogram) {
        var counts = InlineArray<64, UInt64>(repeating: 0)
        for index in 0..<Histogram.bucketCount {
            counts[max(0, index - Histogram.firstRenderedBucket)] &+= histogram.buckets[index]
        }
        self.histogram(labels, .powers, counts, sum: histogram.sum, fraction: 6)
    }

    /// One histogram of request times in Istio's buckets, in milliseconds.
    mutating func sample(
        _ labels: MetricLabels, milliseconds histogram: LatencyHistogram, exemplars: BucketExemplars? = nil
    ) {
        var counts = InlineArray<64, UInt64>(repeating: 0)
        LatencyMapping.istio.add(histogram, to: &counts)
        self.histogram(labels, .istio, counts, sum: histogram.sum, fraction: 3, exemplars)
    }

    /// One histogram of bodies' sizes in Istio's buckets.
    mutating func sample(_ labels: MetricLabels, bytes histogram: SizeHistogram) {
        var counts = InlineArray<64, UInt64>(repeating: 0)
        for index in histogram.buckets.indices { counts[index] = histogram.buckets[index] }
        self.histogram(labels, .istio, counts, sum: histogram.sum, fraction: 0)
    }

    private mutating func append(_ text: Substring) { bytes.append(contentsOf: text.utf8) }

    private mutating func line(
        _ labels: MetricLabels, _ more: MetricLabels = MetricLabels(), valueLength: Int = 32,
        value: (inout TextCursor) -> Void
    ) {
        let name = name
        bytes.append(atMost: name.count + labels.bytes.count + more.bytes.count + valueLength + 5) { line in
            line.copy(name)
            if !labels.bytes.isEmpty {
                line.byte(UInt8(ascii: "{"))
                line.copy(labels.bytes)
                if !more.bytes.isEmpty {
                    line.byte(UInt8(ascii: ","))
                    line.copy(more.bytes)
                }
                line.byte(UInt8(ascii: "}"))
            }
            line.byte(UInt8(ascii: " "))
            value(&line)
            line.byte(UInt8(ascii: "\n"))
        }
    }

    /// - Parameters:
    ///   - counts: of each bucket, not cumulative.
    ///   - sum: in units of which 10^fraction are one of the histogram's.
    mutating func histogram(
        _ labels: MetricLabels, _ bounds: BucketBounds, _ counts: InlineArray<64, UInt64>, sum: UInt64, fraction: Int,
        _ exemplars: BucketExemplars? = nil
    ) {
        let name = name
        let labels = labels.bytes
        let ends = bounds.ends(in: format)
        let prefix = name.count + labels.count + Self.bucket.count + 6
        let length = (bounds.count + 2) * (prefix + bounds.longest + 32) + (exemplars?.length ?? 0)
        bytes.append(atMost: length) { text in
            // Up to the bound, `name_bucket{labels,le="`: all lines but the last two begin with it.
            text.copy(name)
            text.copy(Self.bucket)
            if !labels.isEmpty {
                text.copy(labels)
                text.byte(UInt8(ascii: ","))
            }
            text.copy(Self.bound)
            let prefix = text.count
            var cumulative: UInt64 = 0
            for (index, end) in ends.enumerated() {
                if index > 0 { text.again(from: 0, to: prefix) }
                text.copy(end)
                cumulative &+= counts[index]
                text.decimal(cumulative)
                if let exemplar = exemplars?[index] { text.copy(exemplar) }
                text.byte(UInt8(ascii: "\n"))
            }
            for (suffix, isSum) in [(Self.sum, true), (Self.count, false)] {
                text.copy(name)
                text.copy(suffix)
                if !labels.isEmpty {
                    text.byte(UInt8(ascii: "{"))
                    text.copy(labels)
                    text.byte(UInt8(ascii: "}"))
                }
                text.byte(UInt8(ascii: " "))
                if isSum {
                    text.decimal(sum, fraction: fraction)
                } else {
                    text.decimal(cumulative)
                }
                text.byte(UInt8(ascii: "\n"))
            }
        }
    }

    static func append(decimal value: UInt64, to bytes: inout [UInt8]) {
        bytes.append(atMost: TextCursor.longestNumber) { $0.decimal(value) }
    }

    private static let bucket = Array("_bucket{".utf8)
    private static let bound = Array("le=\"".utf8)
    private static let sum = Array("_sum".utf8)
    private static let count = Array("_count".utf8)
}
