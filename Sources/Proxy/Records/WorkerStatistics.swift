import Synchronization

/// What one worker counts: requests by who, what and how, and the worker's own counters.
///
/// The worker's thread writes and any thread reads. All words are relaxed atomics that only the worker changes, so that
/// counting is plain loads and stores: no lock, no bus lock, no allocation. A reader may see a request half counted; it
/// sees the other half the next time.
///
/// The memory is of a fixed size and lives as long as the process: there is one for each worker, and a copy of this value
/// is another name for it. Requests that find no room for another combination of names count in one entry that is marked
/// as the overflow.
@safe
public struct WorkerStatistics: @unchecked Sendable {
    // Safe: the pointers are to memory that is never freed, their indices are made here and masked or compared with the
    // capacity, and `index` and `free` belong to the writer.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let index: UnsafeMutablePointer<UInt32>
    private let free: UnsafeMutablePointer<UInt32>
    private let capacity: Int
    private let mask: Int

    /// Words before the entries.
    private enum Header {
        static let used = 0  // entries in use or used before: none behind them
        static let freeCount = 1
        static let retirements = 2  // asked for since the last look
        static let counters = 3
        static let handshakeFailures = counters + ProxyCounter.allCases.count
        static let violations = handshakeFailures + TLSFailure.allCases.count
        static let size = violations + HTTP2Violation.allCases.count
    }

    /// Words of an entry.
    private enum Entry {
        static let generation = 0  // 0: never used; odd: not in use
        static let source = 1
        static let service = 2
        static let destination = 3
        static let outcome = 4
        static let rule = 5
        static let retirement = 6  // the reader's count + 1 when it asked
        static let count = 7
        static let duration = 8  // sum, then buckets
        static let requestBytes = duration + 1 + RequestHistogram.bucketCount
        static let responseBytes = requestBytes + 1 + RequestHistogram.bucketCount
        static let size = responseBytes + 1 + RequestHistogram.bucketCount
    }

    /// - Parameter capacity: combinations of names that are counted each for itself; the memory is about 700 bytes for
    ///   each that is ever used.
    public init(capacity: Int = 4096) {
        let capacity = min(max(capacity, 1), 1 << 20)
        self.capacity = capacity
        var slots = 4
        while slots < 2 * capacity { slots *= 2 }
        mask = slots - 1
        let count = Header.size + (capacity + 1) * Entry.size
        // Fresh pages read as zeroes, which is what a counter begins with, and take no memory before they are used.
        unsafe words = Pages.reserve(count * MemoryLayout<Atomic<UInt64>>.stride).bindMemory(
            to: Atomic<UInt64>.self, capacity: count)
        unsafe index = .allocate(capacity: slots)
        unsafe index.initialize(repeating: 0, count: slots)
        unsafe free = .allocate(capacity: capacity)
        unsafe free.initialize(repeating: 0, count: capacity)
    }

    // MARK: The worker's side

    /// Counts a request that has ended.
    public func record(_ record: RequestRecord) {
        let entry = entry(for: Key(record))
        let microseconds = record.ended > record.started ? (record.ended &- record.started) / 1000 : 0
        bump(entry &+ Entry.count, 1)
        bump(entry &+ Entry.duration, microseconds)
        bump(entry &+ Entry.duration &+ 1 &+ RequestHistogram.bucket(thousandths: microseconds), 1)
        bump(entry &+ Entry.requestBytes, record.requestBody)
        bump(entry &+ Entry.requestBytes &+ 1 &+ RequestHistogram.bucket(bytes: record.requestBody), 1)
        bump(entry &+ Entry.responseBytes, record.responseBody)
        bump(entry &+ Entry.responseBytes &+ 1 &+ RequestHistogram.bucket(bytes: record.responseBody), 1)
    }

    /// Changes a counter; only gauges go down.
    public func add(_ counter: ProxyCounter, _ change: Int64 = 1) {
        bump(Header.counters &+ counter.rawValue, UInt64(bitPattern: change))
    }

    /// Counts a connection to another agent that could not be made, by cause.
    func count(_ failure: TLSFailure) { bump(Header.handshakeFailures &+ Int(failure.rawValue), 1) }

    /// Counts a peer whose connection was ended for its behaviour.
    func count(_ violation: HTTP2Violation) { bump(Header.violations &+ Int(violation.rawValue), 1) }

    /// Sets a gauge.
    public func set(_ gauge: ProxyCounter, _ value: UInt64) { store(Header.counters &+ gauge.rawValue, value) }

    /// The place of the entry's first word.
    private func entry(for key: Key) -> Int {
        var slot = Int(truncatingIfNeeded: key.hash) & mask
        while true {
            let found = unsafe index[slot]
            guard found != 0 else { return newEntry(for: key, slot: slot) }
            let entry = place(Int(found) &- 1)
            if load(entry &+ Entry.source) == key.source && load(entry &+ Entry.service) == key.service
                && load(entry &+ Entry.destination) == key.destination
                && load(entry &+ Entry.outcome) == key.outcome && load(entry &+ Entry.rule) == key.rule
            {
                return entry
            }
            slot = (slot &+ 1) & mask
        }
    }

    private func place(_ number: Int) -> Int { Header.size &+ number &* Entry.size }

