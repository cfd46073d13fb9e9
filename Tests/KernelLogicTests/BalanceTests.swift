import Testing
import WeftABI

/// A small generator with a fixed seed (SplitMix64), so that a failure repeats.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return weft_mix(state)
    }
}

/// bpf/lib/balance.h, as it is compiled into the programs.
@Suite("Selection arithmetic")
struct BalanceTests {
    @Test(
        "Scaling reaches the first and the last index and never one beyond",
        arguments: [1, 2, 3, 7, 100, 65537] as [UInt32])
    func scaling(count: UInt32) {
        #expect(weft_scale(0, count) == 0)
        #expect(weft_scale(.max, count) == count - 1)
        // Each index has an interval of 2^32/count numbers, within one.
        let width = (UInt64(1) << 32) / UInt64(count)
        for index in stride(from: UInt32(0), to: count, by: max(1, Int(count / 16))) {
            let first = UInt32((UInt64(index) << 32 + UInt64(count) - 1) / UInt64(count))
            #expect(weft_scale(first, count) == index)
            #expect(weft_scale(first &+ UInt32(min(width, 0xffff_ffff)) &- 1, count) == index)
        }
    }

    @Test("A slot gives its backend below the threshold and its alias from there on")
    func slotBorders() {
        var slot = weft_slot(backend: 11, alias: 22, threshold: 0x8000_0000, reserved: 0)
        #expect(unsafe weft_slot_choose(&slot, 0x7fff_ffff) == 11)
        #expect(unsafe weft_slot_choose(&slot, 0x8000_0000) == 22)
        slot.threshold = 0
        #expect(unsafe weft_slot_choose(&slot, 0) == 22)
        slot.threshold = .max
        #expect(unsafe weft_slot_choose(&slot, 0xffff_fffe) == 11)
    }

    @Test("The slot comes from the high half of the random number, the alias decision from the low half")
    func halvesAreIndependent() {
        #expect(weft_slot_index(0x0000_0000_ffff_ffff, 10) == 0)
        #expect(weft_slot_index(0xffff_ffff_0000_0000, 10) == 9)
        var slot = weft_slot(backend: 1, alias: 2, threshold: 1, reserved: 0)
        #expect(unsafe weft_slot_choose(&slot, 0xffff_ffff_0000_0000) == 1)
        #expect(unsafe weft_slot_choose(&slot, 0x0000_0000_0000_0001) == 2)
    }

    /// 90/10 in two slots: the heavy backend owns one slot and four fifths of the other.
    @Test("Two slots give 90/10 within 3 sigma in a million choices")
    func ninetyTen() {
        let slots = [
            weft_slot(backend: 1, alias: 1, threshold: .max, reserved: 0),
            weft_slot(backend: 2, alias: 1, threshold: UInt32(0.2 * 4_294_967_296.0), reserved: 0),
        ]
        var generator = SeededGenerator(state: 42)
        var second = 0
        let count = 1_000_000
        for _ in 0..<count {
            let random = generator.next()
            var slot = slots[Int(weft_slot_index(random, 2))]
            second += unsafe weft_slot_choose(&slot, random) == 2 ? 1 : 0
        }
        let sigma = (Double(count) * 0.9 * 0.1).squareRoot()
        #expect(abs(Double(second) - Double(count) * 0.1) < 3 * sigma)
    }

    @Test("The second of two choices is another index, and every other index is equally likely")
    func secondChoice() {
        #expect(weft_second_choice(0, 0, 2) == 1)
        #expect(weft_second_choice(.max, 0, 2) == 1)
        #expect(weft_second_choice(0, 1, 2) == 0)
        var generator = SeededGenerator(state: 7)
        for first: UInt32 in 0..<5 {
            var counts = [Int](repeating: 0, count: 5)
            for _ in 0..<40_000 {
                counts[Int(weft_second_choice(UInt32(truncatingIfNeeded: generator.next()), first, 5))] += 1
            }
            #expect(counts[Int(first)] == 0)
            // 10,000 expected of each; sigma is 87.
            for (index, count) in counts.enumerated() where index != Int(first) {
                #expect(abs(count - 10_000) < 400)
            }
        }
    }

    @Test("Load is open connections per weight")
    func load() {
        // Equal weights: fewer connections win, and a tie goes to the first.
        #expect(weft_less_loaded(0, 1, 1, 1) == 1)
        #expect(weft_less_loaded(1, 1, 0, 1) == 0)
        #expect(weft_less_loaded(3, 1, 3, 1) == 1)
        // Twice the weight carries twice the connections.
        #expect(weft_less_loaded(19, 2, 10, 1) == 1)
        #expect(weft_less_loaded(22, 2, 10, 1) == 0)
        // A counter that was ever too low counts as idle; it does not attract everything for ever.
        #expect(weft_less_loaded(-5, 1, 0, 1) == 1)
        #expect(weft_less_loaded(0, 1, -5, 1) == 1)
        // No overflow with what counters can hold.
        #expect(weft_less_loaded(1 << 40, 65535, 0, 1) == 0)
    }
}

@Suite("Clients and session affinity")
struct ClientTests {
    private func client(netns: UInt64 = 1, workload: UInt64 = 2, source: UInt32 = 0) -> weft_affinity_key {
        weft_affinity_key(
            service: 9, netns_cookie: netns, workload: workload,
            source: source == 0 ? weft_address() : weft_address_v4(source))
    }

    private func hash(_ client: weft_affinity_key) -> UInt64 {
        var client = client
        return unsafe weft_client_hash(&client)
    }

    @Test("Namespace, workload and bound address each make another client; the service does not")
    func whatMakesAClient() {
        let base = hash(client())
        #expect(hash(client()) == base)
        #expect(hash(client(netns: 3)) != base)
        #expect(hash(client(workload: 3)) != base)
        #expect(hash(client(source: 3)) != base)
        var other = client()
        other.service = 10
        #expect(hash(other) == base)
    }

    @Test("Hashes of neighbouring clients are spread evenly")
    func spread() {
        var counts = [Int](repeating: 0, count: 64)
        for source: UInt32 in 1...64_000 { counts[Int(hash(client(source: source)) % 64)] += 1 }
        // Chi-squared with 63 degrees of freedom: 120 has a chance below 1 in 50,000.
        let chiSquared = counts.reduce(0.0) { $0 + (Double($1) - 1000) * (Double($1) - 1000) / 1000 }
        #expect(chiSquared < 120)
    }

    @Test("An affinity lives until its timeout after the last use, to the nanosecond")
    func expiry() {
        var entry = weft_affinity(backend: 1, last_used_ns: 1_000)
        #expect(unsafe weft_affinity_alive(&entry, 10, 1_000) == 1)
        #expect(unsafe weft_affinity_alive(&entry, 10, 10_000_000_999) == 1)
        #expect(unsafe weft_affinity_alive(&entry, 10, 10_000_001_000) == 0)
        #expect(unsafe weft_affinity_alive(&entry, 0, 1_000) == 0)
        // 32 bits of seconds do not overflow.
        #expect(unsafe weft_affinity_alive(&entry, .max, 4_000_000_000_000_000_000) == 1)
    }
}
