import Protobuf
public import Proxy
import WeftABI

/// Makes spans of requests that the proxy has relayed, by OpenTelemetry's conventions for HTTP.
///
/// A request to a workload elsewhere is a CLIENT span of its caller; one that comes from elsewhere is a SERVER span of the
/// workload that gets it; one between two workloads of this node is both, the SERVER span within the CLIENT span. So each
/// end of a request is told once, by the agent of its node, as sidecars do. An attempt at a sampled request that another one
/// followed has spans of its own, and so has its copy for a mirror (`weft.mirror`).
///
/// Sources: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and opentelemetry/proto/trace/v1/trace.proto
public struct SpanEncoder<Directory: NameDirectory> {
    private let directory: Directory
    private let clock: WallClock
    private let node: String

    /// - Parameters:
    ///   - clock: for the wall-clock time of requests.
    ///   - node: this node's name.
    public init(_ directory: Directory, clock: WallClock, node: String) {
        self.directory = directory
        self.clock = clock
        self.node = node
    }

    private enum Kind: Int {
        case server = 2
        case client = 3
    }

    /// The spans of one request; none if it is in no trace.
    public func spans(_ entry: borrowing RequestLogEntry) -> [OTLPRecord] {
        guard let trace = entry.trace else { return [] }
        let record = entry.record
        let source = directory.workload(record.source)
        let destination = directory.workload(record.destination)
        if record.isInbound {
            let message = span(entry, .server, id: trace.span, parent: trace.parent, source, destination)
            return [OTLPRecord(server(record, destination), message: message)]
        }
        let client = source.map { OTLPResource($0, host: node) } ?? OTLPResource(serviceName: "unknown", host: node)
        guard let destination, destination.isLocal, !record.isToTunnel else {
            let message = span(entry, .client, id: trace.span, parent: trace.parent, source, destination)
            return [OTLPRecord(client, message: message)]
        }
        return [
            OTLPRecord(
                client,
                message: span(entry, .client, id: trace.clientSpan, parent: trace.parent, source, destination)),
            OTLPRecord(
                server(record, destination),
                message: span(entry, .server, id: trace.span, parent: trace.clientSpan, source, destination)),
        ]
    }

    private func server(_ record: RequestRecord, _ destination: WorkloadLabels?) -> OTLPResource {
        if let destination { return OTLPResource(destination, host: node) }
        // Refused before it was known where it would go.
        guard let service = directory.service(record.service) else {
            return OTLPResource(serviceName: "unknown", host: node)
        }
        var resource = OTLPResource(serviceName: service.name, host: node)
        resource.serviceNamespace = service.namespace
        return resource
    }

    private func span(
        _ entry: borrowing RequestLogEntry, _ kind: Kind, id: UInt64, parent: UInt64, _ source: WorkloadLabels?,
        _ destination: WorkloadLabels?
    ) -> [UInt8] {
        let record = entry.record
        let service = directory.service(record.service)
        let trace = entry.trace ?? TraceContext()
        let method = HTTPMethodName(Self.text(entry.text(.method)))
        var writer = ProtobufWriter()
        writer.bytes(1, trace.traceID)
        writer.bytes(2, TraceContext.bytes(id))
        if parent != 0 { writer.bytes(4, TraceContext.bytes(parent)) }
        writer.string(5, service.map { "\(method.span) \($0.host)" } ?? method.span)
        writer.integer(6, kind.rawValue)
        writer.fixed64(7, unixTime(entry.attemptStarted))
        writer.fixed64(8, unixTime(max(record.ended, entry.attemptStarted)))
        writeRequest(entry, method, &writer)
        writeEnds(entry, kind, &writer)
        writer.attribute(9, "weft.lane", "proxy")
        if entry.subject == .mirror { writer.attribute(9, "weft.mirror", true) }
        writePeers(entry, source, destination, service, kind, &writer)
        writeOutcome(record, kind, &writer)
        writer.fixed32(16, trace.isSampled ? 1 : 0)
        return writer.bytes
    }

    private func unixTime(_ monotonic: UInt64) -> UInt64 { UInt64(max(clock.unixNanoseconds(monotonic: monotonic), 0)) }

    // MARK: Attributes

    private func writeRequest(
        _ entry: borrowing RequestLogEntry, _ method: HTTPMethodName, _ writer: inout ProtobufWriter
    ) {
        let record = entry.record
        writer.attribute(9, "http.request.method", method.known)
        if let original = method.original { writer.attribute(9, "http.request.method_original", original) }
        // Queries have secrets more often than not.
        let path = Self.text(entry.text(.path)).prefix { $0 != "?" }
        writer.attribute(9, "url.path", String(path))
        writer.attribute(9, "url.scheme", "http")
        let (host, port) = Self.hostAndPort(Self.text(entry.text(.authority)))
        if !host.isEmpty { writer.attribute(9, "server.address", host) }
        if let port { writer.attribute(9, "server.port", Int64(port)) }
        writer.attribute(9, "network.protocol.name", "http")
        writer.attribute(9, "network.protocol.version", "1.\(entry.minorVersion)")
        if record.status > 0 { writer.attribute(9, "http.response.status_code", Int64(record.status)) }
        writer.attribute(9, "http.request.body.size", Int64(clamping: record.requestBody))
        writer.attribute(9, "http.response.body.size", Int64(clamping: record.responseBody))
        let agent = Self.text(entry.text(.userAgent))
        if !agent.isEmpty { writer.attribute(9, "user_agent.original", agent) }
        let identifier = Self.text(entry.text(.requestID))
        if !identifier.isEmpty { writer.attribute(9, "http.request.header.x-request-id", [identifier]) }
        if record.attempts > 1 { writer.attribute(9, "http.request.resend_count", Int64(record.attempts) - 1) }
    }

