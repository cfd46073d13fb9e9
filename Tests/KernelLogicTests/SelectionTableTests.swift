import Mesh
import Testing
import WeftABI

@testable import KernelPlane

/// The tables that the agent builds, read by the kernel's own functions.
@Suite("Selection tables")
struct SelectionTableTests {
    private static let weightings: [[UInt16]] = [
        [1], [90, 10], [1, 2, 3], [5, 5, 5, 5], [1, 65535], [65535, 1, 1, 1, 1, 1, 1],
        [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], (1...100).map { UInt16($0) },
    ]

    /// The measure of the random numbers that select each backend, out of 2^32 for each slot.
    private func shares(_ table: AliasTable) -> [UInt64: UInt64] {
        var shares: [UInt64: UInt64] = [:]
        for slot in table.slots {
            if slot.alias == slot.backend {
                shares[slot.backend, default: 0] += 1 << 32
            } else {
                shares[slot.backend, default: 0] += UInt64(slot.threshold)
                shares[slot.alias, default: 0] += 1 << 32 - UInt64(slot.threshold)
            }
        }
        return shares
    }

    @Test("Alias tables give each backend its weight's share, exact to 2^-32 of a slot", arguments: weightings)
    func aliasExactness(weights: [UInt16]) {
        let backends = weights.enumerated().map { (id: UInt64($0.offset + 1), weight: $0.element) }
        let shares = shares(AliasTable(backends))
        let total = weights.reduce(0) { $0 + UInt64($1) }
        for backend in backends {
            let (high, low) = (UInt64(backend.weight) * UInt64(weights.count)).multipliedFullWidth(by: 1 << 32)
            let exact = total.dividingFullWidth((high, low)).quotient
            let share = shares[backend.id] ?? 0
            #expect(share == exact || share == exact + 1, "weight \(backend.weight): \(share) instead of \(exact)")
        }
        #expect(shares.values.reduce(0, +) == UInt64(weights.count) << 32)
    }

    @Test("The kernel's functions over the table keep the proportions", arguments: weightings)
    func aliasSelection(weights: [UInt16]) {
        let table = AliasTable(weights.enumerated().map { (id: UInt64($0.offset + 1), weight: $0.element) })
        let total = Double(weights.reduce(0) { $0 + UInt64($1) })
        var counts = [UInt64: Int]()
        let rounds = 200_000
        for turn in 0..<UInt64(rounds) {
            let random = weft_mix(turn &+ 1)
            var slot = table.slots[Int(weft_slot_index(random, UInt32(table.slots.count)))]
            counts[unsafe weft_slot_choose(&slot, random), default: 0] += 1
        }
        for (index, weight) in weights.enumerated() {
            let share = Double(weight) / total
            let sigma = (Double(rounds) * share * (1 - share)).squareRoot()
            let count = Double(counts[UInt64(index + 1)] ?? 0)
            #expect(abs(count - Double(rounds) * share) <= 5 * sigma + 1, "backend \(index) of \(weights)")
        }
    }

    /// The promise is "right after few turns": no count is off by more than a small constant at any length, where random
    /// selection is off by the square root of the length.
    @Test("Weighted round robin keeps every share right at every length", arguments: weightings)
    func roundRobin(weights: [UInt16]) {
        let table = AliasTable(weights.enumerated().map { (id: UInt64($0.offset), weight: $0.element) })
        let total = Double(weights.reduce(0) { $0 + UInt64($1) })
        var counts = [Double](repeating: 0, count: weights.count)
        var worst = 0.0
        for turn in 0..<UInt64(20_000) {
            let point = weft_round_robin_point(turn, UInt32(table.slots.count))
            var slot = table.slots[Int(weft_slot_index(point, UInt32(table.slots.count)))]
            counts[Int(unsafe weft_slot_choose(&slot, point))] += 1
            for (index, weight) in weights.enumerated() {
                worst = max(worst, abs(counts[index] - Double(turn + 1) * Double(weight) / total))
            }
        }
        #expect(worst < 8, "off by \(worst) connections")
    }

    @Test("Maglev tables: even shares, complete, and the same in whatever order the backends come")
    func maglevShares() {
        let backends = (1...100).map { (id: weft_mix(UInt64($0)), weight: UInt16(1)) }
        let table = MaglevTable.words(backends)
        #expect(table == MaglevTable.words(backends.reversed()))
        #expect(table.count == Int(table[0]) + 1)
        let places = Dictionary(grouping: table.dropFirst()) { $0 }.mapValues(\.count)
        #expect(places.count == 100)
        let mean = Double(table[0]) / 100
        for count in places.values { #expect(abs(Double(count) - mean) <= 0.02 * mean + 1) }
    }

    @Test("Removing any 1 of 100 backends moves at most 2 % of the other keys of a Maglev table")
    func maglevRemoval() {
        let backends = (1...100).map { (id: weft_mix(UInt64($0)), weight: UInt16(1)) }
        let before = MaglevTable.words(backends).dropFirst()
        for removed in stride(from: 0, to: 100, by: 9) {
            var rest = backends
            let gone = rest.remove(at: removed).id
            let after = MaglevTable.words(rest).dropFirst()
            #expect(after.count == before.count)
            let others = zip(before, after).filter { $0.0 != gone }
            let moved = others.filter { $0.0 != $0.1 }.count
            #expect(Double(moved) <= 0.02 * Double(others.count), "\(moved) of \(others.count)")
        }
    }
}
