/// Answers of other servers by what was asked, for as long as their records live.
///
/// The one that was not used for longest makes room (LRU). An answer is kept as it came, so that nothing of it is lost;
/// only its TTLs are counted down (RFC 1035 §3.2.1).
public struct DNSCache: Sendable {
    public struct Key: Hashable, Sendable {
        public var question: DNSQuestion
        /// Flags of the query that the answer depends on.
        public var wantsSecurity: Bool
        public var checkingDisabled: Bool

        public init(question: DNSQuestion, wantsSecurity: Bool, checkingDisabled: Bool) {
            self.question = question
            self.wantsSecurity = wantsSecurity
            self.checkingDisabled = checkingDisabled
        }
    }

    private struct Entry {
        var key: Key
        var answer: DNSAnswer
        /// Nanoseconds of CLOCK_MONOTONIC.
        var stored: UInt64
        var expires: UInt64
        var newer: Int
        var older: Int
    }

    public let capacity: Int
    private var entries: [Entry] = []
    private var places: [Key: Int] = [:]
    private var free: [Int] = []
    private var newest = -1
    private var oldest = -1

    /// - Parameter capacity: answers that are kept.
    public init(capacity: Int = 4096) { self.capacity = max(capacity, 0) }

    public var count: Int { places.count }

    /// Keeps an answer, if its records allow it.
    public mutating func insert(_ answer: DNSAnswer, for key: Key, now: UInt64) {
        guard capacity > 0, let seconds = answer.lifetime, seconds > 0 else { return }
        remove(key)
        if places.count >= capacity, oldest >= 0 { remove(entries[oldest].key) }
        let entry = Entry(
            key: key, answer: answer, stored: now, expires: now + UInt64(seconds) * 1_000_000_000, newer: -1, older: -1)
        let place: Int
        if let unused = free.popLast() {
            place = unused
            entries[place] = entry
        } else {
            place = entries.count
            entries.append(entry)
        }
        places[key] = place
        link(place)
    }

    /// The answer with its age in seconds; nil if there is none that is still valid.
    public mutating func lookup(_ key: Key, now: UInt64) -> (answer: DNSAnswer, age: UInt32)? {
        guard let place = places[key] else { return nil }
        guard now < entries[place].expires else {
            remove(key)
            return nil
        }
        unlink(place)
        link(place)
        let age = now > entries[place].stored ? (now - entries[place].stored) / 1_000_000_000 : 0
        return (entries[place].answer, UInt32(truncatingIfNeeded: age))
    }

    /// Forgets everything: other servers may know other things.
    public mutating func removeAll() { self = DNSCache(capacity: capacity) }

    private mutating func remove(_ key: Key) {
        guard let place = places.removeValue(forKey: key) else { return }
        unlink(place)
        // The bytes are not needed any more.
        entries[place].answer = DNSAnswer()
        free.append(place)
    }

    private mutating func link(_ place: Int) {
        entries[place].newer = -1
        entries[place].older = newest
        if newest >= 0 { entries[newest].newer = place }
        newest = place
        if oldest < 0 { oldest = place }
    }

    private mutating func unlink(_ place: Int) {
        let (newer, older) = (entries[place].newer, entries[place].older)
        if newer >= 0 { entries[newer].older = older } else { newest = older }
        if older >= 0 { entries[older].newer = newer } else { oldest = newer }
    }
}
