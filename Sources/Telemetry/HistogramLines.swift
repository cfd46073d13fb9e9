/// The lines of one histogram. Most of an exposition is such lines, and most of each line is the same as in the one
/// before: it is copied as one piece into memory that was made for all of them.
struct HistogramLines {
    private var buffer: [UInt8]
    private var used = 0
    /// Up to the bound: `name_bucket{labels,le="`.
    private var bucketPrefix: [UInt8]
    private let name: [UInt8]
    private let labels: [UInt8]

    /// - Parameter lines: at most so many will follow.
    init(name: [UInt8], labels: MetricLabels, lines: Int) {
        self.name = name
        self.labels = labels.bytes
        bucketPrefix = name + Array("_bucket{".utf8) + labels.bytes
        if !labels.bytes.isEmpty { bucketPrefix.append(UInt8(ascii: ",")) }
        bucketPrefix += Array("le=\"".utf8)
        // The longest number has 20 digits, a bound has fewer.
        buffer = [UInt8](repeating: 0, count: lines * (bucketPrefix.count + 48))
    }

    /// `bound` is the text after `le=`; `cumulative` counts the values up to it.
    mutating func bucket(_ bound: [UInt8], _ cumulative: UInt64) {
        copy(bucketPrefix)
        copy(bound)
        buffer[used] = UInt8(ascii: "\"")
        buffer[used + 1] = UInt8(ascii: "}")
        buffer[used + 2] = UInt8(ascii: " ")
        used += 3
        number(cumulative)
    }

    mutating func end(sum: [UInt8], count: UInt64) {
        plain(Self.sumSuffix)
        copy(sum)
        buffer[used] = UInt8(ascii: "\n")
        used += 1
        plain(Self.countSuffix)
        number(count)
    }

    func append(to bytes: inout [UInt8]) { bytes.append(contentsOf: buffer[..<used]) }

    private static let sumSuffix = Array("_sum".utf8)
    private static let countSuffix = Array("_count".utf8)

    private mutating func plain(_ suffix: [UInt8]) {
        copy(name)
        copy(suffix)
        if !labels.isEmpty {
            buffer[used] = UInt8(ascii: "{")
            used += 1
            copy(labels)
            buffer[used] = UInt8(ascii: "}")
            used += 1
        }
        buffer[used] = UInt8(ascii: " ")
        used += 1
    }

    /// A number and the end of its line.
    private mutating func number(_ value: UInt64) {
        var rest = value
        var digits = 1
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        rest = value
        for place in (used..<(used + digits)).reversed() {
            buffer[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        used += digits
        buffer[used] = UInt8(ascii: "\n")
        used += 1
    }

    private mutating func copy(_ piece: [UInt8]) {
        let start = used
        used += piece.count
        unsafe buffer.withUnsafeMutableBytes { target in
            unsafe piece.withUnsafeBytes { source in
                // The ranges were reckoned with when the buffer was made; an error in that is a trap, not a write elsewhere.
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<(start + source.count)])
                    .copyMemory(from: source)
            }
        }
    }
}
