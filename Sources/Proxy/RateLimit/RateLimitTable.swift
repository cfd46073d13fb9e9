internal import Synchronization

/// The counters of one limit, over all workers: a fixed number of places, found by the hash of the client's key.
///
/// A key has eight places that it may be in. A place is free for another key when its bucket is full again, or its
/// period over: nothing is lost with it then. A key that finds no place counts in a bucket that all such keys share, so
/// that inventing keys neither needs memory nor gets past the limit.
struct RateLimitTable: ~Copyable, Sendable {
    static let ways = 8

    struct Place: ~Copyable, Sendable {
        /// 0: never used.
        let key = Atomic<UInt64>(0)
        let state = Atomic<UInt64>(0)
    }

    private let places: FixedArray<Place>
    private let sets: UInt64
    let limited = Atomic<UInt64>(0)
    let overflows = Atomic<UInt64>(0)
    /// Something was counted since the quotas were last saved.
    let isDirty = Atomic<Bool>(false)

    /// - Parameter keys: 0: one bucket for all.
    init(keys: Int) {
        sets = UInt64(keys / Self.ways)
        places = FixedArray(count: Int(sets) * Self.ways + 1) { _ in Place() }
    }

    /// Where the key's state is.
    ///
    /// - Parameter isFree: whether a place with this state may go to another key.
    @inline(__always)
    func place(_ key: UInt64, isFree: (UInt64) -> Bool) -> Int {
        guard sets > 0 else { return 0 }
        let key = key == 0 ? 1 : key
        let first = Int(key % sets) * Self.ways
        for place in first..<first + Self.ways where places[place].key.load(ordering: .relaxed) == key { return place }
        for place in first..<first + Self.ways {
            let owner = places[place].key.load(ordering: .relaxed)
            if owner == key { return place }
            guard owner == 0 || isFree(places[place].state.load(ordering: .relaxed)) else { continue }
            let (exchanged, original) = places[place].key.compareExchange(
                expected: owner, desired: key, ordering: .relaxed)
            if exchanged || original == key { return place }
        }
        overflows.wrappingAdd(1, ordering: .relaxed)
        return places.count - 1
    }

    @inline(__always)
    func state(_ place: Int) -> UInt64 { places[place].state.load(ordering: .relaxed) }

    /// - Returns: nil if it was exchanged, otherwise what is there.
    @inline(__always)
    func exchange(_ place: Int, _ expected: UInt64, for desired: UInt64) -> UInt64? {
        let (exchanged, original) = places[place].state.weakCompareExchange(
            expected: expected, desired: desired, ordering: .relaxed)
        return exchanged ? nil : original
    }

    // MARK: - Quotas

    /// Quotas' states: the period in the upper half, the count in the lower.
    func restore(key: UInt64, period: UInt32, count: UInt32) {
        let place = key == 0 ? places.count - 1 : place(key) { $0 >> 32 < UInt64(period) }
        let state = places[place].state.load(ordering: .relaxed)
        let counted = state >> 32 == UInt64(period) ? state & 0xffff_ffff : 0
        let sum = min(counted + UInt64(count), UInt64(UInt32.max))
        places[place].state.store(UInt64(period) << 32 | sum, ordering: .relaxed)
    }

    /// Every key with its period and count. The shared bucket and the one for all have key 0.
    func records() -> [(key: UInt64, period: UInt32, count: UInt32)] {
        places.indices.compactMap { place in
            let state = places[place].state.load(ordering: .relaxed)
            guard state & 0xffff_ffff > 0 else { return nil }
            let key = places[place].key.load(ordering: .relaxed)
            return (key, UInt32(state >> 32), UInt32(truncatingIfNeeded: state))
        }
    }
}
