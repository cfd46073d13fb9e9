internal import Mesh

/// What a row of check results means, as in Envoy: the first result decides, later ones need to be as many as the
/// thresholds say, and an answer of 503 is a plain statement that counts at once.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/health_checking
struct HealthCounter: Sendable, Equatable {
    enum Result: Sendable {
        case success, failure
        /// The endpoint says itself that it takes nothing.
        case refusal
    }

    private var isFirst = true
    private var consecutive: UInt32 = 0
    private var last = Result.success

    /// - Parameter isHealthy: what it counts as so far.
    /// - Returns: what it counts as now.
    mutating func record(_ result: Result, _ check: HealthCheck, isHealthy: Bool) -> Bool {
        if (result == .success) != (last == .success) { consecutive = 0 }
        last = result
        consecutive = min(consecutive, UInt32.max - 1) + 1
        defer { isFirst = false }
        switch result {
        case .success: return isHealthy || isFirst || consecutive >= check.healthyThreshold
        case .failure: return isHealthy && !isFirst && consecutive < check.unhealthyThreshold
        case .refusal: return false
        }
    }
}
