extension TrafficMetrics {
    /// Every family of connections, as of now.
    public var parts: [MetricPart] { istioParts + meshParts + passthroughParts + (linkerd?.parts ?? []) }

    /// Writes all of it.
    public func write(to writer: inout MetricWriter) {
        for part in parts { part.write(to: &writer) }
    }

    private var istioParts: [MetricPart] {
        let shown = istio.shown
        let overflow = KnownNames.istioLabels(
            reporter: Self.overflowName, source: nil, destination: nil, service: nil, cluster: Self.overflowName,
            transport: Self.overflowName, security: Self.overflowName, lane: Self.overflowName,
            missing: Self.overflowName)
        func family(
            _ name: String, help: String, value: @escaping (Connections) -> UInt64
        ) -> MetricPart {
            istio.family("istio_tcp_\(name)_total", .counter, help: help, shown: shown, rest: overflow) {
                $0.sample($1, value($2))
            }
        }
        return [
            family("sent_bytes", help: "Bytes that servers sent to clients (responses).") { $0.responseBytes },
            family("received_bytes", help: "Bytes that servers received from clients (requests).") { $0.requestBytes },
            family("connections_opened", help: "Connections opened.") { $0.opened },
            family("connections_closed", help: "Connections closed.") { $0.closed },
        ]
    }

    private var meshParts: [MetricPart] {
        let shown = mesh.shown
        let overflow = MetricLabels([
            ("source", Self.overflowName), ("destination_service", Self.overflowName), ("lane", Self.overflowName),
        ])
        func family(
            _ name: String, _ kind: MetricWriter.Kind, help: String,
            sample: @escaping (inout MetricWriter, MetricLabels, Traffic) -> Void
        ) -> MetricPart {
            mesh.family("weft_\(name)", kind, help: help, shown: shown, rest: overflow, sample: sample)
        }
        return [
            family(
                "connections_total", .counter,
                help:
                    "Connections and UDP conversations to services of the mesh, counted at the client's end, by result."
            ) { Self.writeResults(of: $2, $1, to: &$0) },
            family(
                "segments_total", .counter,
                help: "TCP segments and UDP datagrams, as the client's end counts them."
            ) { writer, labels, traffic in
                writer.sample(labels, Self.sent, traffic.sentSegments)
                writer.sample(labels, Self.received, traffic.receivedSegments)
            },
            family("retransmits_total", .counter, help: "TCP segments that clients sent again.") {
                $0.sample($1, $2.retransmits)
            },
            family(
                "window_limited_seconds_total", .counter,
                help: "Time in which clients had to send what their servers' receive windows had no room for."
            ) { $0.sample($1, Double($2.windowLimited) / 1_000_000) },
            family(
                "connect_duration_seconds", .histogram, help: "From connect() to an established connection."
            ) { if $2.connect.count > 0 { $0.sample($1, microseconds: $2.connect) } },
            family(
                "rtt_seconds", .histogram,
                help: "Smoothed round-trip time of connections, at their end and while they are busy."
            ) { if $2.rtt.count > 0 { $0.sample($1, microseconds: $2.rtt) } },
        ]
    }

    private var passthroughParts: [MetricPart] {
        let shown = passthrough.shown
        let overflow = MetricLabels([("source", Self.overflowName), ("class", Self.overflowName)])
        return [
            passthrough.family(
                "weft_passthrough_connections_total", .counter,
                help: "Connections to destinations outside the mesh, by the class of their address and their result.",
                shown: shown, rest: overflow
            ) { Self.writeResults(of: $2, $1, to: &$0) },
            passthrough.family(
                "weft_passthrough_bytes_total", .counter,
                help: "Bytes of connections to destinations outside the mesh, as the client's end has counted them.",
                shown: shown, rest: overflow
            ) { writer, labels, traffic in
                writer.sample(labels, Self.sent, traffic.sentBytes)
                writer.sample(labels, Self.received, traffic.receivedBytes)
            },
        ]
    }

    /// Opened and closed always; the rare results only where there are any.
    private static func writeResults(of traffic: Traffic, _ labels: MetricLabels, to writer: inout MetricWriter) {
        writer.sample(labels, opened, traffic.opened)
        writer.sample(labels, closed, traffic.closed)
        if traffic.failed > 0 { writer.sample(labels, failed, traffic.failed) }
        if traffic.denied > 0 { writer.sample(labels, denied, traffic.denied) }
        if traffic.noBackend > 0 { writer.sample(labels, noBackend, traffic.noBackend) }
    }

    private static let overflowName = "overflow"
    private static let opened = MetricLabels([("result", "opened")])
    private static let closed = MetricLabels([("result", "closed")])
    private static let failed = MetricLabels([("result", "failed")])
    private static let denied = MetricLabels([("result", "denied")])
    private static let noBackend = MetricLabels([("result", "no_backend")])
    private static let sent = MetricLabels([("direction", "sent")])
    private static let received = MetricLabels([("direction", "received")])
}
