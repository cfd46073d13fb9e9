import Protobuf

extension FlowRecord {
    /// The record as a message `LogRecord`, from the workload that has reported it.
    ///
    /// Refusals have the severity WARN, everything else INFO. The attributes have OpenTelemetry's names where it has
    /// any, and the keys of the JSON line behind `weft.` elsewhere; what is not known is left out.
    /// Source: opentelemetry/proto/logs/v1/logs.proto, https://opentelemetry.io/docs/specs/otel/logs/data-model/
    ///
    /// - Parameters:
    ///   - reporter: the workload at whose end it was seen; nil: it is the node's.
    ///   - node: this node's name.
    public func otlp(reporter workload: WorkloadLabels?, node: String) -> OTLPRecord {
        let isRefusal = ["denied", "ended_by_policy"].contains(event)
        var writer = ProtobufWriter()
        let moment = UInt64(max(time, 0))
        writer.fixed64(1, moment)
        writer.integer(2, isRefusal ? 13 : 9)
        writer.string(3, isRefusal ? "WARN" : "INFO")
        writer.message(5) { $0.string(1, sentence) }
        let texts: [(String, String?)] = [
            ("weft.event", event), ("weft.reporter", reporter), ("network.transport", transport), ("weft.lane", lane),
            ("weft.from", from), ("weft.source_principal", sourcePrincipal), ("weft.to", to),
            ("weft.destination", destination), ("weft.service_address", serviceAddress),
            ("weft.address_class", addressClass), ("weft.rule", rule), ("weft.http_class", httpClass.map { "\($0)xx" }),
        ]
        for (key, value) in texts { if let value { writer.attribute(6, key, value) } }
        for (key, place) in [("source", sourceAddress), ("destination", peerAddress ?? serviceAddress)] {
            guard let place, let (address, port) = Self.parts(place) else { continue }
            writer.attribute(6, "\(key).address", address)
            writer.attribute(6, "\(key).port", port)
        }
        let numbers: [(String, UInt64?)] = [
            ("weft.bytes_sent", sentBytes), ("weft.bytes_received", receivedBytes),
            ("weft.duration_us", durationMicroseconds),
            ("weft.connect_us", connectMicroseconds), ("weft.rtt_us", rttMicroseconds),
            ("weft.retransmits", UInt64(retransmits)), ("weft.window_limited_us", windowLimitedMicroseconds),
            ("weft.http_requests", httpRequests.map(UInt64.init)),
            ("weft.error", error.map { UInt64(UInt32(bitPattern: $0)) }),
        ]
        for (key, value) in numbers { if let value { writer.attribute(6, key, Int64(clamping: value)) } }
        writer.fixed64(11, moment)
        writer.string(12, "weft.flow")
        let resource = workload.map { OTLPResource($0, host: node) } ?? OTLPResource(serviceName: "weft", host: node)
        return OTLPRecord(resource, message: writer.bytes)
    }

    /// `denied shop/mallory to shop/web:80 by shop/no-mallory[0]`.
    private var sentence: String {
        let client = from ?? sourcePrincipal ?? sourceAddress ?? "unknown"
        let server = to ?? destination ?? peerAddress ?? serviceAddress ?? "unknown"
        return "\(event) \(client) to \(server)" + (rule.map { " by \($0)" } ?? "")
    }

    /// Of `10.0.0.1:80` and `[2001:db8::1]:80`.
    private static func parts(_ place: String) -> (address: String, port: Int64)? {
        guard let colon = place.lastIndex(of: ":"), let port = Int64(place[place.index(after: colon)...]) else {
            return nil
        }
        let address = place[..<colon]
        return (address.hasPrefix("[") ? String(address.dropFirst().dropLast()) : String(address), port)
    }
}
