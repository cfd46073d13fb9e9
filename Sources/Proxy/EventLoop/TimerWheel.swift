/// Deadlines of a worker's connections, in ticks of one millisecond: a hierarchical wheel in which setting and clearing
/// cost the same however many there are, and nothing is allocated.
///
/// A timer is named by a number and has one deadline. A deadline that moves to later, as most do, is only noted: the
/// timer is looked at when the earlier one passes and put where it then belongs.
struct TimerWheel: ~Copyable {
    private static let levels = 7
    private static let slotBits = 6
    private static let none = UInt32.max
    private static let unlinked = UInt16.max

    struct Node: BitwiseCopyable {
        var next: UInt32
        var previous: UInt32
        /// The tick that is waited for; 0: none.
        var deadline: UInt64
        /// The tick by which the place in the wheel was chosen.
        var armed: UInt64
        var place: UInt16
    }

    /// Ticks that have passed since the wheel's epoch.
    private(set) var current: UInt64 = 1
    private var nodes: Slab<Node>
    private var heads: [UInt32]
    private var occupied: [UInt64]

    /// Timers are numbered from 0 to `capacity` - 1.
    init(capacity: UInt32) {
        nodes = Slab(capacity: capacity)
        heads = Array(repeating: Self.none, count: Self.levels << Self.slotBits)
        occupied = Array(repeating: 0, count: Self.levels)
    }

    /// Waits for `deadline`; an earlier setting of the same timer is replaced.
    mutating func set(_ timer: UInt32, _ deadline: UInt64) {
        prepare(timer)
        let deadline = max(deadline, current + 1)
        nodes[timer].deadline = deadline
        if nodes[timer].place != Self.unlinked {
            if deadline >= nodes[timer].armed { return }
            unlink(timer)
        }
        link(timer)
    }

    /// Waits for nothing any more.
    mutating func clear(_ timer: UInt32) {
        guard timer < nodes.limit else { return }
        nodes[timer].deadline = 0
    }

    /// The tick at which something may be due; nil: nothing is set.
    var next: UInt64? { nextSlot()?.tick }

    /// Moves time on to `tick` as far as no timer is due before; a timer whose deadline has passed, which is then
    /// cleared and may be set again. nil when there is no further one.
    mutating func popExpired(at tick: UInt64) -> UInt32? {
        while let slot = nextSlot(), slot.tick <= tick {
            current = max(current, slot.tick)
            let timer = heads[slot.place]
            unlink(timer)
            let deadline = nodes[timer].deadline
            if deadline > current {
                link(timer)
            } else if deadline != 0 {
                nodes[timer].deadline = 0
                return timer
            }
        }
        current = max(current, tick)
        return nil
    }

    private mutating func prepare(_ timer: UInt32) {
        precondition(timer < nodes.capacity)
        while nodes.limit <= timer {
            _ = nodes.insert(
                Node(next: Self.none, previous: Self.none, deadline: 0, armed: 0, place: Self.unlinked))
        }
    }

    private mutating func link(_ timer: UInt32) {
        let deadline = nodes[timer].deadline
        let difference = (deadline ^ current) | 63
        let level = min((63 - difference.leadingZeroBitCount) / Self.slotBits, Self.levels - 1)
        let slot = Int(truncatingIfNeeded: deadline >> UInt64(level * Self.slotBits)) & 63
        let place = level << Self.slotBits | slot
        let head = heads[place]
        nodes[timer].next = head
        nodes[timer].previous = Self.none
        nodes[timer].armed = deadline
        nodes[timer].place = UInt16(place)
        if head != Self.none { nodes[head].previous = timer }
        heads[place] = timer
        occupied[level] |= 1 << UInt64(slot)
    }

    private mutating func unlink(_ timer: UInt32) {
        let node = nodes[timer]
        let place = Int(node.place)
        if node.previous != Self.none {
            nodes[node.previous].next = node.next
        } else {
            heads[place] = node.next
            if node.next == Self.none { occupied[place >> Self.slotBits] &= ~(1 << UInt64(place & 63)) }
        }
        if node.next != Self.none { nodes[node.next].previous = node.previous }
        nodes[timer].place = Self.unlinked
    }

    /// The first slot with timers after the current tick, and the tick at which it is to be looked at.
    private func nextSlot() -> (place: Int, tick: UInt64)? {
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = UInt64(level * Self.slotBits)
            let position = Int(truncatingIfNeeded: current >> shift) & 63
            let bits = occupied[level]
            let rotated = position == 0 ? bits : bits >> UInt64(position) | bits << UInt64(64 - position)
            let slot = (position + rotated.trailingZeroBitCount) & 63
            let span = UInt64(1) << (shift + UInt64(Self.slotBits))
            var tick = current & ~(span - 1) + UInt64(slot) << shift
            // A slot behind the position belongs to the next round of the top level.
            if tick < current & ~((1 << shift) - 1) { tick += span }
            return (level << Self.slotBits | slot, tick)
        }
        return nil
    }
}
