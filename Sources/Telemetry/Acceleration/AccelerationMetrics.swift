/// `weft_acceleration_*` and `weft_redirected_bytes_total`: what became of connections that could be accelerated.
public struct AccelerationMetrics: Sendable {
    private let summaries: [(subject: AccelerationSummary.Subject, summary: AccelerationSummary)]

    /// - Parameter limit: destinations that are shown; those of the fewest bytes are left out.
    public init(_ summaries: [AccelerationSummary.Subject: AccelerationSummary], limit: Int) {
        let kept =
            summaries.count > limit
            ? summaries.sorted { $0.value.redirectedBytes > $1.value.redirectedBytes }.prefix(limit).map { $0 }
            : Array(summaries)
        self.summaries = kept.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    public func write(to writer: inout MetricWriter) {
        guard !summaries.isEmpty else { return }
        writer.family(
            "weft_redirected_bytes_total", .counter, help: "Bytes that went from socket to socket, past TCP.")
        for (subject, summary) in summaries { writer.sample(labels(subject), summary.redirectedBytes) }
        writer.family(
            "weft_acceleration_connections_total", .counter,
            help: "Connections between accelerated workloads: made fast (result), or why not.")
        for (subject, summary) in summaries {
            write("accelerated", summary.connections, summary.slowConnections, of: subject, to: &writer)
        }
        writer.family(
            "weft_acceleration_sends_total", .counter,
            help: "Sends on accelerated connections: redirected (result), or why they went by TCP.")
        for (subject, summary) in summaries {
            write("redirected", summary.redirectedSends, summary.slowSends, of: subject, to: &writer)
        }
        writer.family(
            "weft_acceleration_changes_total", .counter,
            help: "How often a direction of a connection went back to TCP (demotion), and left it (promotion).")
        for (subject, summary) in summaries {
            writer.sample(labels(subject, ("change", "demotion")), summary.demotions)
            writer.sample(labels(subject, ("change", "promotion")), summary.promotions)
        }
    }

    /// What went fast, and what did not by its reason.
    private func write(
        _ result: String, _ fast: UInt64, _ slow: [String: UInt64], of subject: AccelerationSummary.Subject,
        to writer: inout MetricWriter
    ) {
        writer.sample(labels(subject, ("result", result)), fast)
        for (reason, count) in slow.sorted(by: { $0.key < $1.key }) {
            writer.sample(labels(subject, ("result", reason)), count)
        }
    }

    private func labels(_ subject: AccelerationSummary.Subject, _ more: (String, String)...) -> MetricLabels {
        MetricLabels([("destination", subject.name), ("weft_lane", subject.lane)] + more)
    }
}
