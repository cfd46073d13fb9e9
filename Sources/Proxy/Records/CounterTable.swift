import Synchronization

/// What a counter is told apart by; identifiers are hashes already.
typealias CounterKey = InlineArray<6, UInt64>

/// Counters of one worker by key, a few for each.
///
/// The worker's thread writes and any thread reads. All words are relaxed atomics that only the worker changes, so that
/// counting is plain loads and stores: no lock, no bus lock, no allocation. A reader may see an event half counted; it
/// sees the other half the next time.
///
/// The memory is of a fixed size and lives as long as the process, and a copy of this value is another name for it. What
/// finds no room for its key counts in one entry that is marked as the overflow.
@safe
struct CounterTable: @unchecked Sendable {
    // Safe: the pointers are to memory that is never freed, their indices are made here and masked or compared with the
    // capacity, and `index` and `free` belong to the writer.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private let index: UnsafeMutablePointer<UInt32>
    private let free: UnsafeMutablePointer<UInt32>
    private let capacity: Int
    private let mask: Int
    private let entrySize: Int
    /// The second value counts the ends of what the first one counts: entries with something open stay.
    private let countsEnds: Bool

    /// Words before the entries.
    private enum Header {
        static let used = 0  // entries in use or used before: none behind them
        static let freeCount = 1
        static let retirements = 2  // asked for since the last look
        static let size = 3
    }

    /// Words of an entry, before its values.
    private enum Entry {
        static let generation = 0  // 0: never used; odd: not in use
        static let retirement = 1  // the reader's first value + 1 when it asked
        static let key = 2
        static let values = key + 6
    }

    /// - Parameters:
    ///   - capacity: keys that are counted each for itself.
    ///   - values: counters of a key; the first one counts its events.
    init(capacity: Int, values: Int, countsEnds: Bool) {
        let capacity = min(max(capacity, 1), 1 << 20)
        self.capacity = capacity
        self.countsEnds = countsEnds
        entrySize = Entry.values + values
        var slots = 4
        while slots < 2 * capacity { slots *= 2 }
        mask = slots - 1
        let count = Header.size + (capacity + 1) * entrySize
        // Fresh pages read as zeroes, which is what a counter begins with, and take no memory before they are used.
        unsafe words = Pages.reserve(count * MemoryLayout<Atomic<UInt64>>.stride).bindMemory(
            to: Atomic<UInt64>.self, capacity: count)
        unsafe index = .allocate(capacity: slots)
        unsafe index.initialize(repeating: 0, count: slots)
        unsafe free = .allocate(capacity: capacity)
        unsafe free.initialize(repeating: 0, count: capacity)
    }

    // MARK: The worker's side

    /// The place of the key's first value.
    func values(for key: CounterKey) -> Int {
        var slot = Self.hash(key) & mask
        while true {
            let found = unsafe index[slot]
            guard found != 0 else { return newEntry(for: key, slot: slot) &+ Entry.values }
            let entry = place(Int(found) &- 1)
            if has(entry, key) { return entry &+ Entry.values }
            slot = (slot &+ 1) & mask
        }
    }

    func add(_ change: UInt64, at value: Int) { store(value, load(value) &+ change) }

    private func has(_ entry: Int, _ key: CounterKey) -> Bool {
        for position in key.indices where load(entry &+ Entry.key &+ position) != key[position] { return false }
        return true
    }

    private static func hash(_ key: CounterKey) -> Int {
        var hash: UInt64 = 0
        for position in key.indices { hash = (hash ^ hash >> 32 ^ key[position]) &* 0xd6e8_feb8_6659_fd93 }
        return Int(truncatingIfNeeded: hash ^ hash >> 32)
    }

    private func place(_ number: Int) -> Int { Header.size &+ number &* entrySize }

    @inline(never)
    private func newEntry(for key: CounterKey, slot: Int) -> Int {
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
        for position in key.indices { store(entry + Entry.key + position, key[position]) }
        // From here on readers see it: 0 and odd numbers become even ones.
        let generation = load(entry + Entry.generation)
        unsafe words[entry + Entry.generation].store(generation + (generation & 1 == 1 ? 1 : 2), ordering: .releasing)
        unsafe index[slot] = UInt32(number + 1)
        if number == used { unsafe words[Header.used].store(UInt64(used + 1), ordering: .releasing) }
        return entry
    }

    private func emptySlot(for key: CounterKey) -> Int {
        var slot = Self.hash(key) & mask
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
            let count = load(entry + Entry.values)
            guard retirement == count &+ 1, !countsEnds || load(entry + Entry.values + 1) == count else { continue }
            add(1, at: entry + Entry.generation)
            atomicMemoryFence(ordering: .releasing)
            for word in Entry.values..<entrySize { store(entry + word, 0) }
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

    private func key(at entry: Int) -> CounterKey { CounterKey { load(entry + Entry.key + $0) } }

    private func store(_ word: Int, _ value: UInt64) { unsafe words[word].store(value, ordering: .relaxed) }

    // MARK: The reader's side

    /// A value, by its place.
    func load(_ word: Int) -> UInt64 { unsafe words[word].load(ordering: .relaxed) }

    /// The number of entries there are to read, the overflow's among them.
    var entryCount: Int { Int(unsafe words[Header.used].load(ordering: .acquiring)) + 1 }

    /// The place of the overflow's first value.
    var overflow: Int { place(capacity) + Entry.values }

    /// Reads an entry but the overflow's, which is at 0.
    ///
    /// - Parameter body: gets the place of the first value.
    /// - Returns: nil if it is not in use, or not any more.
    func read<Values>(
        at position: Int, _ body: (Int) -> Values
    ) -> (key: CounterKey, generation: UInt64, values: Values)? {
        guard position > 0, position <= capacity else { return nil }
        let entry = place(position - 1)
        let generation = unsafe words[entry + Entry.generation].load(ordering: .acquiring)
        guard generation != 0, generation & 1 == 0 else { return nil }
        let key = key(at: entry)
        let values = body(entry + Entry.values)
        atomicMemoryFence(ordering: .acquiring)
        return load(entry + Entry.generation) == generation ? (key, generation, values) : nil
    }

    /// Lets the worker use an entry's room for something else, once it has none left and if the entry has not counted
    /// further than to `count`, its first value.
    func retire(at position: Int, count: UInt64) {
        guard position > 0, position <= capacity else { return }
        let entry = place(position - 1)
        unsafe words[entry + Entry.retirement].store(count &+ 1, ordering: .releasing)
        unsafe words[Header.retirements].add(1, ordering: .releasing)
    }
}
