public import Mesh

/// A `RetryPolicy` as it is evaluated: flat, so that a routing table holds it and a request copies nothing.
public struct RetryRule: BitwiseCopyable, Sendable {
    /// Retries after the first attempt.
    public internal(set) var attempts: UInt32
    public internal(set) var conditions: RetryPolicy.Conditions
    /// Nanoseconds; 0: none.
    public let perTryTimeout: UInt64
    public let backoff: RetryBackoff
    public let honorsRetryAfter: Bool
    public let avoidsPreviousHosts: Bool
    var statusCodes: StatusSet

    /// Of requests whose callers ask for retries where their rule has none.
    static let unconfigured = RetryRule(RetryPolicy())

    public init(_ policy: RetryPolicy) {
        attempts = policy.attempts
        conditions = policy.conditions
        perTryTimeout = UInt64(policy.perTryTimeout ?? 0) * 1_000_000
        backoff = RetryBackoff(
            base: UInt64(policy.backoffBase) * 1_000_000, cap: UInt64(policy.backoffCap) * 1_000_000,
            isMinimum: policy.backoffIsMinimum)
        honorsRetryAfter = policy.honorsRetryAfter
        avoidsPreviousHosts = policy.avoidsPreviousHosts
        statusCodes = StatusSet(policy.statusCodes)
    }

    /// Whether the conditions name this end of an attempt.
    func names(_ failure: AttemptFailure) -> Bool {
        switch failure.kind {
        // An attempt that got no answer is a 5xx and a gateway error to Envoy.
        case .connectFailure, .connectTimeout:
            return holds([.connectFailure, .resetBeforeRequest, .reset, .serverError, .gatewayError])
        case .refusedStream:
            return holds([.refusedStream, .resetBeforeRequest, .reset, .serverError, .gatewayError])
        case .resetBeforeRequest: return holds([.resetBeforeRequest, .reset, .serverError, .gatewayError])
        case .reset, .perTryTimeout: return holds([.reset, .serverError, .gatewayError])
        case .overallTimeout, .cancelled: return false
        case .response: return names(response: failure)
        }
    }

    private func names(response failure: AttemptFailure) -> Bool {
        // An upstream that limits its rate is left alone unless the policy says so.
        if failure.isRateLimited { return holds(.rateLimited) }
        switch failure.status {
        case 502, 503, 504: if holds([.gatewayError, .serverError]) { return true }
        case 500..<600: if holds(.serverError) { return true }
        case 409: if holds(.retriable4xx) { return true }
        default: break
        }
        if holds(.retriableStatusCodes) && statusCodes.contains(failure.status) { return true }
        if holds(.retriableHeaders) && failure.hasRetriableHeader { return true }
        switch failure.grpcStatus {
        case 1: return holds(.grpcCancelled)
        case 4: return holds(.grpcDeadlineExceeded)
        case 8: return holds(.grpcResourceExhausted)
        case 13: return holds(.grpcInternal)
        case 14: return holds(.grpcUnavailable)
        default: return false
        }
    }

    private func holds(_ any: RetryPolicy.Conditions) -> Bool { !conditions.isDisjoint(with: any) }
}

/// Statuses 100 to 611.
struct StatusSet: BitwiseCopyable, Sendable {
    private var words = SIMD8<UInt64>(repeating: 0)

    init(_ statuses: [UInt16]) {
        for status in statuses { insert(status) }
    }

    mutating func insert(_ status: UInt16) {
        guard (100..<612).contains(status) else { return }
        words[Int(status - 100) >> 6] |= 1 << UInt64((status - 100) & 63)
    }

    func contains(_ status: UInt16) -> Bool {
        guard (100..<612).contains(status) else { return false }
        return words[Int(status - 100) >> 6] & 1 << UInt64((status - 100) & 63) != 0
    }
}
