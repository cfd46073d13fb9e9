extension TrafficMetrics {
    /// Writes every family of connections.
    public func write(to writer: inout MetricWriter) {
        writeIstio(&writer)
        writeMesh(&writer)
        writePassthrough(&writer)
    }

    private func writeIstio(_ writer: inout MetricWriter) {
        let families: [(String, KeyPath<Connections, UInt64>, String)] = [
            ("sent_bytes", \.responseBytes, "Bytes that servers sent to clients (responses)."),
            ("received_bytes", \.requestBytes, "Bytes that servers received from clients (requests)."),
            ("connections_opened", \.opened, "Connections opened."),
            ("connections_closed", \.closed, "Connections closed."),
        ]
        let overflow = KnownNames.istioLabels(
            reporter: Self.overflowName, source: nil, destination: nil, service: nil, cluster: Self.overflowName,
            transport: Self.overflowName, security: Self.overflowName, lane: Self.overflowName,
            missing: Self.overflowName)
        for (name, value, help) in families {
            writer.family("istio_tcp_\(name)_total", .counter, help: help)
            for series in istio.shown { writer.sample(series.labels, series.value[keyPath: value]) }
            if let rest = istio.overflow { writer.sample(overflow, rest[keyPath: value]) }
        }
    }

    private func writeMesh(_ writer: inout MetricWriter) {
        let overflow = MetricLabels([
            ("source", Self.overflowName), ("destination_service", Self.overflowName), ("lane", Self.overflowName),
        ])
        func each(_ body: (MetricLabels, Traffic) -> Void) {
            for series in mesh.shown { body(series.labels, series.value) }
            if let rest = mesh.overflow { body(overflow, rest) }
        }

        writer.family(
            "weft_connections_total", .counter,
            help: "Connections and UDP conversations to mesh services, counted at the client's end, by their result.")
        each { Self.writeResults(of: $1, $0, to: &writer) }

        writer.family(
            "weft_segments_total", .counter, help: "TCP segments and UDP datagrams, as the client's end counts them.")
        each { labels, traffic in
            writer.sample(labels, Self.sent, traffic.sentSegments)
            writer.sample(labels, Self.received, traffic.receivedSegments)
        }

        writer.family("weft_retransmits_total", .counter, help: "TCP segments that clients sent again.")
        each { writer.sample($0, $1.retransmits) }

        writer.family(
            "weft_connect_duration_seconds", .histogram, help: "From connect() to an established connection.")
        each { labels, traffic in
            if traffic.connect.count > 0 { writer.sample(labels, microseconds: traffic.connect) }
        }

        writer.family(
            "weft_rtt_seconds", .histogram,
            help: "Smoothed round-trip time of connections, at their end and while they are busy.")
        each { labels, traffic in
            if traffic.rtt.count > 0 { writer.sample(labels, microseconds: traffic.rtt) }
        }
    }

    private func writePassthrough(_ writer: inout MetricWriter) {
        let overflow = MetricLabels([("source", Self.overflowName), ("class", Self.overflowName)])
        func each(_ body: (MetricLabels, Traffic) -> Void) {
            for series in passthrough.shown { body(series.labels, series.value) }
            if let rest = passthrough.overflow { body(overflow, rest) }
        }

        writer.family(
            "weft_passthrough_connections_total", .counter,
            help: "Connections to destinations outside the mesh, by the class of their address and their result.")
        each { Self.writeResults(of: $1, $0, to: &writer) }

        writer.family(
            "weft_passthrough_bytes_total", .counter,
            help: "Bytes of connections to destinations outside the mesh, as the client's end sent and received them.")
        each { labels, traffic in
            writer.sample(labels, Self.sent, traffic.sentBytes)
            writer.sample(labels, Self.received, traffic.receivedBytes)
        }
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
