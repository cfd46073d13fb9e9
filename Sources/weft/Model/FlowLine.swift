import FoundationEssentials

/// A flow record as the agent writes it, one JSON object a line.
struct FlowLine: Decodable, Equatable {
    var time: String
    var event: String
    var transport: String
    var lane: String
    var from: String?
    var to: String?
    var destination: String?
    var serviceAddress: String?
    var peerAddress: String?
    var addressClass: String?
    var rule: String?
    var sentBytes: UInt64
    var receivedBytes: UInt64
    var durationMicroseconds: UInt64
    var error: Int32?

    private enum CodingKeys: String, CodingKey {
        case time, event, lane, from, to, destination, rule, error
        case transport = "protocol"
        case serviceAddress = "service_address"
        case peerAddress = "peer_address"
        case addressClass = "address_class"
        case sentBytes = "bytes_sent"
        case receivedBytes = "bytes_received"
        case durationMicroseconds = "duration_us"
    }

    init(_ line: [UInt8]) throws(Failure) {
        do {
            self = try JSONDecoder().decode(FlowLine.self, from: Data(line))
        } catch {
            throw .unknown("a flow record of the agent is not understood (is it of another version?): \(error)")
        }
    }

    var record: Record {
        Record([
            Field("time", .string(time), text: timeOfDay),
            Field("event", .string(event), style: style),
            Field("from", .optional(from), text: from ?? "unknown"),
            Field("to", .optional(to), text: to ?? serviceAddress ?? "-"),
            Field("destination", .optional(destination), text: place),
            Field("lane", .string(lane)),
            Field("sent", Value(sentBytes), text: formatBytes(sentBytes)),
            Field("received", Value(receivedBytes), text: formatBytes(receivedBytes)),
            Field("duration", Value(durationMicroseconds), text: formatSeconds(Double(durationMicroseconds) / 1_000_000)),
            Field("rule", .optional(reason)),
        ])
    }

    /// `15:04:05.123` of an RFC 3339 time.
    private var timeOfDay: String { String(time.drop { $0 != "T" }.dropFirst().prefix(12)) }

    private var place: String {
        switch (destination, peerAddress) {
        case (let workload?, let address?): "\(workload) (\(address))"
        default: destination ?? peerAddress ?? "-"
        }
    }

    /// Who decided, or why it failed.
    private var reason: String? {
        if event == "failed", let error { return errorText(error) }
        return rule
    }

    private var style: Style {
        switch event {
        case "denied": .bad
        case "failed", "no_backend": .caution
        default: .plain
        }
    }
}

/// Puts lines together that arrive in pieces.
struct LineSplitter {
    private var pending: [UInt8] = []

    /// The lines that are complete now, without their line feeds.
    mutating func lines(in bytes: [UInt8]) -> [[UInt8]] {
        pending += bytes
        guard let last = pending.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        let complete = pending[..<last]
        pending.removeFirst(last + 1)
        return complete.split(separator: UInt8(ascii: "\n")).map { Array($0) }
    }
}
