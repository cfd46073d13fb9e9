import Proxy
import WeftABI

/// Turns cumulative counters, the kernel's and the workers', into what has changed since they were last read.
///
/// A counter that is smaller than it was belongs to an entry that was deleted and made again: all of it is new. What the
/// kernel had counted before the first reading, for an earlier agent, is nobody's change.
struct SignalReader: Sendable {
    private struct RequestMemory: Sendable {
        var count: UInt64 = 0
        var requestBytes: UInt64 = 0
        var responseBytes: UInt64 = 0
        /// The lower halves: no bucket grows by more between two readings.
        var buckets = InlineArray<64, UInt32>(repeating: 0)
        var series: Int32
        var round: UInt32 = 0
        var generation: UInt64 = 0
    }

    private struct ConnectionMemory: Sendable {
        var counters = ConnectionCounters()
        var series: Int32
        var round: UInt32 = 0
        var generation: UInt64 = 0
    }

    private struct Pending {
        var requests: SignalChanges.Requests
        var buckets = InlineArray<64, UInt32>(repeating: 0)
    }

    private(set) var series = SignalSeries()
    private var traffic: [TrafficKey: ConnectionMemory] = [:]
    private var requests: [KernelRequestKey: RequestMemory] = [:]
    /// By worker, then by place.
    private var proxied: [[Int: RequestMemory]] = []
    private var tunnelled: [[Int: ConnectionMemory]] = []
    private var round: UInt32 = 0
    /// Whether what was counted before the first reading is a change.
    private let takesPast: Bool
    private var pendingRequests: [Int32: Pending] = [:]
    private var pendingConnections: [Int32: SignalChanges.Connections] = [:]

    /// - Parameter takesPast: whether what was counted before the first reading is a change.
    init(takesPast: Bool = false) { self.takesPast = takesPast }

    /// - Parameters:
    ///   - traffic: entries of the kernel's map, summed over the CPUs.
    ///   - requests: the same.
    ///   - workers: always the same ones in the same order.
    ///   - changes: gets what has changed.
    mutating func read(
        traffic: some Sequence<(key: weft_traffic_key, sum: weft_traffic)>,
        requests: some Sequence<(key: weft_requests_key, sum: weft_requests)>, workers: [WorkerStatistics],
        into changes: inout SignalChanges
    ) {
        round &+= 1
        for (key, sum) in traffic { take(key, sum, changes.to) }
        for (key, sum) in requests { take(key, sum, changes.to) }
        while proxied.count < workers.count {
            proxied.append([:])
            tunnelled.append([:])
        }
        for (number, worker) in workers.enumerated() {
            for position in 0..<worker.entryCount { takeRequests(of: worker, number, at: position, changes.to) }
            for position in 0..<worker.connectionEntryCount {
                takeConnections(of: worker, number, at: position, changes.to)
            }
        }
        forgetDeleted()
        for pending in pendingRequests.values.sorted(by: { $0.requests.series < $1.requests.series }) {
            changes.append(pending.requests, buckets: Self.filled(pending.buckets))
        }
        for pending in pendingConnections.values.sorted(by: { $0.series < $1.series }) { changes.append(pending) }
        pendingRequests.removeAll(keepingCapacity: true)
        pendingConnections.removeAll(keepingCapacity: true)
    }

    /// Lets series go that nothing counts for any more and that have not changed since `time`.
    mutating func expire(before time: UInt64) { series.expire(before: time) }

    // MARK: The kernel's

    private mutating func take(_ key: weft_traffic_key, _ sum: weft_traffic, _ now: UInt64) {
        let signal = SignalKey(key)
        guard !signal.isOverflow else { return }
        let identity = TrafficKey(key)
        var memory = traffic[identity] ?? ConnectionMemory(series: series.retain(signal))
        advance(&memory, to: ConnectionCounters(sum), countsChange: round > 1 || takesPast, now)
        traffic[identity] = memory
    }

