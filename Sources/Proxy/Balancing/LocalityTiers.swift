/// How requests are spread over endpoints near and far: the nearest get all of them as long as enough of them are healthy.
///
/// Envoy's priority levels with its overprovisioning factor of 1.4: a tier takes 1.4 times the share of its endpoints that
/// are healthy, at most all, and the next tier takes what is left.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority
struct LocalityTiers: BitwiseCopyable, Sendable {
    static let count = 4

    /// Where each tier's part of the list of usable endpoints begins, and where the last one ends.
    private(set) var starts = SIMD8<UInt32>(repeating: 0)
    /// Tier `i` takes random numbers below element `i`, out of 2³².
    private var limits = SIMD4<UInt64>(repeating: 0)

    /// - Parameters:
    ///   - total: endpoints of each tier.
    ///   - usable: those of them that can be used.
    init(total: SIMD4<UInt32>, usable: SIMD4<UInt32>) {
        var healths = SIMD4<UInt32>(repeating: 0)
        for tier in 0..<Self.count {
            starts[tier + 1] = starts[tier] + usable[tier]
            if total[tier] > 0 { healths[tier] = min(100, UInt32(UInt64(usable[tier]) * 140 / UInt64(total[tier]))) }
            // So few that it rounds to nothing are still something.
            if usable[tier] > 0 { healths[tier] = max(healths[tier], 1) }
        }
        let whole = min(100, healths.wrappedSum())
        guard whole > 0 else { return }
        var taken: UInt32 = 0
        for tier in 0..<Self.count {
            taken += min(100 - taken, healths[tier] * 100 / whole)
            limits[tier] = UInt64(taken) << 32 / 100
        }
        // What division lost goes to the last tier that can be used.
        for tier in (0..<Self.count).reversed() where usable[tier] > 0 {
            for last in tier..<Self.count { limits[last] = 1 << 32 }
            break
        }
    }

    init() {}

    func tier(_ random: UInt32) -> Int {
        for tier in 0..<Self.count - 1 where UInt64(random) < limits[tier] { return tier }
        return Self.count - 1
    }

    func range(_ tier: Int) -> Range<Int> { Int(starts[tier])..<Int(starts[tier + 1]) }
}
