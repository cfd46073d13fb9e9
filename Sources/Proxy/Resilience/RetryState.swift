/// How an attempt failed, for the decision about another one.
public struct AttemptFailure: BitwiseCopyable, Sendable {
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        case connectFailure, connectTimeout
        /// HTTP/2's REFUSED_STREAM: not processed, the peer says.
        case refusedStream
        /// The connection broke before a byte of the request was written to it.
        case resetBeforeRequest
        /// The connection broke after that, before the answer's head was there.
        case reset
        case perTryTimeout
        /// Of all attempts together: never retried.
        case overallTimeout
        /// By the client, or by this side's limits: never retried.
        case cancelled
        case response
    }

    public var kind: Kind
    public var status: UInt16 = 0
    /// 255: none.
    public var grpcStatus: UInt8 = 255
    /// The answer has `x-envoy-ratelimited`.
    public var isRateLimited = false
    /// The answer has a field that the rule, or the caller, names as a reason to try again.
    public var hasRetriableHeader = false
    /// Seconds, from Retry-After; 0: none.
    public var retryAfter: UInt32 = 0
    /// No byte of an answer had come on a connection that had served others before: the peer may have closed it because it
    /// was idle, and the request crossed that.
    public var wasReused = false

    public init(_ kind: Kind) { self.kind = kind }

    public init(status: UInt16) {
        kind = .response
        self.status = status
    }
}

/// What to do after a failed attempt.
public enum RetryDecision: BitwiseCopyable, Sendable, Equatable {
    /// Another attempt, after so many nanoseconds.
    case retry(after: UInt64)
    case stop(Reason)

    public enum Reason: UInt8, BitwiseCopyable, Sendable {
        /// The policy does not name this failure, or there is none.
        case notRetriable
        /// URX.
        case attemptsUsed
        /// Detail `retryBudget`, 503.
        case budgetExceeded
        /// The circuit breaker of retries is open. UO.
        case overflow
        /// The request's body is gone: it was longer than `RetryState.replayLimit`.
        case bodyGone
        /// The client has parts of an answer already.
        case responseStarted
        /// The back-off would end after the request's deadline.
        case deadline
    }
}

/// The retries of one request.
public struct RetryState: BitwiseCopyable, Sendable {
    /// A request's body is kept for retries up to so many bytes.
    public static let replayLimit = 64 << 10

    /// So far, without the one for a connection that was closed while idle.
    public private(set) var retries: UInt32 = 0
    private var hasReplayed = false
    /// Whether a permission of the cluster's is held: see `release`.
    private var holdsPermission = false

    public init() {}

    /// Decides about another attempt. If there is to be one, its permission is taken from `cluster`.
    ///
    /// - Parameters:
    ///   - rule: nil: nothing is retried but what crossed the close of an idle connection.
    ///   - deadline: of the whole request, nanoseconds; `.max`: none.
    ///   - canReplay: the body, as far as it was sent, is still there.
    ///   - isIdempotent: the method is by RFC 9110, section 9.2.2.
    public mutating func decide(
        _ failure: AttemptFailure, rule: RetryRule?, cluster: borrowing ClusterState, canReplay: Bool,
        isIdempotent: Bool, responseStarted: Bool, deadline: UInt64, random: UInt64, now: UInt64
    ) -> RetryDecision {
        release(cluster)
        if responseStarted { return .stop(.responseStarted) }
        // RFC 9112, section 9.3.1: once, at once, and outside of policy and budget, for it says nothing about the endpoint.
        if failure.wasReused, !hasReplayed, canReplay,
            failure.kind == .resetBeforeRequest || failure.kind == .reset && isIdempotent
        {
            hasReplayed = true
            return .retry(after: 0)
        }
        guard let rule, rule.names(failure) else { return .stop(.notRetriable) }
        guard retries < rule.attempts else { return .stop(.attemptsUsed) }
        guard canReplay else { return .stop(.bodyGone) }
        var delay = rule.backoff.delay(retry: retries + 1, random: random)
        if rule.honorsRetryAfter, failure.retryAfter > 0, failure.retryAfter <= 300 {
            delay = max(delay, UInt64(failure.retryAfter) * 1_000_000_000)
        }
        guard deadline == .max || now + delay < deadline else { return .stop(.deadline) }
        switch cluster.permitRetry(now: now) {
        case .granted: break
        case .budgetExceeded: return .stop(.budgetExceeded)
        case .overflow: return .stop(.overflow)
        }
        holdsPermission = true
        retries += 1
        return .retry(after: delay)
    }

    /// Gives the permission back: when the request ends, whatever became of it. More often does no harm.
    public mutating func release(_ cluster: borrowing ClusterState) {
        guard holdsPermission else { return }
        holdsPermission = false
        cluster.retryEnded()
    }

    /// How long the attempt that begins now may take, nanoseconds; nil: no limit of its own. A per-try timeout that is not
    /// shorter than what is left of the whole is none.
    public func perTryTimeout(rule: RetryRule?, backendRequest: UInt64?, deadline: UInt64, now: UInt64) -> UInt64? {
        var timeout = backendRequest
        if let rule, rule.perTryTimeout > 0 { timeout = rule.perTryTimeout }
        guard let timeout, timeout > 0 else { return nil }
        return deadline == .max || now + timeout < deadline ? timeout : nil
    }
}

extension HTTPMethod {
    /// RFC 9110, section 9.2.2.
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }
}
