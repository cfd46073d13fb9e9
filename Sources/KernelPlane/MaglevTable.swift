import WeftABI

/// Maglev's consistent-hashing table (Eisenbud et al., NSDI 2016, §3.4): each backend fills places in the order of its own
/// permutation, in turns, so every backend has nearly the same number of places and a change of one moves few others.
enum MaglevTable {
    /// Primes; the table has at least a hundred places for each backend, for a share that is even to a percent.
    private static let sizes = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071]

    static func size(backends: Int) -> Int {
        sizes.first { $0 >= backends * 100 } ?? 131071
    }

    /// The table: element 0 is its length, the rest backend identifiers.
    ///
    /// - Parameter backends: identifiers with their weights; the order does not matter.
    static func build(_ backends: [(id: UInt64, weight: UInt16)]) -> [UInt64] {
        guard !backends.isEmpty else { return [0] }
        let backends = backends.sorted { $0.id < $1.id }
        let size = UInt64(size(backends: backends.count))
        let heaviest = UInt64(backends.map(\.weight).max() ?? 1)
        var table = [UInt64](repeating: 0, count: Int(size) + 1)
        table[0] = size

        var next = backends.map { weft_mix($0.id) % size }
        let skip = backends.map { weft_mix($0.id ^ 0x9e37_79b9_7f4a_7c15) % (size - 1) + 1 }
        var credit = [UInt64](repeating: 0, count: backends.count)
        var filled: UInt64 = 0
        while true {
            for index in backends.indices {
                // A backend takes a turn whenever its weight has added up to the heaviest one's.
                credit[index] += UInt64(backends[index].weight)
                guard credit[index] >= heaviest else { continue }
                credit[index] -= heaviest
                while table[Int(next[index]) + 1] != 0 {
                    next[index] = (next[index] + skip[index]) % size
                }
                table[Int(next[index]) + 1] = backends[index].id
                filled += 1
                if filled == size { return table }
            }
        }
    }
}
