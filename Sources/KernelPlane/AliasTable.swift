import WeftABI

/// Walker's alias method: a table of as many slots as there are backends, from which one uniform slot and one comparison
/// select each backend in exact proportion to its weight (to 2⁻³²).
struct AliasTable {
    /// In the order of the weights given.
    var slots: [weft_slot]
    var hasEqualWeights: Bool

    /// - Parameter backends: identifiers with their weights, which are not 0.
    init(_ backends: [(id: UInt64, weight: UInt16)]) {
        let whole = UInt64(1) << 32
        hasEqualWeights = backends.allSatisfy { $0.weight == backends[0].weight }
        slots = backends.map { backend in
            var slot = weft_slot()
            slot.backend = backend.id
            slot.alias = backend.id
            slot.threshold = .max
            return slot
        }
        if hasEqualWeights { return }

        // Vose's construction in fixed point: `share` is weight × count / total, where `whole` is one slot's worth. The
        // remainders of the division go to the first slots, so that the shares add up to the slots exactly.
        let total = backends.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        let count = UInt64(backends.count)
        var shares = backends.map { backend -> UInt64 in
            let (high, low) = (UInt64(backend.weight) * count).multipliedFullWidth(by: whole)
            return total.dividingFullWidth((high, low)).quotient
        }
        var missing = count * whole - shares.reduce(0, +)
        for index in shares.indices where missing > 0 {
            shares[index] += 1
            missing -= 1
        }

        var small = shares.indices.filter { shares[$0] < whole }
        var large = shares.indices.filter { shares[$0] >= whole }
        while let less = small.popLast(), let more = large.last {
            slots[less].threshold = UInt32(truncatingIfNeeded: shares[less])
            slots[less].alias = backends[more].id
            shares[more] -= whole - shares[less]
            if shares[more] < whole {
                large.removeLast()
                small.append(more)
            }
        }
    }
}
