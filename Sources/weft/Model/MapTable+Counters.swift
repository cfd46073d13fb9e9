import WeftABI

extension MapTable {
    static var counterTables: [MapTable] { [traffic, ruleCounters, nodeCounters, backendLoad] }

    private static let traffic = MapTable(
        "traffic", "Connections and bytes by source, destination and lane",
        keyForm: "SOURCE>SERVICE>DESTINATION (as 'map watch' shows it)",
        reader: { $0.traffic },
        parse: { _, _ in nil },
        key: { key, resolver in
            let series = [
                resolver.name(key.source), resolver.serviceName(key.service), resolver.name(key.destination),
            ].joined(separator: ">")
            return "\(series)/\(Terms.lane(key.lane))/\(Terms.reporter(key.reporter))/\(transportName(key.protocol))/"
                + Terms.addressClass(key.address_class)
        },
        fields: { key, traffic, resolver in
            [
                Field("source", resolver.value(key.source), text: resolver.name(key.source, none: "unknown")),
                resolver.serviceField(key.service),
                Field("destination", resolver.value(key.destination)),
                Field("lane", .string(Terms.lane(key.lane))),
                Field("reporter", .string(Terms.reporter(key.reporter))),
                Field("protocol", .string(transportName(key.protocol)), title: "PROTO"),
                .hidden("addressClass", .string(Terms.addressClass(key.address_class))),
            ] + fields(of: traffic)
        })

    /// What was counted, for `map dump traffic` and `service show`.
    static func fields(of traffic: weft_traffic) -> [Field] {
        [
            Field("opened", Value(traffic.opened)),
            Field("closed", Value(traffic.closed)),
            Field("failed", Value(traffic.failed), style: traffic.failed > 0 ? .caution : .plain),
            Field("denied", Value(traffic.denied), style: traffic.denied > 0 ? .bad : .plain),
            .hidden("noBackend", Value(traffic.no_backend)),
            Field("sentBytes", Value(traffic.sent_bytes), title: "SENT", text: formatBytes(traffic.sent_bytes)),
            Field(
                "receivedBytes", Value(traffic.received_bytes), title: "RECEIVED",
                text: formatBytes(traffic.received_bytes)),
            .hidden("sentSegments", Value(traffic.sent_segments)),
            .hidden("receivedSegments", Value(traffic.received_segments)),
            .hidden("retransmits", Value(traffic.retransmits)),
            .hidden("windowLimitedMicroseconds", Value(traffic.window_limited_us)),
            Field("rttMicroseconds", value(of: traffic.rtt_us), title: "RTT", text: text(of: traffic.rtt_us)),
            Field(
                "connectMicroseconds", value(of: traffic.connect_us), title: "CONNECT",
                text: text(of: traffic.connect_us)),
        ]
    }

    /// The bucket of the median: what a log2 histogram can say in one word.
    private static func text(of histogram: weft_histogram) -> String {
        guard let bound = histogram.bound(ofQuantile: 0.5) else { return "-" }
        return bound.isFinite ? "<" + formatBound(microseconds: bound) : ">4s"
    }

    private static func value(of histogram: weft_histogram) -> Value {
        func quantile(_ quantile: Double) -> Value {
            histogram.bound(ofQuantile: quantile).map { .number($0) } ?? .null
        }
        return [
            "count": Value(histogram.count), "sum": Value(histogram.sum), "p50Below": quantile(0.5),
            "p99Below": quantile(0.99), "buckets": .array(histogram.counts.map { Value($0) }),
        ]
    }

    private static let ruleCounters = MapTable(
        "rule_counters", "Decisions by rule", keyForm: "shop/allow-web[0]/allow/enforce",
        reader: { $0.ruleCounters },
        parse: { _, _ in nil },
        key: { key, resolver in "\(resolver.name(key.rule))/\(Terms.verdict(key.verdict))/\(Terms.mode(key.mode))" },
        fields: { key, count, resolver in
            [
                Field("rule", resolver.value(key.rule)),
                Field("verdict", .string(Terms.verdict(key.verdict)), style: key.verdict == 1 ? .bad : .plain),
                Field("mode", .string(Terms.mode(key.mode))),
                Field("decisions", Value(count)),
            ]
        })

    private static let nodeCounters = MapTable(
        "node_counters", "What was lost or refused for want of memory or of an entry",
        keyForm: "flowsLost, or its index",
        reader: { $0.nodeCounters },
        parse: { text, _ in
            UInt32(text) ?? (0..<WEFT_NODE_COUNTERS.rawValue).first { Terms.nodeCounter($0) == text }
        },
        key: { index, _ in Terms.nodeCounter(index) },
        fields: { index, count, _ in
            [
                Field("counter", .string(Terms.nodeCounter(index))),
                Field("count", Value(count), style: count > 0 ? .caution : .plain),
            ]
        })

    private static let backendLoad = MapTable(
        "backend_load", "Open connections of the backends",
        keyForm: "0x0123456789abcdef, shop/web:80@10.0.0.7:8080, 10.0.0.7:8080",
        reader: { $0.backendLoad },
        parse: { text, _ in parseIdentifier(text) },
        key: { id, resolver in
            guard let endpoint = resolver.endpoint(ofBackend: id) else { return hexadecimal(id) }
            return "\(resolver.service(ofBackend: id))@\(endpoint.host)"
        },
        fields: { id, load, resolver in
            [
                Field("backend", .string(resolver.backendName(id))),
                .hidden("id", .identifier(id)),
                resolver.serviceField(ofBackend: id),
                Field("open", Value(load.active)),
                Field("opened", Value(load.opened)),
            ]
        })
}