    private func writeEnds(_ entry: borrowing RequestLogEntry, _ kind: Kind, _ writer: inout ProtobufWriter) {
        let peer = kind == .server ? entry.addresses.client : entry.addresses.upstream
        guard peer.high | peer.low != 0 else { return }
        let address = AddressText.text(weft_address(high: peer.high.bigEndian, low: peer.low.bigEndian))
        writer.attribute(9, "network.peer.address", address)
        writer.attribute(9, "network.peer.port", Int64(peer.port))
        if kind == .server { writer.attribute(9, "client.address", address) }
    }

    private func writePeers(
        _ entry: borrowing RequestLogEntry, _ source: WorkloadLabels?, _ destination: WorkloadLabels?,
        _ service: ServiceLabels?, _ kind: Kind, _ writer: inout ProtobufWriter
    ) {
        let record = entry.record
        if kind == .client, let peer = destination?.canonicalService ?? service?.name {
            writer.attribute(9, "peer.service", peer)
        }
        if kind == .server, let peer = source?.canonicalService { writer.attribute(9, "peer.service", peer) }
        if let service { writer.attribute(9, "weft.service", service.fullName) }
        if record.rule != 0, let route = directory.route(record.rule) { writer.attribute(9, "weft.route", route) }
        if let source { writer.attribute(9, "weft.source.workload", source.fullName) }
        let proved = Self.text(entry.text(.principal))
        if !proved.isEmpty {
            writer.attribute(9, "weft.source.principal", "spiffe://" + proved)
        } else if let source, !record.isInbound {
            // The kernel's word for who it is.
            writer.attribute(9, "weft.source.principal", source.principal)
        }
        if let destination {
            writer.attribute(9, "weft.destination.workload", destination.fullName)
            writer.attribute(9, "weft.destination.principal", destination.principal)
        }
        if record.isFromTunnel || record.isToTunnel { writer.attribute(9, "weft.secured", Terms.mutualTLS) }
        let rule = Self.text(entry.text(.policy))
        if !rule.isEmpty { writer.attribute(9, "weft.policy", rule) }
    }

    private func writeOutcome(_ record: RequestRecord, _ kind: Kind, _ writer: inout ProtobufWriter) {
        if !record.flags.isEmpty { writer.attribute(9, "weft.response_flags", Terms.responseFlags(record.flags)) }
        writer.attribute(9, "weft.response_code_details", record.detail.text)
        // What a server refuses is its client's mistake, and an error of the client's only.
        guard record.isFailure || (kind == .client && record.status >= 400) else { return }
        let isAnswered = record.detail == .viaUpstream && record.status > 0
        writer.attribute(9, "error.type", isAnswered ? String(record.status) : record.detail.text)
        writer.message(15) { status in
            if !isAnswered { status.string(2, record.detail.text) }
            status.integer(3, 2)
        }
    }

    // MARK: Texts

    /// A text of the client's: what is no UTF-8 becomes replacement characters.
    private static func text(_ bytes: RawSpan) -> String {
        unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// `web:80` in two parts; brackets of an IPv6 address are left out.
    static func hostAndPort(_ authority: String) -> (String, UInt16?) {
        var host = authority[...]
        var port: UInt16?
        if let colon = host.lastIndex(of: ":"), host.lastIndex(of: "]").map({ $0 < colon }) ?? true,
            let number = UInt16(host[host.index(after: colon)...])
        {
            port = number
            host = host[..<colon]
        }
        if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
        return (String(host), port)
    }
}

/// A method as the conventions want it.
private struct HTTPMethodName {
    /// One of those that everybody knows, otherwise `_OTHER`.
    let known: String
    /// As it was written, if it is none of them.
    let original: String?

    init(_ method: String) {
        let isKnown = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"].contains(method)
        known = isKnown ? method : "_OTHER"
        original = isKnown ? nil : method
    }

    /// In a span's name.
    var span: String { original == nil ? known : "HTTP" }
}

extension TraceContext {
    /// The trace's identifier, 16 bytes.
    var traceID: [UInt8] { Self.bytes(traceHigh) + Self.bytes(traceLow) }

    /// A span's identifier, 8 bytes.
    static func bytes(_ identifier: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: identifier >> UInt64(56 - $0 * 8)) }
    }

    /// The trace's identifier in 32 hexadecimal digits.
    public var traceText: String { Self.text(traceHigh) + Self.text(traceLow) }

    /// A span's identifier, or half of a trace's, in 16 hexadecimal digits.
    public static func text(_ identifier: UInt64) -> String {
        let digits = String(identifier, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}
