import Synchronization

/// What one worker counts: requests by who, what and how, connections through tunnels by who and what, and the worker's
/// own counters.
///
/// The worker's thread writes and any thread reads, without a lock: see `CounterTable`. The memory is of a fixed size and
/// lives as long as the process: there is one for each worker, and a copy of this value is another name for it.
@safe
public struct WorkerStatistics: @unchecked Sendable {
    // Safe: the memory is never freed, and the indices are those of enumerations.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let requests: CounterTable
    let connections: CounterTable

    private enum Counter {
        static let handshakeFailures = ProxyCounter.allCases.count
        static let violations = handshakeFailures + TLSFailure.allCases.count
        static let size = violations + HTTP2Violation.allCases.count
    }

    /// Values of a request's key.
    private enum Request {
        static let count = 0
        static let duration = 1  // sum, then buckets
        static let firstByte = duration + 1 + LatencyHistogram.bucketCount
        static let requestBytes = firstByte + 1 + LatencyHistogram.bucketCount
        static let responseBytes = requestBytes + 1 + SizeHistogram.bucketCount
        static let size = responseBytes + 1 + SizeHistogram.bucketCount
    }

    /// - Parameters:
    ///   - capacity: combinations of names that requests are counted for, each for itself; the memory is about 1.5 KB
    ///     for each that is ever used.
    ///   - connections: the same for connections through tunnels, of about 100 bytes.
    public init(capacity: Int = 4096, connections: Int = 4096) {
        let size = Counter.size * MemoryLayout<Atomic<UInt64>>.stride
        unsafe words = Pages.reserve(size).bindMemory(to: Atomic<UInt64>.self, capacity: Counter.size)
        requests = CounterTable(capacity: capacity, values: Request.size, countsEnds: false)
        self.connections = CounterTable(capacity: connections, values: ConnectionCounts.size, countsEnds: true)
    }

    // MARK: The worker's side

    /// Counts a request that has ended.
    public func record(_ record: RequestRecord) {
        let values = requests.values(for: Key(record).words)
        requests.add(1, at: values &+ Request.count)
        count(record.started, record.ended, at: values &+ Request.duration)
        if record.responded > 0 { count(record.started, record.responded, at: values &+ Request.firstByte) }
        requests.add(record.requestBody, at: values &+ Request.requestBytes)
        requests.add(1, at: values &+ Request.requestBytes &+ 1 &+ SizeHistogram.bucket(bytes: record.requestBody))
        requests.add(record.responseBody, at: values &+ Request.responseBytes)
        requests.add(1, at: values &+ Request.responseBytes &+ 1 &+ SizeHistogram.bucket(bytes: record.responseBody))
    }

    /// Counts requests that could not be followed: nothing of the record but who and how.
    public func recordUnparsed(_ record: RequestRecord, count: UInt64) {
        requests.add(count, at: requests.values(for: Key(record).unparsed.words) &+ Request.count)
    }

    private func count(_ start: UInt64, _ end: UInt64, at histogram: Int) {
        let microseconds = end > start ? (end &- start) / 1000 : 0
        requests.add(microseconds, at: histogram)
        requests.add(1, at: histogram &+ 1 &+ LatencyHistogram.bucket(microseconds: microseconds))
    }

    /// Changes a counter; only gauges go down.
    public func add(_ counter: ProxyCounter, _ change: Int64 = 1) {
        bump(counter.rawValue, UInt64(bitPattern: change))
    }

    /// Counts a connection to another agent that could not be made, by cause.
    func count(_ failure: TLSFailure) { bump(Counter.handshakeFailures &+ Int(failure.rawValue), 1) }

    /// Counts a peer whose connection was ended for its behaviour.
    func count(_ violation: HTTP2Violation) { bump(Counter.violations &+ Int(violation.rawValue), 1) }

    /// Sets a gauge.
    public func set(_ gauge: ProxyCounter, _ value: UInt64) { store(gauge.rawValue, value) }

    private func load(_ word: Int) -> UInt64 { unsafe words[word].load(ordering: .relaxed) }
    private func store(_ word: Int, _ value: UInt64) { unsafe words[word].store(value, ordering: .relaxed) }
    private func bump(_ word: Int, _ change: UInt64) { store(word, load(word) &+ change) }

    // MARK: The reader's side

    public func value(_ counter: ProxyCounter) -> UInt64 { load(counter.rawValue) }

    /// Connections to other agents that could not be made, by cause.
    public var handshakeFailures: [(cause: String, count: UInt64)] {
        TLSFailure.allCases.map { ($0.text, load(Counter.handshakeFailures + Int($0.rawValue))) }
    }

    /// Peers whose connections were ended for breaking the rules of HTTP/2, or for a flood, by cause.
    public var peerViolations: [(cause: String, count: UInt64)] {
        HTTP2Violation.allCases.map { ($0.text, load(Counter.violations + Int($0.rawValue))) }
    }

    /// The number of entries of requests there are to read, the overflow's among them.
    public var entryCount: Int { requests.entryCount }

    /// Reads an entry: the overflow's is at 0.
    ///
    /// - Returns: nil if it is not in use, or not any more.
    public func reading(at position: Int) -> Reading? {
        guard position > 0 else {
            let counts = counts(at: requests.overflow)
            return counts.count == 0 ? nil : Reading(key: .overflow, generation: 0, requests: counts)
        }
        guard let (key, generation, counts) = requests.read(at: position, counts) else { return nil }
        return Reading(key: Key(key), generation: generation, requests: counts)
    }

    private func counts(at values: Int) -> RequestCounts {
        var counts = RequestCounts()
        counts.count = requests.load(values + Request.count)
        counts.duration = latencies(at: values + Request.duration)
        counts.firstByte = latencies(at: values + Request.firstByte)
        counts.requestBytes = sizes(at: values + Request.requestBytes)
        counts.responseBytes = sizes(at: values + Request.responseBytes)
        return counts
    }

    private func latencies(at word: Int) -> LatencyHistogram {
        var histogram = LatencyHistogram()
        histogram.sum = requests.load(word)
        for bucket in 0..<LatencyHistogram.bucketCount { histogram.buckets[bucket] = requests.load(word + 1 + bucket) }
        return histogram
    }

    private func sizes(at word: Int) -> SizeHistogram {
        var histogram = SizeHistogram()
        histogram.sum = requests.load(word)
        for bucket in 0..<SizeHistogram.bucketCount { histogram.buckets[bucket] = requests.load(word + 1 + bucket) }
        return histogram
    }

    /// Lets the worker use an entry's room for something else, once it has none left and if the entry still is as it was
    /// read.
    public func retire(_ reading: Reading, at position: Int) {
        requests.retire(at: position, count: reading.requests.count)
    }
}
