public import Proxy

/// What the access log has, how and where.
public struct AccessLogOptions: Sendable, Equatable {
    public enum Format: String, Sendable, CaseIterable {
        /// One object a line, with Istio's keys.
        case json
        /// Envoy's default format, and the client's SPIFFE id behind it.
        case text
        /// Istio's default format, without anything added: for programs that read it.
        case istio
    }

    public var policy: RequestLogQueue.Policy = .off
    public var format: Format = .json
    /// A path, or `-` for standard output.
    public var file = "-"

    public init() {}

    /// `off`, `errors`, `sampled` (1 %), `sampled=PERCENT` or `all`; nil for anything else.
    public static func policy(_ text: String) -> RequestLogQueue.Policy? {
        switch text {
        case "off": return .off
        case "errors": return .errors
        case "sampled": return .sampled(10)
        case "all": return .all
        default:
            guard text.hasPrefix("sampled="), let percent = Double(text.dropFirst("sampled=".count)), percent > 0,
                percent <= 100
            else { return nil }
            return .sampled(UInt16(max(1, (percent * 10).rounded())))
        }
    }
}
