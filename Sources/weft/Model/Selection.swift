import WeftABI

/// What chances the selection of bpf/lib/balance.h gives to backends.
enum Selection {
    /// Slots are drawn uniformly; within one, its backend has `threshold` of 2^32 and its alias the rest.
    static func shares(ofSlots slots: [weft_slot], equal: Bool) -> [UInt64: Double] {
        var shares: [UInt64: Double] = [:]
        let slotShare = 1 / Double(slots.count)
        for slot in slots {
            let own = equal ? 1 : Double(slot.threshold) / 4_294_967_296
            shares[slot.backend, default: 0] += own * slotShare
            if own < 1, slot.alias != 0 { shares[slot.alias, default: 0] += (1 - own) * slotShare }
        }
        return shares
    }

    /// Clients are spread evenly over a Maglev table.
    static func shares(ofTable table: [UInt64]) -> [UInt64: Double] {
        Dictionary(grouping: table, by: { $0 }).mapValues { Double($0.count) / Double(table.count) }
    }

    struct Candidate: Equatable {
        var backend: UInt64
        var active: Int64
        var weight: UInt32
    }

    /// Pairs above this are not counted out one by one.
    private static let mostCandidates = 2000

    /// Least connections draws two different slots and takes the less loaded: the share of a backend is the part of all
    /// ordered pairs that it wins. Empty for more backends than can be counted out.
    static func sharesByLoad(_ candidates: [Candidate]) -> [UInt64: Double] {
        guard candidates.count > 1, candidates.count <= mostCandidates else {
            return candidates.count == 1 ? [candidates[0].backend: 1] : [:]
        }
        var wins: [UInt64: Int] = [:]
        for (index, first) in candidates.enumerated() {
            for (other, second) in candidates.enumerated() where other != index {
                let firstWins = weft_less_loaded(first.active, first.weight, second.active, second.weight) != 0
                wins[firstWins ? first.backend : second.backend, default: 0] += 1
            }
        }
        let pairs = Double(candidates.count * (candidates.count - 1))
        return wins.mapValues { Double($0) / pairs }
    }
}
