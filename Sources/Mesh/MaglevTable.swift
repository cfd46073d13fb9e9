/// Maglev's consistent-hashing table (Eisenbud et al., NSDI 2016, §3.4): each backend fills places in the order of its own
/// permutation, in turns, so every backend has nearly the same number of places and a change of one moves few others.
public enum MaglevTable {
    /// Primes; the table has at least a hundred places for each backend, for a share that is even to a percent.
    private static let sizes = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071]

    public static func size(backends: Int) -> Int {
        sizes.first { $0 >= backends * 100 } ?? 131071
    }

    /// The table: for each place the index of its backend. Empty without backends.
    ///
    /// - Parameters:
    ///   - backends: identifiers with their weights, which are not 0; the order does not matter.
    ///   - size: a prime, not less than there are backends. Another size moves nearly every key; nil: one that fits.
    public static func build(_ backends: [(id: UInt64, weight: UInt16)], size: Int? = nil) -> [Int] {
        guard !backends.isEmpty else { return [] }
        let order = backends.indices.sorted { backends[$0].id < backends[$1].id }
        let size = UInt64(size ?? Self.size(backends: backends.count))
        let heaviest = UInt64(backends.map(\.weight).max() ?? 1)
        var table = [Int](repeating: -1, count: Int(size))

        var next = order.map { mix(backends[$0].id) % size }
        let skip = order.map { mix(backends[$0].id ^ 0x9e37_79b9_7f4a_7c15) % (size - 1) + 1 }
        var credit = [UInt64](repeating: 0, count: order.count)
        var filled: UInt64 = 0
        while true {
            for turn in order.indices {
                // A backend takes a turn whenever its weight has added up to the heaviest one's.
                credit[turn] += UInt64(backends[order[turn]].weight)
                guard credit[turn] >= heaviest else { continue }
                credit[turn] -= heaviest
                while table[Int(next[turn])] >= 0 {
                    next[turn] = (next[turn] + skip[turn]) % size
                }
                table[Int(next[turn])] = order[turn]
                filled += 1
                if filled == size { return table }
            }
        }
    }

    /// SplitMix64's finalizer, as in the kernel's programs.
    private static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value ^= value >> 30
        value = value &* 0xbf58_476d_1ce4_e5b9
        value ^= value >> 27
        value = value &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
