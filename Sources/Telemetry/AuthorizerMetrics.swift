public import Proxy

/// What external authorizers have said of requests, and the keys that tokens are verified with.
public struct AuthorizerMetrics {
    private let authorizers: [AuthorizerReading]
    private let issuers: [TokenIssuerStatus]

    public init(_ authorizers: [AuthorizerReading], issuers: [TokenIssuerStatus]) {
        self.authorizers = authorizers
        self.issuers = issuers
    }

    public func write(to writer: inout MetricWriter) {
        writer.family(
            "weft_authorizer_checks_total", .counter, help: "Requests that external authorizers were asked about.")
        for reading in authorizers {
            let results = [
                ("allowed", reading.allowed), ("denied", reading.denied), ("error", reading.errors),
                ("timeout", reading.timeouts),
            ]
            for (result, count) in results {
                writer.sample(MetricLabels([("provider", reading.provider), ("result", result)]), count)
            }
        }
        // Several rules may have the same keys.
        var keys: [String: (status: TokenIssuerStatus, keys: UInt64)] = [:]
        for status in issuers {
            let name = "\(status.issuer) \(status.source)"
            keys[name] = (status, max(keys[name]?.keys ?? 0, UInt64(max(status.keys, 0))))
        }
        writer.family(
            "weft_token_keys", .gauge,
            help: "Keys that tokens are verified with, by issuer; 0: all of its tokens are refused.")
        for (_, entry) in keys.sorted(by: { $0.key < $1.key }) {
            writer.sample(
                MetricLabels([("issuer", entry.status.issuer), ("source", entry.status.source)]), entry.keys)
        }
    }
}
