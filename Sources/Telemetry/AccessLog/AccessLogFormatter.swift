public import Proxy
import WeftABI

/// Writes entries of the access log as lines.
/// Source: https://istio.io/latest/docs/tasks/observability/logs/access-log/ and
/// https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
public struct AccessLogFormatter<Directory: NameDirectory> {
    private let format: AccessLogOptions.Format
    private let directory: Directory
    private let clock: WallClock
    private let flags = Array(ResponseFlags.names)

    /// - Parameter clock: for the wall-clock time of entries.
    public init(_ format: AccessLogOptions.Format, _ directory: Directory, clock: WallClock) {
        self.format = format
        self.directory = directory
        self.clock = clock
    }

    /// Appends one line.
    public func append(_ entry: borrowing RequestLogEntry, to bytes: inout [UInt8]) {
        switch format {
        case .json: appendJSON(entry, &bytes)
        case .text: appendText(entry, &bytes)
        case .istio: appendIstio(entry, &bytes)
        }
        bytes.append(UInt8(ascii: "\n"))
    }

    private func startTime(_ record: RequestRecord) -> String {
        let text = WallClock.text(unixNanoseconds: clock.unixNanoseconds(monotonic: record.started))
        // Milliseconds, as Envoy writes them.
        return text.dropLast(4) + "Z"
    }

    private func milliseconds(_ record: RequestRecord) -> UInt64 {
        record.ended > record.started ? (record.ended - record.started) / 1_000_000 : 0
    }

    private func serviceTime(_ record: RequestRecord) -> UInt64? {
        record.responded > record.started ? (record.responded - record.started) / 1_000_000 : nil
    }

    /// With the rule that has refused the request in brackets, as in Envoy's.
    private func details(_ entry: borrowing RequestLogEntry) -> String {
        let policy = entry.text(.policy)
        guard !policy.isEmpty else { return entry.record.detail.text }
        let name = unsafe policy.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
        return "\(entry.record.detail.text)[\(name)]"
    }

    private static var scheme: String { "spiffe://" }

    /// The SPIFFE id that a certificate has proved of the client (Envoy's DOWNSTREAM_PEER_URI_SAN).
    private func peer(_ entry: borrowing RequestLogEntry) -> String? {
        let principal = entry.text(.principal)
        guard !principal.isEmpty else { return nil }
        let text = unsafe principal.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
        return Self.scheme + text
    }

    private func flags(_ record: RequestRecord) -> String { Terms.responseFlags(record.flags) }

    /// `outbound|80||web.shop.svc.cluster.local`.
    private func cluster(_ record: RequestRecord) -> String? {
        directory.service(record.service).map { "\(record.isInbound ? "inbound" : "outbound")|\($0.port)||\($0.host)" }
    }

    // MARK: JSON

    private func appendJSON(_ entry: borrowing RequestLogEntry, _ bytes: inout [UInt8]) {
        let record = entry.record
        let addresses = entry.addresses
        var line = JSONLine(&bytes)
        line.add("start_time", startTime(record), &bytes)
        line.add("method", entry.text(.method), &bytes)
        line.add("path", entry.text(.path), &bytes)
        line.add("protocol", entry.hasFacts ? "HTTP/1.\(entry.minorVersion)" : nil, &bytes)
        line.add("response_code", UInt64(record.status), &bytes)
        line.add("response_flags", flags(record), &bytes)
        line.add("response_code_details", details(entry), &bytes)
        // Envoy's, of connections that its filters end and of its TLS: neither is here.
        line.add("connection_termination_details", nil as String?, &bytes)
        line.add("upstream_transport_failure_reason", nil as String?, &bytes)
        line.add("bytes_received", record.requestBody, &bytes)
        line.add("bytes_sent", record.responseBody, &bytes)
        line.add("duration", milliseconds(record), &bytes)
        line.add("upstream_service_time", serviceTime(record), &bytes)
        line.add("x_forwarded_for", entry.text(.forwardedFor), &bytes)
        line.add("user_agent", entry.text(.userAgent), &bytes)
        line.add("request_id", entry.text(.requestID), &bytes)
        line.add("authority", entry.text(.authority), &bytes)
        line.add("upstream_host", Self.text(addresses.upstream), &bytes)
        line.add("upstream_cluster", cluster(record), &bytes)
        line.add("upstream_local_address", Self.text(addresses.upstreamLocal), &bytes)
        line.add("downstream_local_address", Self.text(addresses.local), &bytes)
        line.add("downstream_remote_address", Self.text(addresses.client), &bytes)
        line.add("requested_server_name", nil as String?, &bytes)
        line.add("route_name", record.rule == 0 ? nil : directory.route(record.rule), &bytes)
        line.add("source_workload", directory.workload(record.source)?.fullName, &bytes)
        line.add("destination_workload", directory.workload(record.destination)?.fullName, &bytes)
        line.add("downstream_peer_uri_san", peer(entry), &bytes)
        line.add("attempts", UInt64(record.attempts), &bytes)
        line.add("trace_id", entry.trace?.traceText, &bytes)
        line.add("span_id", entry.trace.map { TraceContext.text($0.span) }, &bytes)
        bytes.append(UInt8(ascii: "}"))
    }

    // MARK: Text

