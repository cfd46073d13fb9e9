/// Tokens that were verified, by their text and the rule that accepted them, until they expire: a token that comes again
/// costs no signature check. One for each worker. Those that requests use stay as long as these do.
struct TokenCache: ~Copyable {
    static let capacity = 1024
    private static let ways = 8

    private struct Entry: BitwiseCopyable {
        var hash: UInt64
        var rule: UInt64
        var keys: UInt64
        var end: UInt64
        var used: UInt64
        /// In the index; otherwise it is given back with its last user.
        var place: Int
        var users: UInt32 = 0
        var storage: ClaimStorage
    }

    private var entries: Slab<Entry>
    private var index = FixedArray<UInt32>(repeating: .max, count: capacity)
    private let seed = UInt64.random(in: .min ... .max)
    private(set) var hits: UInt64 = 0
    private(set) var misses: UInt64 = 0

    /// - Parameter users: the most requests at one time.
    init(users: UInt32) {
        entries = Slab(capacity: UInt32(Self.capacity) + users)
    }

    deinit {
        for place in 0..<entries.limit where entries.isLive(place) { unsafe entries[place].storage.deallocate() }
    }

    func hash(_ token: RawSpan) -> UInt64 { ByteText.hash(token, seed: seed) }

    /// - Parameters:
    ///   - rule: the identity of the rule that has to have accepted it.
    ///   - keys: the version of its keys, which have to be those that verified it.
    ///   - now: seconds since 1970.
    mutating func find(_ token: RawSpan, hash: UInt64, rule: UInt64, keys: UInt64, now: UInt64) -> UInt32? {
        let first = Self.first(hash, rule)
        for place in first..<first + Self.ways {
            let entry = index[place]
            guard entry != .max, entries[entry].hash == hash, entries[entry].rule == rule,
                ByteText.equal(entries[entry].storage.token, token)
            else { continue }
            guard entries[entry].keys == keys, now < entries[entry].end else {
                remove(place)
                return nil
            }
            hits &+= 1
            entries[entry].used = hits &+ misses
            return entry
        }
        return nil
    }

    /// Keeps a token that was verified; nil: there is no room, or its payload is no object.
    mutating func insert(
        _ token: RawSpan, _ payload: borrowing JSONView, hash: UInt64, rule: UInt64, keys: UInt64, end: UInt64
    ) -> UInt32? {
        guard let storage = ClaimStorage(payload, token: token) else { return nil }
        misses &+= 1
        let first = Self.first(hash, rule)
        var place = first
        for candidate in first..<first + Self.ways {
            guard index[candidate] != .max else {
                place = candidate
                break
            }
            if entries[index[candidate]].used < entries[index[place]].used { place = candidate }
        }
        if index[place] != .max { remove(place) }
        let entry = Entry(
            hash: hash, rule: rule, keys: keys, end: end, used: hits &+ misses, place: place, storage: storage)
        guard let number = entries.insert(entry) else {
            unsafe storage.deallocate()
            return nil
        }
        index[place] = number
        return number
    }

    func retain(_ entry: UInt32) { entries[entry].users += 1 }

    mutating func release(_ entry: UInt32) {
        entries[entry].users -= 1
        if entries[entry].place < 0 { free(entry) }
    }

    /// Valid as long as the entry is retained.
    @_lifetime(immortal)
    func claims(_ entry: UInt32) -> RequestClaims { entries[entry].storage.claims }

    @_lifetime(immortal)
    func token(_ entry: UInt32) -> RawSpan { entries[entry].storage.token }

    private mutating func remove(_ place: Int) {
        let entry = index[place]
        index[place] = .max
        entries[entry].place = -1
        free(entry)
    }

    private mutating func free(_ entry: UInt32) {
        guard entries[entry].users == 0 else { return }
        unsafe entries[entry].storage.deallocate()
        entries.remove(entry)
    }

    private static func first(_ hash: UInt64, _ rule: UInt64) -> Int {
        let sets = UInt64(capacity / ways)
        return Int((hash ^ rule &* 0x9E37_79B9_7F4A_7C15) % sets) * ways
    }
}
