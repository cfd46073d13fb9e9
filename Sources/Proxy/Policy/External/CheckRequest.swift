internal import Mesh

/// Who calls whom, for those who decide about a request.
struct CheckPeers: ~Escapable {
    let principal: RawSpan
    let source: ClientAddress
    let destination: ClientAddress

    @_lifetime(copy principal)
    init(principal: RawSpan, source: ClientAddress, destination: ClientAddress) {
        self.principal = principal
        self.source = source
        self.destination = destination
    }
}

extension ExternalProvider {
    /// Writes the request that asks over HTTP: Envoy's ext_authz, or OPA's Data API.
    ///
    /// - Parameter trace: the request's: the authorizer's spans belong to it.
    func write(
        _ view: borrowing RequestView, _ peers: borrowing CheckPeers, trace: TraceContext, into scratch: inout Scratch
    ) {
        switch authorizer?.api {
        case .http: writeHTTP(view, trace, into: &scratch)
        case .opa: writeOPA(view, peers, trace, into: &scratch)
        case .grpc, nil: break
        }
    }

    /// The method, path and host of the request itself, without its body.
    /// Source: https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/ext_authz/v3/ext_authz.proto
    private func writeHTTP(_ view: borrowing RequestView, _ trace: TraceContext, into scratch: inout Scratch) {
        scratch.append(view.bytes[view.head.methodText])
        scratch.append(" ")
        scratch.append(path)
        scratch.append(view.head.form == .asterisk ? "/" : "")
        if view.head.form != .asterisk { scratch.append(view.path) }
        if view.head.hasQuery {
            scratch.append("?")
            scratch.append(view.bytes[view.head.query])
        }
        scratch.append(" HTTP/1.1\r\nhost: ")
        if view.head.authority.isEmpty {
            scratch.append(host)
        } else {
            scratch.append(view.bytes[view.head.authority])
        }
        scratch.append("\r\n")
        for index in view.fields.indices {
            let field = view.fields[index]
            guard field.known == .authorization || field.known.mayBeCopied else { continue }
            // Its own say where the request came from, and not where it is now.
            if trace.isPresent, field.known.isOfTrace || field.known == .tracestate && trace.dropsState { continue }
            let name = view.bytes[field.name]
            guard field.known == .authorization || requestHeaders.matches(name), !additionalNames.matches(name) else {
                continue
            }
            scratch.append(view.bytes[field.line])
        }
        scratch.append(additionalLines)
        if trace.isPresent { trace.write(into: &scratch) }
        scratch.append("content-length: 0\r\n\r\n")
    }

    /// `{"input": …}` in the form of Envoy's CheckRequest, so that policies written for opa-envoy-plugin can be used.
    /// Source: https://www.openpolicyagent.org/docs/latest/rest-api/#get-a-document-with-input
    private func writeOPA(
        _ view: borrowing RequestView, _ peers: borrowing CheckPeers, _ trace: TraceContext, into scratch: inout Scratch
    ) {
        // The length comes first: room is left for its digits, which may have leading zeros in no place but here.
        let start = scratch.count
        writeInput(view, peers, into: &scratch)
        let length = scratch.count - start
        scratch.removeAll()
        scratch.append("POST ")
        scratch.append(path)
        scratch.append(" HTTP/1.1\r\nhost: ")
        scratch.append(host)
        scratch.append("\r\ncontent-type: application/json\r\naccept: application/json\r\n")
        if trace.isPresent { trace.write(into: &scratch) }
        scratch.append("content-length: ")
        scratch.append(decimal: UInt64(length))
        scratch.append("\r\n\r\n")
        writeInput(view, peers, into: &scratch)
    }

    private func writeInput(_ view: borrowing RequestView, _ peers: borrowing CheckPeers, into scratch: inout Scratch) {
        scratch.append("{\"input\":{\"attributes\":{\"source\":{\"address\":")
        writeAddress(peers.source, into: &scratch)
        scratch.append(",\"principal\":")
        scratch.append(json: peers.principal, prefix: peers.principal.isEmpty ? "" : "spiffe://")
        scratch.append("},\"destination\":{\"address\":")
        writeAddress(peers.destination, into: &scratch)
        scratch.append("},\"request\":{\"http\":{\"method\":")
        scratch.append(json: view.bytes[view.head.methodText])
        scratch.append(",\"path\":")
        scratch.append(json: view.path, query: view.head.hasQuery ? view.bytes[view.head.query] : nil)
        scratch.append(",\"host\":")
        scratch.append(json: view.bytes[view.head.authority])
        scratch.append(view.isSecure ? ",\"scheme\":\"https\"" : ",\"scheme\":\"http\"")
        scratch.append(",\"protocol\":\"HTTP/1.")
        scratch.append(decimal: UInt64(view.head.minorVersion))
        scratch.append("\",\"headers\":{")
        writeHeaders(view, into: &scratch)
        scratch.append("}}}},\"parsed_path\":[")
        writeElements(view.path, into: &scratch)
        scratch.append("]}}")
    }