    private func appendText(_ entry: borrowing RequestLogEntry, _ bytes: inout [UInt8]) {
        appendRequest(entry, &bytes)
        appendResponse(entry, &bytes)
        bytes.append(contentsOf: " \"".utf8)
        if !entry.text(.principal).isEmpty { bytes.append(contentsOf: Self.scheme.utf8) }
        Self.append(entry.text(.principal), &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Source: https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format
    private func appendIstio(_ entry: borrowing RequestLogEntry, _ bytes: inout [UInt8]) {
        let record = entry.record
        appendRequest(entry, &bytes)
        Self.append(word: details(entry), &bytes)
        // CONNECTION_TERMINATION_DETAILS and UPSTREAM_TRANSPORT_FAILURE_REASON.
        bytes.append(contentsOf: " - \"-\" ".utf8)
        appendResponse(entry, &bytes)
        bytes.append(contentsOf: " \(cluster(record) ?? "-")".utf8)
        for address in [entry.addresses.upstreamLocal, entry.addresses.local, entry.addresses.client] {
            bytes.append(contentsOf: " \(Self.text(address) ?? "-")".utf8)
        }
        // REQUESTED_SERVER_NAME.
        bytes.append(contentsOf: " - ".utf8)
        Self.append(word: record.rule == 0 ? nil : directory.route(record.rule), &bytes)
    }

    /// Up to the flags, with a space behind them.
    private func appendRequest(_ entry: borrowing RequestLogEntry, _ bytes: inout [UInt8]) {
        let record = entry.record
        bytes.append(contentsOf: "[\(startTime(record))] \"".utf8)
        Self.append(entry.text(.method), &bytes)
        bytes.append(UInt8(ascii: " "))
        Self.append(entry.text(.path), &bytes)
        let version = entry.hasFacts ? "HTTP/1.\(entry.minorVersion)" : "-"
        bytes.append(contentsOf: " \(version)\" \(record.status) \(flags(record)) ".utf8)
    }

    /// From the request's bytes to the backend's address.
    private func appendResponse(_ entry: borrowing RequestLogEntry, _ bytes: inout [UInt8]) {
        let record = entry.record
        bytes.append(contentsOf: "\(record.requestBody) \(record.responseBody) \(milliseconds(record)) ".utf8)
        bytes.append(contentsOf: serviceTime(record).map { "\($0)" }?.utf8 ?? "-".utf8)
        for text in [RequestLogText.forwardedFor, .userAgent, .requestID, .authority] {
            bytes.append(contentsOf: " \"".utf8)
            Self.append(entry.text(text), &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(contentsOf: " \"\(Self.text(entry.addresses.upstream) ?? "-")\"".utf8)
    }

    /// One of Weft's own texts as one word, which Istio's format does not put between quotes.
    private static func append(word: String?, _ bytes: inout [UInt8]) {
        bytes.append(contentsOf: (word ?? "-").utf8.map { $0 == UInt8(ascii: " ") ? UInt8(ascii: "_") : $0 })
    }

    /// A text of the client's between quotes: what could end the quotes or the line is escaped.
    private static func append(_ text: RawSpan, _ bytes: inout [UInt8]) {
        guard text.byteCount > 0 else { return bytes.append(UInt8(ascii: "-")) }
        for index in 0..<text.byteCount {
            let byte = unsafe text.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x20...0x7e: bytes.append(byte)
            default:
                let digits = String(byte, radix: 16)
                bytes.append(contentsOf: "\\x\(digits.utf8.count == 1 ? "0" : "")\(digits)".utf8)
            }
        }
    }

    /// `10.0.0.1:80`; nil for an address that is not known.
    static func text(_ address: ClientAddress) -> String? {
        guard address.high | address.low != 0 else { return nil }
        return AddressText.text(
            weft_address(high: address.high.bigEndian, low: address.low.bigEndian), port: address.port.bigEndian)
    }
}

/// Writes the members of one JSON object (RFC 8259) into a buffer that has lines before it.
private struct JSONLine {
    private var isFirst = true

    init(_ bytes: inout [UInt8]) { bytes.append(UInt8(ascii: "{")) }

    private mutating func key(_ key: String, _ bytes: inout [UInt8]) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: key.utf8)
        bytes.append(contentsOf: "\":".utf8)
    }

    mutating func add(_ key: String, _ value: String?, _ bytes: inout [UInt8]) {
        self.key(key, &bytes)
        if let value {
            JSONObjectWriter.append(quoted: value, to: &bytes)
        } else {
            bytes.append(contentsOf: "null".utf8)
        }
    }

    mutating func add(_ key: String, _ value: UInt64?, _ bytes: inout [UInt8]) {
        self.key(key, &bytes)
        if let value { MetricWriter.append(decimal: value, to: &bytes) } else { bytes.append(contentsOf: "null".utf8) }
    }

    /// A text of the client's; empty: null. What is no UTF-8 becomes replacement characters.
    mutating func add(_ key: String, _ value: RawSpan, _ bytes: inout [UInt8]) {
        self.key(key, &bytes)
        guard value.byteCount > 0 else { return bytes.append(contentsOf: "null".utf8) }
        let text = unsafe value.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
        JSONObjectWriter.append(quoted: text, to: &bytes)
    }
}
