internal import Glibc

/// An exponentially weighted moving average of latencies that follows a rise at once and a fall slowly.
///
/// Source: Linkerd and Finagle, https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/
struct PeakEWMA: BitwiseCopyable, Sendable {
    /// What an endpoint is taken to need before anything is known.
    static let seed: Double = 30_000_000
    /// In this time, nanoseconds, an observation loses all but 1/e of its weight.
    static let decay: Double = 10_000_000_000

    private var value = Self.seed
    private var stamp: UInt64
    /// Of the failures so far, and when it ends.
    private var penalty: Double = 0
    private var penaltyEnd: UInt64 = 0

    init(now: UInt64) { stamp = now }

    /// What is left at `now` of an average of `since`.
    static func decayed(_ value: UInt64, since: UInt64, now: UInt64) -> UInt64 {
        now > since ? UInt64(Double(value) * exp(-Double(now - since) / decay)) : value
    }

    /// Nanoseconds, as decayed as it is at `now`. Reading changes nothing.
    func latency(now: UInt64) -> Double {
        let latency = now > stamp ? value * exp(-Double(now - stamp) / Self.decay) : value
        return now < penaltyEnd ? max(latency, penalty) : latency
    }

    mutating func observe(_ latency: UInt64, now: UInt64) {
        let observed = Double(latency)
        let weight = now > stamp ? exp(-Double(now - stamp) / Self.decay) : 1
        value = observed > value * weight ? observed : value * weight + observed * (1 - weight)
        stamp = max(stamp, now)
    }

    /// What a failure costs, and for how long: never less than what the endpoint has cost so far. Were it to decay like a
    /// latency instead, of two endpoints the one that has failed once would get nothing for more than a minute.
    mutating func penalize(_ cost: UInt64, now: UInt64) {
        penalty = now < penaltyEnd ? max(penalty, Double(cost)) : Double(cost)
        penaltyEnd = max(penaltyEnd, now + cost)
    }
}
