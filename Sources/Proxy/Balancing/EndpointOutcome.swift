/// How an attempt on an endpoint ended.
public struct EndpointOutcome: BitwiseCopyable, Sendable {
    public enum Failure: UInt8, BitwiseCopyable, Sendable {
        /// It answered; `status` says how.
        case none
        case connectFailure, connectTimeout
        /// The connection broke before the answer was whole, or the answer was no HTTP.
        case reset
        /// No answer in time.
        case timeout
        /// Given up by this side for a reason of its own or of the client: says nothing about the endpoint's health.
        case cancelled
    }

    /// 0 without an answer.
    public var status: UInt16
    /// 255: not gRPC, or not known.
    public var grpcStatus: UInt8 = 255
    public var failure: Failure
    /// Nanoseconds from the attempt's beginning to the first byte of the answer's body (its end if it has none), or to the
    /// failure.
    public var latency: UInt64
    /// Seconds, from Retry-After; 0: none.
    public var retryAfter: UInt32 = 0

    public init(status: UInt16, latency: UInt64, retryAfter: UInt32 = 0) {
        self.status = status
        self.failure = .none
        self.latency = latency
        self.retryAfter = retryAfter
    }

    public init(failure: Failure, latency: UInt64) {
        self.status = 0
        self.failure = failure
        self.latency = latency
    }

    /// The HTTP status that says the same, for outlier detection that does not tell this side's errors apart. 0: none.
    var equivalentStatus: UInt16 {
        switch failure {
        case .none: effectiveStatus
        case .connectFailure: 503
        case .connectTimeout, .timeout: 504
        case .reset: 500
        case .cancelled: 0
        }
    }

    /// gRPC's failures have status 200: as in Envoy, those of a server count as 500 or 503.
    private var effectiveStatus: UInt16 {
        switch grpcStatus {
        case 2, 13, 15: 500
        case 4: 504
        case 14: 503
        case 8: 429
        default: status
        }
    }

    var isServerError: Bool { (500..<600).contains(equivalentStatus) }

    /// What the failure costs in the balancer, nanoseconds; 0 for none. Failing fast must not attract requests.
    /// Source: linkerd2-proxy, `penalize-failures`.
    var penalty: UInt64 {
        let status = equivalentStatus
        switch status {
        case 429, 503: return UInt64(min(max(retryAfter, 5), 300)) * 1_000_000_000
        case 500..<600: return 5_000_000_000
        default: return 0
        }
    }
}
