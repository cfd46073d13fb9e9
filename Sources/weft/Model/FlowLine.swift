import FoundationEssentials
import Telemetry

/// A flow record as the agent writes it, one JSON object a line.
struct FlowLine: Decodable, Equatable, FlowDescription {
    var time: String
    var event: String
    var reporter: String
    var transport: String
    var lane: String
    var from: String?
    var sourcePrincipal: String?
    var to: String?
    var destination: String?
    var sourceAddress: String?
    var serviceAddress: String?
    var peerAddress: String?
    var addressClass: String?
    var rule: String?
    var sentBytes: UInt64
    var receivedBytes: UInt64
    var durationMicroseconds: UInt64
    var connectMicroseconds: UInt64?
    var rttMicroseconds: UInt64?
    var retransmits: UInt32
    /// Earlier agents' lines do not have it.
    var windowLimitedMicroseconds: UInt64?
    /// `2xx`.
    var statusClass: String?
    var httpRequests: UInt32?
    var error: Int32?
    var cookie: UInt64
    var netnsCookie: UInt64
    var cgroup: UInt64

    private enum CodingKeys: String, CodingKey {
        case time, event, reporter, lane, from, to, destination, rule, retransmits, error, cookie, cgroup
        case transport = "protocol"
        case sourcePrincipal = "source_principal"
        case sourceAddress = "source_address"
        case serviceAddress = "service_address"
        case peerAddress = "peer_address"
        case addressClass = "address_class"
        case sentBytes = "bytes_sent"
        case receivedBytes = "bytes_received"
        case durationMicroseconds = "duration_us"
        case connectMicroseconds = "connect_us"
        case rttMicroseconds = "rtt_us"
        case windowLimitedMicroseconds = "window_limited_us"
        case statusClass = "http_class"
        case httpRequests = "http_requests"
        case netnsCookie = "netns_cookie"
    }

    init(_ line: [UInt8]) throws(Failure) {
        if let end = StreamEnd(line) { throw .unknown(end.error) }
        do {
            self = try JSONDecoder().decode(FlowLine.self, from: Data(line))
        } catch {
            throw .unknown("a flow record of the agent is not understood (is it of another version?): \(error)")
        }
    }

    var httpClass: UInt8? { statusClass.flatMap(FlowFilter.httpClass) }

    /// With the keys of the line itself.
    var record: Record {
        func key(_ key: CodingKeys) -> String { key.rawValue }
        func number(_ value: (some BinaryInteger)?) -> Value { value.map { Value($0) } ?? .null }
        return Record([
            Field(key(.time), .string(time), text: timeOfDay).whole,
            Field(key(.event), .string(event), style: style).whole,
            .hidden(key(.reporter), .string(reporter)),
            .hidden(key(.transport), .string(transport)),
            Field(key(.from), .optional(from), text: from ?? sourcePrincipal ?? "unknown"),
            .hidden(key(.sourcePrincipal), .optional(sourcePrincipal)),
            Field(key(.to), .optional(to), text: to ?? serviceAddress ?? "-"),
            Field(key(.destination), .optional(destination), text: place),
            Field(key(.lane), .string(lane)),
            .hidden(key(.sourceAddress), .optional(sourceAddress)),
            .hidden(key(.serviceAddress), .optional(serviceAddress)),
            .hidden(key(.peerAddress), .optional(peerAddress)),
            .hidden(key(.addressClass), .optional(addressClass)),
            Field(key(.sentBytes), Value(sentBytes), title: "SENT", text: formatBytes(sentBytes)),
            Field(key(.receivedBytes), Value(receivedBytes), title: "RECEIVED", text: formatBytes(receivedBytes)),
            Field(
                key(.durationMicroseconds), Value(durationMicroseconds), title: "DURATION",
                text: formatSeconds(Double(durationMicroseconds) / 1_000_000)),
            .hidden(key(.connectMicroseconds), number(connectMicroseconds)),
            .hidden(key(.rttMicroseconds), number(rttMicroseconds)),
            .hidden(key(.retransmits), Value(retransmits)),
            .hidden(key(.windowLimitedMicroseconds), number(windowLimitedMicroseconds)),
            Field(key(.statusClass), .optional(statusClass), title: "HTTP", text: requests),
            .hidden(key(.httpRequests), number(httpRequests)),
            Field(key(.rule), .optional(rule), text: reason ?? "-"),
            .hidden(key(.error), number(error)),
            .hidden(key(.cookie), Value(cookie)),
            .hidden(key(.netnsCookie), Value(netnsCookie)),
            .hidden(key(.cgroup), Value(cgroup)),
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

    /// The class of the first answer, and how many requests there were when there was more than one: `2xx ×3`.
    private var requests: String {
        guard let statusClass else { return "-" }
        guard let httpRequests, httpRequests > 1 else { return statusClass }
        return "\(statusClass) ×\(httpRequests)"
    }

    /// Who decided, or why it failed.
    private var reason: String? {
        if event == "failed", let error { return errorText(error) }
        return rule
    }

    private var style: Style {
        switch event {
        case "denied", "ended_by_policy": .bad
        case "failed", "no_backend", "ended_by_drain": .caution
        default: .plain
        }
    }
}

/// The last line of a stream that the agent ends, with why.
struct StreamEnd: Decodable, Equatable {
    var error: String

    /// Nil for any other line.
    init?(_ line: [UInt8]) {
        guard line.starts(with: #"{"error":""#.utf8),
            let end = try? JSONDecoder().decode(StreamEnd.self, from: Data(line))
        else { return nil }
        self = end
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
