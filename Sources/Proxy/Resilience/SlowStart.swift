/// How much of its share an endpoint gets while it is new: Envoy's slow start with aggression 1.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start
enum SlowStart {
    static let minimum = 0.1

    /// 0.1 to 1. Times in nanoseconds.
    static func factor(readySince: UInt64, window: UInt64, now: UInt64) -> Double {
        guard window > 0, now < readySince + window else { return 1 }
        guard now > readySince else { return minimum }
        return max(minimum, Double(now - readySince) / Double(window))
    }
}
