import Proxy

/// What happened between two readings: for each series that has changed, in their order. Memory: 48 bytes for each
/// series with requests and 8 for each of its buckets, 64 for each with connections.
struct SignalChanges: Sendable {
    struct Requests: Sendable {
        var series: Int32
        var succeeded: UInt32 = 0
        var failed: UInt32 = 0
        var clientEnded: UInt32 = 0
        /// Of bodies.
        var requestBytes: UInt64 = 0
        var responseBytes: UInt64 = 0
        /// Where its buckets begin, and how many there are.
        var bucketStart: Int32 = 0
        var bucketCount: Int32 = 0
    }

    /// Requests that took as long as a bucket of `LatencyHistogram` says.
    struct Bucket: Sendable, Equatable {
        var number: UInt8
        var count: UInt32
    }

    struct Connections: Sendable {
        var series: Int32
        var opened: UInt32 = 0
        var failed: UInt32 = 0
        var denied: UInt32 = 0
        var noBackend: UInt32 = 0
        var retransmits: UInt32 = 0
        var rttCount: UInt32 = 0
        /// Milliseconds.
        var windowLimited: UInt32 = 0
        /// Microseconds.
        var rttSum: UInt64 = 0
        var sentBytes: UInt64 = 0
        var receivedBytes: UInt64 = 0
    }

    /// CLOCK_MONOTONIC, in nanoseconds.
    var from: UInt64
    var to: UInt64
    private(set) var requests: [Requests] = []
    private(set) var buckets: [Bucket] = []
    private(set) var connections: [Connections] = []

    init(from: UInt64, to: UInt64) {
        self.from = from
        self.to = to
    }

    var isEmpty: Bool { requests.isEmpty && connections.isEmpty }

    /// How much memory it takes, in entries.
    var size: Int { requests.count + connections.count + buckets.count / 8 }

    func buckets(of change: Requests) -> ArraySlice<Bucket> {
        buckets[Int(change.bucketStart)..<Int(change.bucketStart + change.bucketCount)]
    }

    /// Adds what changed of one series, which comes after those that are there.
    mutating func append(_ change: Requests, buckets: some Sequence<Bucket>) {
        var change = change
        change.bucketStart = Int32(self.buckets.count)
        self.buckets += buckets
        change.bucketCount = Int32(self.buckets.count) - change.bucketStart
        requests.append(change)
    }

    mutating func append(_ change: Connections) { connections.append(change) }

    /// Both as one: the time between them had no change.
    static func merged(_ a: SignalChanges, _ b: SignalChanges) -> SignalChanges {
        var result = SignalChanges(from: a.from, to: b.to)
        merge(a.requests, b.requests, \.series) { left, right in
            switch (left, right) {
            case (let left?, let right?):
                var sum = left
                sum.add(right)
                result.append(sum, buckets: Self.sum(a.buckets(of: left), b.buckets(of: right)))
            case (let left?, nil): result.append(left, buckets: a.buckets(of: left))
            case (nil, let right?): result.append(right, buckets: b.buckets(of: right))
            case (nil, nil): break
            }
        }
        merge(a.connections, b.connections, \.series) { left, right in
            guard var sum = left ?? right else { return }
            if let right, left != nil { sum.add(right) }
            result.append(sum)
        }
        return result
    }

    /// Walks through two sequences in the order of their keys.
    private static func merge<Element>(
        _ a: [Element], _ b: [Element], _ key: KeyPath<Element, Int32>, _ body: (Element?, Element?) -> Void
    ) {
        var left = 0
        var right = 0
        while left < a.count || right < b.count {
            let leftKey = left < a.count ? a[left][keyPath: key] : .max
            let rightKey = right < b.count ? b[right][keyPath: key] : .max
            body(leftKey <= rightKey ? a[left] : nil, rightKey <= leftKey ? b[right] : nil)
            if leftKey <= rightKey { left += 1 }
            if rightKey <= leftKey { right += 1 }
        }
    }

    private static func sum(_ a: ArraySlice<Bucket>, _ b: ArraySlice<Bucket>) -> [Bucket] {
        var sums: [Bucket] = []
        var right = b
        for bucket in a {
            while let next = right.first, next.number < bucket.number { sums.append(right.removeFirst()) }
            var sum = bucket
            if let next = right.first, next.number == bucket.number {
                sum.count.add(next.count)
                right.removeFirst()
            }
            sums.append(sum)
        }
        return sums + right
    }
}

extension SignalChanges.Requests {
    var count: UInt64 { UInt64(succeeded) + UInt64(failed) + UInt64(clientEnded) }

    mutating func add(_ other: Self) {
        succeeded.add(other.succeeded)
        failed.add(other.failed)
        clientEnded.add(other.clientEnded)
        requestBytes &+= other.requestBytes
        responseBytes &+= other.responseBytes
    }
}

extension SignalChanges.Connections {
    var isEmpty: Bool {
        opened | failed | denied | noBackend | retransmits | rttCount | windowLimited == 0
            && sentBytes | receivedBytes == 0
    }

    mutating func add(_ other: Self) {
        opened.add(other.opened)
        failed.add(other.failed)
        denied.add(other.denied)
        noBackend.add(other.noBackend)
        retransmits.add(other.retransmits)
        rttCount.add(other.rttCount)
        windowLimited.add(other.windowLimited)
        rttSum &+= other.rttSum
        sentBytes &+= other.sentBytes
        receivedBytes &+= other.receivedBytes
    }
}

extension UInt32 {
    /// Stays at the largest value rather than to begin again.
    mutating func add(_ other: some BinaryInteger) {
        self = UInt32(clamping: UInt64(self) + UInt64(clamping: other))
    }
}