    /// Names in lower case, values of the same name with commas between them (RFC 9110 section 5.3).
    private func writeHeaders(_ view: borrowing RequestView, into scratch: inout Scratch) {
        var isFirst = true
        for index in view.fields.indices {
            let name = view.bytes[view.fields[index].name]
            var isRepeated = false
            for earlier in 0..<index
            where ByteText.equalInAnyCase(view.bytes[view.fields[earlier].name], name) { isRepeated = true }
            if isRepeated { continue }
            if !isFirst { scratch.append(",") }
            isFirst = false
            scratch.append("\"")
            for place in 0..<name.byteCount { scratch.append(byte: ByteText.lowercase(name[place])) }
            scratch.append("\":\"")
            for later in index..<view.fields.count
            where ByteText.equalInAnyCase(view.bytes[view.fields[later].name], name) {
                if later != index { scratch.append(",") }
                scratch.append(jsonText: view.bytes[view.fields[later].value])
            }
            scratch.append("\"")
        }
    }

    private func writeElements(_ path: RawSpan, into scratch: inout Scratch) {
        var start = 1
        while start < path.byteCount {
            let end = ByteText.index(of: UInt8(ascii: "/"), in: path, from: start) ?? path.byteCount
            if start > 1 { scratch.append(",") }
            scratch.append(json: path.extracting(start..<end))
            start = end + 1
        }
    }

    private func writeAddress(_ address: ClientAddress, into scratch: inout Scratch) {
        scratch.append("{\"socketAddress\":{\"address\":\"")
        let network = IPAddress(high: address.high.bigEndian, low: address.low.bigEndian)
        scratch.append(Array(network.description.utf8))
        scratch.append("\",\"portValue\":")
        scratch.append(decimal: UInt64(address.port))
        scratch.append("}}")
    }
}

extension KnownField {
    /// Whether it names a trace and a span.
    fileprivate var isOfTrace: Bool {
        switch self {
        case .traceparent, .b3, .xB3Traceid, .xB3Spanid, .xB3Parentspanid, .xB3Sampled, .xB3Flags, .grpcTraceBin: true
        default: false
        }
    }

    /// Whether another request may have the field as it is: it neither frames a body nor belongs to a connection.
    var mayBeCopied: Bool {
        switch self {
        case .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade, .contentLength, .trailer,
            .host,
            .expect:
            false
        default: true
        }
    }
}

extension Scratch {
    /// A JSON string with its quotes.
    mutating func append(json text: RawSpan, prefix: StaticString = "", query: RawSpan? = nil) {
        append("\"")
        append(prefix)
        append(jsonText: text)
        if let query {
            append("?")
            append(jsonText: query)
        }
        append("\"")
    }

    /// What is not UTF-8 is taken for ISO 8859-1, byte by byte.
    mutating func append(jsonText text: RawSpan) {
        let isUTF8 = text.isUTF8
        for index in 0..<text.byteCount {
            let byte = text[index]
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                append(byte: UInt8(ascii: "\\"))
                append(byte: byte)
            case 0..<0x20, 0x7f: appendEscape(byte)
            case 0x80... where !isUTF8: appendEscape(byte)
            default: append(byte: byte)
            }
        }
    }

    private mutating func appendEscape(_ byte: UInt8) {
        func digit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }
        append("\\u00")
        append(byte: digit(byte >> 4))
        append(byte: digit(byte & 15))
    }
}

extension RawSpan {
    var isUTF8: Bool {
        var isASCII = true
        for index in 0..<byteCount where self[index] >= 0x80 { isASCII = false }
        if isASCII { return true }
        return (try? UTF8Span(validating: Span<UInt8>(_bytes: self))) != nil
    }
}
