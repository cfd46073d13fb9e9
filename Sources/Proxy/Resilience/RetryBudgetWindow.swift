internal import Mesh
public import Synchronization

/// How many retries a cluster may have, over all workers: at most a share of its requests in a sliding window, and
/// at least some per second where the share is less than that.
///
/// The bound is on retries themselves, so that with nothing but failures an endpoint gets at most
/// `max(requests × percent, minimum per second × seconds)` more than without retries. Linkerd's and the Gateway API's budget.
/// Source: https://gateway-api.sigs.k8s.io/geps/gep-3388/
public struct RetryBudgetWindow: ~Copyable, Sendable {
    private static let slotCount: UInt64 = 10

    /// One tenth of the interval each: its number, the requests and the retries of it in one word.
    private let slots: InlineArray<10, Slot>
    /// When the retries of the minimum are all there again (GCRA's theoretical arrival time), nanoseconds.
    private let minimum: Atomic<UInt64>
    public let refusals = Atomic<UInt64>(0)

    init(now: UInt64) {
        slots = InlineArray { _ in Slot() }
        minimum = Atomic(now)
    }

    /// Counts a first attempt.
    @inline(__always)
    func deposit(_ budget: RetryBudget, now: UInt64) {
        let turn = Self.turn(budget, now)
        slots[Int(turn % Self.slotCount)].add(Self.request, turn: turn)
    }

    /// Whether a retry is within the budget; it is counted then.
    func withdraw(_ budget: RetryBudget, now: UInt64) -> Bool {
        let turn = Self.turn(budget, now)
        let slot = Int(turn % Self.slotCount)
        // Counted before it is compared, so that workers who decide at the same time cannot all take the last one.
        slots[slot].add(Self.retry, turn: turn)
        var requests: UInt64 = 0
        var retries: UInt64 = 0
        for index in 0..<Int(Self.slotCount) {
            let word = slots[index].word.load(ordering: .relaxed)
            let age = turn &- word >> 44 & Self.turnMask
            guard age & Self.turnMask < Self.slotCount else { continue }
            requests += word & Self.countMask
            retries += word >> 22 & Self.countMask
        }
        if retries * 100 <= requests * UInt64(budget.percent) { return true }
        if takeMinimum(perSecond: budget.minPerSecond, now: now) { return true }
        slots[slot].subtractRetry(turn: turn)
        refusals.wrappingAdd(1, ordering: .relaxed)
        return false
    }

    private func takeMinimum(perSecond: UInt32, now: UInt64) -> Bool {
        guard perSecond > 0 else { return false }
        let spacing = 1_000_000_000 / UInt64(perSecond)
        var arrival = minimum.load(ordering: .relaxed)
        while true {
            let next = max(arrival, now) + spacing
            guard next - now <= spacing * UInt64(perSecond) else { return false }
            let (exchanged, original) = minimum.weakCompareExchange(
                expected: arrival, desired: next, ordering: .relaxed)
            if exchanged { return true }
            arrival = original
        }
    }

    // MARK: - Slots

    private static let countMask: UInt64 = (1 << 22) - 1
    private static let turnMask: UInt64 = (1 << 20) - 1
    private static let request: UInt64 = 1
    private static let retry: UInt64 = 1 << 22

    @inline(__always)
    private static func turn(_ budget: RetryBudget, _ now: UInt64) -> UInt64 {
        now / max(UInt64(budget.intervalMilliseconds) * 1_000_000 / slotCount, 1) & turnMask
    }

    /// 20 bits of the slot's number, 22 of retries, 22 of requests.
    private struct Slot: ~Copyable, Sendable {
        let word = Atomic<UInt64>(0)

        @inline(__always)
        func add(_ one: UInt64, turn: UInt64) {
            var seen = word.load(ordering: .relaxed)
            while true {
                let current = seen >> 44 == turn ? seen : turn << 44
                // Full counters stay full.
                let count = one == RetryBudgetWindow.request ? current : current >> 22
                guard count & RetryBudgetWindow.countMask < RetryBudgetWindow.countMask else { return }
                let (exchanged, original) = word.weakCompareExchange(
                    expected: seen, desired: current + one, ordering: .relaxed)
                if exchanged { return }
                seen = original
            }
        }

        func subtractRetry(turn: UInt64) {
            var seen = word.load(ordering: .relaxed)
            while seen >> 44 == turn, seen >> 22 & RetryBudgetWindow.countMask > 0 {
                let (exchanged, original) = word.weakCompareExchange(
                    expected: seen, desired: seen - RetryBudgetWindow.retry, ordering: .relaxed)
                if exchanged { return }
                seen = original
            }
        }
    }
}
