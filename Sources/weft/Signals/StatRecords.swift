/// Rows of the golden signals as records, with the columns that Linkerd's users know.
extension StatAnswer.Row {
    /// `namespace/name`.
    var fullName: String { "\(namespace)/\(name)" }

    /// - Parameter isWide: with what the table leaves out otherwise.
    func record(isWide: Bool) -> Record {
        var fields: [Field] = []
        if kind == "route" {
            fields.append(Field("route", .optional(route), text: route ?? "[none]"))
            fields.append(Field("service", .string(fullName)))
        } else {
            fields.append(Field("name", .string(fullName)))
            fields.append(
                Field(
                    "meshed",
                    meshed.map { ["ready": Value($0.ready), "total": Value($0.total)] } ?? .null,
                    text: meshed.map { "\($0.ready)/\($0.total)" } ?? "-"))
        }
        fields.append(Signals.success(success, health))
        fields += Signals.requests(rps, of: requests)
        fields += [
            Signals.milliseconds("latencyP50", latency.p50, title: "LATENCY_P50"),
            Signals.milliseconds("latencyP95", latency.p95, title: "LATENCY_P95"),
            Signals.milliseconds("latencyP99", latency.p99, title: "LATENCY_P99"),
        ]
        if kind != "route" { fields += connections(isWide: isWide) }
        let lanes = Signals.lanes(lanes)
        fields.append(isWide ? lanes : lanes.hidden)
        fields.append(Field.hidden("health", .string(health)))
        return Record(fields)
    }

    private func connections(isWide: Bool) -> [Field] {
        let more = [
            Signals.rate("openedPerSecond", tcp.openedPerSecond, title: "OPENED/S"),
            Signals.rate("failedPerSecond", tcp.failedPerSecond, title: "FAILED/S"),
            Signals.rate("deniedPerSecond", tcp.deniedPerSecond, title: "DENIED/S"),
            Signals.bytes("sentBytesPerSecond", tcp.sentBytesPerSecond, title: "SENT/S"),
            Signals.bytes("receivedBytesPerSecond", tcp.receivedBytesPerSecond, title: "RECEIVED/S"),
            Signals.milliseconds("rtt", tcp.rtt, title: "RTT"),
            Signals.rate("retransmitsPerSecond", tcp.retransmitsPerSecond, title: "RETRANS/S"),
            Signals.rate("windowLimited", tcp.windowLimited, title: "RWND_LIMITED"),
        ]
        return [Field("tcpOpen", Value(tcp.open), title: "TCP_CONN")] + more.map { isWide ? $0 : $0.hidden }
    }
}

extension GraphAnswer {
    func node(_ id: String) -> Node? { nodes.first { $0.id == id } }

    func records(isWide: Bool) -> [Record] {
        let byID = Dictionary(nodes.map { ($0.id, $0) }) { first, _ in first }
        return edges.map { edge in
            let lanes = Field("lanes", .array(edge.lanes.map(Value.string)), title: "LANE")
            let more = [
                Signals.milliseconds("latencyP50", edge.p50, title: "LATENCY_P50"),
                Signals.milliseconds("latencyP99", edge.p99, title: "LATENCY_P99"),
                Signals.rate("openedPerSecond", edge.openedPerSecond, title: "OPENED/S"),
                Signals.rate("failedPerSecond", edge.failedPerSecond, title: "FAILED/S"),
                Signals.rate("deniedPerSecond", edge.deniedPerSecond, title: "DENIED/S"),
                Signals.bytes("bytesPerSecond", edge.bytesPerSecond, title: "BYTES/S"),
                Field("open", edge.open.map { Value($0) } ?? .null, title: "TCP_CONN"),
            ]
            return Record(
                [
                    Field("source", .string(byID[edge.from]?.name ?? edge.from), title: "SRC"),
                    Field("destination", .string(byID[edge.to]?.name ?? edge.to), title: "DST"),
                    Field("sourceNamespace", .string(byID[edge.from]?.namespace ?? ""), title: "SRC_NS"),
                    Field("destinationNamespace", .string(byID[edge.to]?.namespace ?? ""), title: "DST_NS"),
                    Field("service", .optional(edge.service)),
                    lanes,
                    Field(
                        "secured", .string(edge.secured), text: edge.secured,
                        style: edge.secured == "none" ? .faint : .good),
                ] + Signals.requests(edge.rps, of: edge.requests) + [
                    Signals.success(edge.success, edge.health),
                    Signals.milliseconds("latencyP95", edge.p95, title: "LATENCY_P95"),
                ] + more.map { isWide ? $0 : $0.hidden } + [
                    .hidden("from", .string(edge.from)), .hidden("to", .string(edge.to)),
                    .hidden("health", .string(edge.health)),
                ])
        }
    }
}

/// Fields of golden signals: what is not known is `-` and null.
enum Signals {
    static func success(_ success: Double?, _ health: String) -> Field {
        field("success", success, title: "SUCCESS", text: formatShare, style: style(ofHealth: health))
    }

    /// The rate in Linkerd's form, `12.3rps`, and nothing where no request was seen; the number where it is not known in
    /// which time they came.
    static func requests(_ rate: Double?, of requests: UInt64) -> [Field] {
        let number = Field("requests", Value(requests))
        let rps = field("rps", rate, title: "RPS", text: { requests == 0 ? "-" : fixed($0, decimals: 1) + "rps" })
        return rate == nil ? [number, rps.hidden] : [number.hidden, rps]
    }

    static func rate(_ name: String, _ rate: Double?, title: String) -> Field {
        field(name, rate, title: title, text: { fixed($0, decimals: 1) })
    }

    static func milliseconds(_ name: String, _ milliseconds: Double?, title: String) -> Field {
        field(name, milliseconds, title: title, text: { formatSeconds($0 / 1000) })
    }

    static func bytes(_ name: String, _ bytes: Double?, title: String) -> Field {
        field(name, bytes, title: title, text: { formatBytes(UInt64(max(0, $0.rounded()))) })
    }

    /// `kernel`, or `kernel 90% proxy 10%`.
    static func lanes(_ lanes: [String: Double]) -> Field {
        let sorted = lanes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let text = sorted.count == 1 ? sorted.first?.key : nil
        return Field(
            "lanes", .object(Value.Object(sorted.map { ($0.key, .number($0.value)) })), title: "LANES",
            text: text
                ?? (sorted.isEmpty
                    ? "-" : sorted.map { "\($0.key) \(fixed($0.value * 100, decimals: 0))%" }.joined(separator: " ")))
    }

    static func style(ofHealth health: String) -> Style {
        switch health {
        case "good": .good
        case "warning": .caution
        case "bad": .bad
        default: .faint
        }
    }

    private static func field(
        _ name: String, _ number: Double?, title: String, text: (Double) -> String, style: Style = .plain
    ) -> Field {
        var field = Field(
            name, number.map(Value.number) ?? .null, title: title, text: number.map(text) ?? "-", style: style)
        // To the right also where nothing is known.
        field.isNumeric = true
        return field
    }
}

extension Field {
    /// For programs only.
    var hidden: Field { .hidden(name, value) }
}