    private mutating func take(_ key: weft_requests_key, _ sum: weft_requests, _ now: UInt64) {
        let signal = SignalKey(key)
        guard !signal.isOverflow, let outcome = RequestOutcome(key) else { return }
        let identity = KernelRequestKey(key)
        var memory = requests[identity] ?? RequestMemory(series: series.retain(signal))
        memory.round = round
        defer { requests[identity] = memory }
        guard sum.count != memory.count else { return }
        let reading = unsafe withUnsafeBytes(of: sum.duration.buckets) { bytes in
            RequestReading(
                count: sum.count, requestBytes: sum.request_body.sum, responseBytes: sum.response_body.sum
            ) { unsafe bytes.load(fromByteOffset: $0 * 8, as: UInt64.self) }
        }
        advance(&memory, to: reading, outcome, countsChange: round > 1 || takesPast, now)
    }

    /// What the kernel has no more.
    private mutating func forgetDeleted() {
        for (key, memory) in traffic where memory.round != round {
            series.addOpen(-memory.counters.open, to: memory.series)
            series.release(memory.series)
            traffic[key] = nil
        }
        for (key, memory) in requests where memory.round != round {
            series.release(memory.series)
            requests[key] = nil
        }
    }

    // MARK: The workers'

    private mutating func takeRequests(
        of worker: WorkerStatistics, _ number: Int, at position: Int, _ now: UInt64
    ) {
        guard let reading = worker.reading(at: position), reading.key != .overflow,
            let outcome = RequestOutcome(reading.key)
        else {
            if let gone = proxied[number].removeValue(forKey: position) { series.release(gone.series) }
            return
        }
        var known = proxied[number].removeValue(forKey: position)
        if let gone = known, gone.generation != reading.generation {
            series.release(gone.series)
            known = nil
        }
        var memory =
            known ?? RequestMemory(series: series.retain(SignalKey(reading.key)), generation: reading.generation)
        let counts = reading.requests
        if counts.count != memory.count {
            advance(
                &memory,
                to: RequestReading(
                    count: counts.count, requestBytes: counts.requestBytes.sum, responseBytes: counts.responseBytes.sum
                ) { counts.duration.buckets[$0] },
                outcome, countsChange: true, now)
        }
        proxied[number][position] = memory
    }

    private mutating func takeConnections(
        of worker: WorkerStatistics, _ number: Int, at position: Int, _ now: UInt64
    ) {
        guard let reading = worker.connections(at: position), let key = reading.key else {
            if let gone = tunnelled[number].removeValue(forKey: position) { forget(gone) }
            return
        }
        var known = tunnelled[number].removeValue(forKey: position)
        if let gone = known, gone.generation != reading.generation {
            forget(gone)
            known = nil
        }
        var memory = known ?? ConnectionMemory(series: series.retain(SignalKey(key)), generation: reading.generation)
        advance(&memory, to: ConnectionCounters(reading.counts), countsChange: true, now)
        tunnelled[number][position] = memory
    }

    private mutating func forget(_ memory: ConnectionMemory) {
        series.addOpen(-memory.counters.open, to: memory.series)
        series.release(memory.series)
    }

    // MARK: Differences

    private mutating func advance(
        _ memory: inout RequestMemory, to reading: RequestReading, _ outcome: RequestOutcome, countsChange: Bool,
        _ now: UInt64
    ) {
        if reading.count < memory.count {
            memory = RequestMemory(series: memory.series, round: memory.round, generation: memory.generation)
        }
        if countsChange {
            var pending =
                pendingRequests[memory.series] ?? Pending(requests: SignalChanges.Requests(series: memory.series))
            let count = reading.count &- memory.count
            switch outcome {
            case .succeeded: pending.requests.succeeded.add(count)
            case .failed: pending.requests.failed.add(count)
            case .clientEnded: pending.requests.clientEnded.add(count)
            }
            pending.requests.requestBytes &+= reading.requestBytes &- memory.requestBytes
            pending.requests.responseBytes &+= reading.responseBytes &- memory.responseBytes
            for bucket in reading.buckets.indices {
                pending.buckets[bucket].add(reading.buckets[bucket] &- memory.buckets[bucket])
            }
            pendingRequests[memory.series] = pending
            series.touch(memory.series, now)
        }
        memory.count = reading.count
        memory.requestBytes = reading.requestBytes
        memory.responseBytes = reading.responseBytes
        memory.buckets = reading.buckets
    }

