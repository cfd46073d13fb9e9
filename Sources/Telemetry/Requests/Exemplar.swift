public import Proxy

/// One request that stands for those of its bucket: the trace in which it can be looked at.
/// Source: https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md#exemplars
public struct Exemplar: Sendable, Equatable {
    /// W3C's trace id: its first eight bytes and its last.
    public var traceID: (UInt64, UInt64)
    /// The request's duration.
    public var microseconds: UInt64
    /// When it ended, since the epoch.
    public var unixNanoseconds: UInt64

    public init(traceID: (UInt64, UInt64), microseconds: UInt64, unixNanoseconds: UInt64) {
        self.traceID = traceID
        self.microseconds = microseconds
        self.unixNanoseconds = unixNanoseconds
    }

    public static func == (a: Self, b: Self) -> Bool {
        a.traceID == b.traceID && a.microseconds == b.microseconds && a.unixNanoseconds == b.unixNanoseconds
    }
}

extension Exemplar {
    /// What follows a sample: ` # {trace_id="…"} 31.007 1700000000.25`.
    fileprivate var text: [UInt8] {
        func hexadecimal(_ value: UInt64) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        var text = Array(" # {trace_id=\"\(hexadecimal(traceID.0))\(hexadecimal(traceID.1))\"} ".utf8)
        text.append(atMost: 64) { text in
            text.decimal(microseconds, fraction: 3)
            text.byte(UInt8(ascii: " "))
            text.decimal(unixNanoseconds / 1_000_000, fraction: 3)
        }
        return text
    }
}

/// The exemplars of one histogram as they are written, by bucket.
struct BucketExemplars {
    private let texts: [Int: [UInt8]]
    /// Of all of them.
    let length: Int

    init(_ texts: [Int: [UInt8]]) {
        self.texts = texts
        length = texts.values.reduce(0) { $0 + $1.count }
    }

    subscript(bucket: Int) -> [UInt8]? { texts[bucket] }
}

/// Exemplars that wait for the next reading, when it is known which series their requests are in: the newest ones.
struct PendingExemplars {
    struct Item {
        var exemplar: Exemplar
        var key: WorkerStatistics.Key
        /// The worker's number.
        var worker: Int
    }

    static let limit = 1024
    private var items: [Item] = []
    private var oldest = 0

    mutating func append(_ item: Item) {
        if items.count < Self.limit { return items.append(item) }
        items[oldest] = item
        oldest = (oldest + 1) % Self.limit
    }

    /// All of them, from the oldest to the newest; none is left.
    mutating func take() -> [Item] {
        defer {
            items = []
            oldest = 0
        }
        return Array(items[oldest...] + items[..<oldest])
    }
}

extension RequestMetrics {
    /// The exemplars of one series: the newest of each of the histogram's buckets.
    struct Exemplars {
        /// By bucket of `LatencyHistogram`.
        private(set) var newest: [Int: Exemplar] = [:]

        mutating func take(_ exemplar: Exemplar) {
            newest[LatencyHistogram.bucket(microseconds: exemplar.microseconds)] = exemplar
        }

        /// As they are written beside the buckets of the durations in milliseconds.
        var rendered: BucketExemplars {
            var exemplars: [Int: Exemplar] = [:]
            for (fine, exemplar) in newest {
                let bucket = LatencyMapping.istio[fine]
                guard exemplars[bucket].map({ $0.unixNanoseconds < exemplar.unixNanoseconds }) ?? true else { continue }
                exemplars[bucket] = exemplar
            }
            return BucketExemplars(exemplars.mapValues(\.text))
        }
    }

    /// Remembers which trace a request of the proxy was part of, for the bucket of its duration. Shown from the next
    /// reading on, in OpenMetrics only.
    ///
    /// - Parameter worker: the number of the worker that has carried it.
    public mutating func note(_ exemplar: Exemplar, for key: WorkerStatistics.Key, worker: Int) {
        pendingExemplars.append(.init(exemplar: exemplar, key: key, worker: worker))
    }

    mutating func placeExemplars(_ peers: [PeerNames], _ directory: some NameDirectory) {
        for item in pendingExemplars.take() {
            let key = RequestKey(item.key, peers: peers.indices.contains(item.worker) ? peers[item.worker] : nil)
            for isFromSource in [true, false] {
                guard
                    let handle = requests.shownHandle(
                        names.requestLabels(key, isFromSource: isFromSource, directory, cluster: cluster))
                else { continue }
                exemplars[handle, default: Exemplars()].take(item.exemplar)
            }
        }
        exemplars = exemplars.filter { requests.isShown($0.key) }
    }
}