    @inline(never)
    private func newEntry(for key: Key, slot: Int) -> Int {
        var slot = slot
        let number: Int
        let used = Int(load(Header.used))
        if used < capacity {
            number = used
        } else {
            if load(Header.freeCount) == 0 {
                guard retire() else { return place(capacity) }
                slot = emptySlot(for: key)
            }
            let left = Int(load(Header.freeCount)) - 1
            number = Int(unsafe free[left])
            store(Header.freeCount, UInt64(left))
        }
        let entry = place(number)
        store(entry + Entry.source, key.source)
        store(entry + Entry.service, key.service)
        store(entry + Entry.destination, key.destination)
        store(entry + Entry.outcome, key.outcome)
        store(entry + Entry.rule, key.rule)
        // From here on readers see it: 0 and odd numbers become even ones.
        let generation = load(entry + Entry.generation)
        unsafe words[entry + Entry.generation].store(generation + (generation & 1 == 1 ? 1 : 2), ordering: .releasing)
        unsafe index[slot] = UInt32(number + 1)
        if number == used { unsafe words[Header.used].store(UInt64(used + 1), ordering: .releasing) }
        return entry
    }

    private func emptySlot(for key: Key) -> Int {
        var slot = Int(truncatingIfNeeded: key.hash) & mask
        while unsafe index[slot] != 0 { slot = (slot + 1) & mask }
        return slot
    }

    /// Frees the entries that the reader has done with and that have not counted since. False: there is none.
    private func retire() -> Bool {
        guard load(Header.retirements) > 0 else { return false }
        _ = unsafe words[Header.retirements].exchange(0, ordering: .acquiring)
        var freed = 0
        for number in 0..<capacity {
            let entry = place(number)
            let retirement = unsafe words[entry + Entry.retirement].load(ordering: .acquiring)
            guard retirement != 0 else { continue }
            store(entry + Entry.retirement, 0)
            guard retirement == load(entry + Entry.count) &+ 1 else { continue }
            bump(entry + Entry.generation, 1)
            atomicMemoryFence(ordering: .releasing)
            for word in Entry.count..<Entry.size { store(entry + word, 0) }
            unsafe free[freed] = UInt32(number)
            freed += 1
        }
        guard freed > 0 else { return false }
        store(Header.freeCount, UInt64(freed))
        unsafe index.update(repeating: 0, count: mask + 1)
        for number in 0..<capacity where load(place(number) + Entry.generation) & 1 == 0 {
            unsafe index[emptySlot(for: key(at: place(number)))] = UInt32(number + 1)
        }
        return true
    }

    private func key(at entry: Int) -> Key {
        Key(
            source: load(entry + Entry.source), service: load(entry + Entry.service),
            destination: load(entry + Entry.destination), outcome: load(entry + Entry.outcome),
            rule: load(entry + Entry.rule))
    }

    private func load(_ word: Int) -> UInt64 { unsafe words[word].load(ordering: .relaxed) }
    private func store(_ word: Int, _ value: UInt64) { unsafe words[word].store(value, ordering: .relaxed) }
    private func bump(_ word: Int, _ change: UInt64) { store(word, load(word) &+ change) }

    // MARK: The reader's side

    public func value(_ counter: ProxyCounter) -> UInt64 { load(Header.counters + counter.rawValue) }

    /// Connections to other agents that could not be made, by cause.
    public var handshakeFailures: [(cause: String, count: UInt64)] {
        TLSFailure.allCases.map { ($0.text, load(Header.handshakeFailures + Int($0.rawValue))) }
    }

    /// Peers whose connections were ended for breaking the rules of HTTP/2, or for a flood, by cause.
    public var peerViolations: [(cause: String, count: UInt64)] {
        HTTP2Violation.allCases.map { ($0.text, load(Header.violations + Int($0.rawValue))) }
    }

    /// The number of entries there are to read, the overflow's among them.
    public var entryCount: Int { Int(unsafe words[Header.used].load(ordering: .acquiring)) + 1 }

    /// Reads an entry: the overflow's is at 0.
    ///
    /// - Returns: nil if it is not in use, or not any more.
    public func reading(at position: Int) -> Reading? {
        guard position > 0 else { return overflow }
        guard position <= capacity else { return nil }
        let entry = place(position - 1)
        let generation = unsafe words[entry + Entry.generation].load(ordering: .acquiring)
        guard generation != 0, generation & 1 == 0 else { return nil }
        let reading = Reading(key: key(at: entry), generation: generation, requests: requests(at: entry))
        atomicMemoryFence(ordering: .acquiring)
        return load(entry + Entry.generation) == generation ? reading : nil
    }

    private var overflow: Reading? {
        let requests = requests(at: place(capacity))
        return requests.count == 0 ? nil : Reading(key: .overflow, generation: 0, requests: requests)
    }

    private func requests(at entry: Int) -> RequestCounts {
        var requests = RequestCounts()
        requests.count = load(entry + Entry.count)
        requests.duration = histogram(at: entry + Entry.duration)
        requests.requestBytes = histogram(at: entry + Entry.requestBytes)
        requests.responseBytes = histogram(at: entry + Entry.responseBytes)
        return requests
    }

    private func histogram(at word: Int) -> RequestHistogram {
        var histogram = RequestHistogram()
        histogram.sum = load(word)
        for bucket in 0..<RequestHistogram.bucketCount { histogram.buckets[bucket] = load(word + 1 + bucket) }
        return histogram
    }

    /// Lets the worker use an entry's room for something else, once it has none left and if the entry still is as it was
    /// read.
    public func retire(_ reading: Reading, at position: Int) {
        guard position > 0, position <= capacity else { return }
        let entry = place(position - 1)
        unsafe words[entry + Entry.retirement].store(reading.requests.count &+ 1, ordering: .releasing)
        unsafe words[Header.retirements].add(1, ordering: .releasing)
    }
}
