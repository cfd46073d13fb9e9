/// The certificates of this node's workloads, as values that the agent collects for a scrape.
public struct IdentityMetrics: Sendable {
    /// Seconds until each certificate expires, by SPIFFE id.
    public var expiries: [(identity: String, seconds: Double)] = []
    /// Seconds until the certificates of authorities expire: `root`, the first of the roots to expire, and `issuer`.
    public var authorityExpiries: [(authority: String, seconds: Double)] = []
    /// Workloads' identities that have no valid certificate.
    public var missing = 0
    public var renewals: UInt64 = 0
    public var failures: [(cause: String, count: UInt64)] = []
    /// Questions in a row that the CA on another node has not answered; nil: none is asked.
    public var unansweredRequests: Int?
    private let limit: Int

    /// - Parameter limit: the most identities that have a series of their own.
    public init(limit: Int) { self.limit = limit }

    public func write(to writer: inout MetricWriter) {
        writer.family(
            "weft_identity_expiry_seconds", .gauge,
            help: "Seconds until a workload's certificate expires; of those without a series the first.")
        let sorted = expiries.sorted { ($0.seconds, $0.identity) < ($1.seconds, $1.identity) }
        for (identity, seconds) in sorted.prefix(limit) {
            writer.sample(MetricLabels([("identity", identity)]), seconds)
        }
        if sorted.count > limit {
            writer.sample(MetricLabels([("identity", "overflow")]), sorted[limit].seconds)
        }
        writer.gauge(
            "weft_identities_missing", help: "Workloads' identities that have no valid certificate.", Double(missing))
        writer.counter(
            "weft_identity_renewals_total", help: "Certificates that were issued to workloads.", renewals)
        writer.family(
            "weft_identity_renewal_failures_total", .counter, help: "Certificates that could not be issued, by cause.")
        for (cause, count) in failures { writer.sample(MetricLabels([("cause", cause)]), count) }
        writer.family("weft_ca_expiry_seconds", .gauge, help: "Seconds until a certificate of the CA expires.")
        for (authority, seconds) in authorityExpiries {
            writer.sample(MetricLabels([("authority", authority)]), seconds)
        }
        guard let unansweredRequests else { return }
        writer.gauge(
            "weft_ca_unanswered_requests",
            help: "Times in a row that the CA which this node has joined could not be asked; 0: it has answered.",
            Double(unansweredRequests))
    }
}
