import Proxy
import WeftABI

/// Whether a request counts for or against its service, as in Istio's and Linkerd's success rates.
enum RequestOutcome {
    case succeeded
    /// The status is 500 or more, or the server ended the connection before its answer was complete.
    case failed
    /// The client went away first: it counts as a request, and neither for nor against the service.
    case clientEnded

    /// - Returns: nil for what could not be followed.
    init?(_ key: weft_requests_key) {
        switch UInt32(key.outcome) {
        case WEFT_REQUEST_UNPARSED.rawValue: return nil
        case _ where key.status >= 500: self = .failed
        case WEFT_REQUEST_CLIENT_ENDED.rawValue: self = .clientEnded
        case WEFT_REQUEST_SERVER_ENDED.rawValue: self = .failed
        default: self = key.status == 0 ? .failed : .succeeded
        }
    }

    /// Envoy's flags that stand beside a status below 500 when the answer began and was not completed.
    private static let brokenOff: ResponseFlags = [
        .upstreamTermination, .upstreamReset, .upstreamProtocolError, .upstreamTimeout,
    ]

    /// - Returns: nil for what could not be followed.
    init?(_ key: WorkerStatistics.Key) {
        guard !key.isUnparsed else { return nil }
        if key.status >= 500 {
            self = .failed
        } else if key.flags.contains(.downstreamTermination) {
            self = .clientEnded
        } else {
            self = key.status == 0 || !key.flags.isDisjoint(with: Self.brokenOff) ? .failed : .succeeded
        }
    }
}
