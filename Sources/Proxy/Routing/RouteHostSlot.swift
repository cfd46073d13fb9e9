/// A host name of a rule set: an open-addressing slot.
struct RouteHostSlot: BitwiseCopyable {
    var hash: UInt64
    var ruleSet: UInt32
    /// `name` is what follows `*.`.
    var isWildcard: Bool
    var name: RouteText
    /// -1: the slot is empty.
    var table: Int32

    static let empty = RouteHostSlot(hash: 0, ruleSet: 0, isWildcard: false, name: .empty, table: -1)

    /// The slots, at most half full, their number a power of two.
    static func table(of entries: [RouteHostSlot]) -> [RouteHostSlot] {
        var size = 4
        while size < entries.count * 2 { size *= 2 }
        var slots = [RouteHostSlot](repeating: .empty, count: size)
        for entry in entries {
            var index = Int(truncatingIfNeeded: entry.hash) & (size - 1)
            while slots[index].table >= 0 { index = (index + 1) & (size - 1) }
            slots[index] = entry
        }
        return slots
    }

    static func hash(ruleSet: UInt32, isWildcard: Bool, _ name: RawSpan) -> UInt64 {
        ByteText.hash(name, seed: UInt64(ruleSet) << 1 | (isWildcard ? 1 : 0))
    }
}

extension RouteTable {
    /// The table of a host name in a rule set; -1 if it has none.
    func hostTable(ruleSet: Int, isWildcard: Bool, _ name: RawSpan) -> Int {
        let ruleSet = UInt32(truncatingIfNeeded: ruleSet)
        let hash = RouteHostSlot.hash(ruleSet: ruleSet, isWildcard: isWildcard, name)
        let mask = hostSlots.count &- 1
        var index = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot = hostSlots[index]
            if slot.table < 0 { return -1 }
            if slot.hash == hash, slot.ruleSet == ruleSet, slot.isWildcard == isWildcard,
                ByteText.equal(name, text(slot.name))
            {
                return Int(slot.table)
            }
            index = (index &+ 1) & mask
        }
    }
}