    private mutating func advance(
        _ memory: inout ConnectionMemory, to counters: ConnectionCounters, countsChange: Bool, _ now: UInt64
    ) {
        memory.round = round
        guard counters != memory.counters else { return }
        let change = counters.since(memory.counters)
        series.addOpen(counters.open &- memory.counters.open, to: memory.series)
        memory.counters = counters
        guard countsChange else { return }
        var pending = SignalChanges.Connections(series: memory.series)
        pending.opened.add(change.opened)
        pending.failed.add(change.failed)
        pending.denied.add(change.denied)
        pending.noBackend.add(change.noBackend)
        pending.retransmits.add(change.retransmits)
        pending.rttCount.add(change.rttCount)
        pending.windowLimited.add(change.windowLimited)
        pending.rttSum = change.rttSum
        pending.sentBytes = change.sentBytes
        pending.receivedBytes = change.receivedBytes
        series.touch(memory.series, now)
        guard !pending.isEmpty else { return }
        if let known = pendingConnections[memory.series] { pending.add(known) }
        pendingConnections[memory.series] = pending
    }

    private static func filled(_ buckets: InlineArray<64, UInt32>) -> [SignalChanges.Bucket] {
        var filled: [SignalChanges.Bucket] = []
        for number in buckets.indices where buckets[number] > 0 {
            filled.append(SignalChanges.Bucket(number: UInt8(number), count: buckets[number]))
        }
        return filled
    }
}

/// What is read of one entry of requests.
private struct RequestReading {
    var count: UInt64
    var requestBytes: UInt64
    var responseBytes: UInt64
    var buckets: InlineArray<64, UInt32>

    init(count: UInt64, requestBytes: UInt64, responseBytes: UInt64, _ bucket: (Int) -> UInt64) {
        self.count = count
        self.requestBytes = requestBytes
        self.responseBytes = responseBytes
        buckets = InlineArray { UInt32(truncatingIfNeeded: bucket($0)) }
    }
}

/// What is read of one entry of connections.
private struct ConnectionCounters: Equatable, Sendable {
    var opened: UInt64 = 0
    var closed: UInt64 = 0
    var failed: UInt64 = 0
    var denied: UInt64 = 0
    var noBackend: UInt64 = 0
    var retransmits: UInt64 = 0
    var rttCount: UInt64 = 0
    var rttSum: UInt64 = 0
    /// Whole milliseconds: the rest of one reading counts in a later one.
    var windowLimited: UInt64 = 0
    var sentBytes: UInt64 = 0
    var receivedBytes: UInt64 = 0

    init() {}

    init(_ traffic: weft_traffic) {
        opened = traffic.opened
        closed = traffic.closed
        failed = traffic.failed
        denied = traffic.denied
        noBackend = traffic.no_backend
        retransmits = traffic.retransmits
        rttSum = traffic.rtt_us.sum
        rttCount = Histogram(traffic.rtt_us).count
        windowLimited = traffic.window_limited_us / 1000
        sentBytes = traffic.sent_bytes
        receivedBytes = traffic.received_bytes
    }

    init(_ counts: ConnectionCounts) {
        opened = counts.opened
        closed = counts.closed
        sentBytes = counts.sent
        receivedBytes = counts.received
    }

    var open: Int64 { Int64(bitPattern: opened &- closed) }

    func since(_ earlier: Self) -> Self {
        guard
            opened >= earlier.opened, closed >= earlier.closed, failed >= earlier.failed, denied >= earlier.denied,
            noBackend >= earlier.noBackend, retransmits >= earlier.retransmits, rttCount >= earlier.rttCount,
            rttSum >= earlier.rttSum, windowLimited >= earlier.windowLimited, sentBytes >= earlier.sentBytes,
            receivedBytes >= earlier.receivedBytes
        else { return self }
        var change = Self()
        change.opened = opened - earlier.opened
        change.closed = closed - earlier.closed
        change.failed = failed - earlier.failed
        change.denied = denied - earlier.denied
        change.noBackend = noBackend - earlier.noBackend
        change.retransmits = retransmits - earlier.retransmits
        change.rttCount = rttCount - earlier.rttCount
        change.rttSum = rttSum - earlier.rttSum
        change.windowLimited = windowLimited - earlier.windowLimited
        change.sentBytes = sentBytes - earlier.sentBytes
        change.receivedBytes = receivedBytes - earlier.receivedBytes
        return change
    }
}
