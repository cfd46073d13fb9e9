/// From the kernel's identifiers, which are hashes, to places: open addressing, at most half full.
struct KeyIndex: ~Copyable, Sendable {
    struct Slot: BitwiseCopyable {
        var key: UInt64
        var value: Int32
    }

    private let slots: FlatArray<Slot>
    private let mask: UInt64

    /// Of equal keys the first is found. 0 is no identifier.
    init(_ pairs: [(key: UInt64, value: Int)]) {
        var size = 4
        while size < pairs.count * 2 { size *= 2 }
        let mask = UInt64(size - 1)
        var slots = [Slot](repeating: Slot(key: 0, value: -1), count: size)
        for (key, value) in pairs where key != 0 {
            var index = Int(key & mask)
            while slots[index].key != 0, slots[index].key != key { index = (index + 1) & Int(mask) }
            if slots[index].key == 0 { slots[index] = Slot(key: key, value: Int32(value)) }
        }
        self.slots = FlatArray(slots)
        self.mask = mask
    }

    /// -1 if it is not there.
    @inline(__always)
    func find(_ key: UInt64) -> Int {
        var index = key & mask
        while true {
            let slot = slots[Int(index)]
            if slot.value < 0 { return -1 }
            if slot.key == key { return Int(slot.value) }
            index = (index &+ 1) & mask
        }
    }
}
