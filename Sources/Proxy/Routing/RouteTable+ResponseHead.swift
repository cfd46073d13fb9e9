extension RouteTable {
    /// Writes the head of the response that is sent for a backend's: header fields modified as the rule and the backend
    /// say, CORS fields, what belongs to the backend's connection left out, the rest in its order and case. Interim
    /// responses (1xx but 101) are not modified.
    ///
    /// - Parameters:
    ///   - bytes: what the slices of `head` and `fields` speak of.
    ///   - origin: the value of the request's `Origin`; used if the decision allows it.
    ///   - extra: whole lines that are written after the message's own.
    /// - Returns: the number of bytes written, nil if `buffer` is too small.
    public func writeResponseHead(
        _ decision: RouteDecision, _ head: ResponseHead, _ fields: Span<HeadField>, of bytes: RawSpan,
        origin: RawSpan, _ options: MessageOptions, extra: RawSpan, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var sink = unsafe ByteSink(buffer)
        var edit = RouteHeaderEdit()
        let isInterim = head.status < 200 && head.status != 101
        let hasCORS = decision.allowsOrigin && decision.rule >= 0 && !isInterim
        if decision.backend >= 0, !isInterim {
            let backend = backends[Int(decision.backend)]
            if backend.responseEdit >= 0 { edit = headerEdits[Int(backend.responseEdit)] }
        }

        sink.append("HTTP/1.1 ")
        sink.append(number: head.status)
        sink.append(UInt8(ascii: " "))
        sink.append(bytes, head.reason)
        sink.append("\r\n")

        var copy = LineCopy()
        var isFramed = false
        for index in fields.indices {
            let field = fields[index]
            switch field.known {
            case .connection, .keepAlive, .proxyConnection, .te:
                continue
            case .upgrade:
                guard options.connection == .upgrade else { continue }
            case .contentLength:
                // Without a body it is what the body would have had: answers to HEAD, and 304.
                if options.framing == .none {
                    guard head.status >= 200, head.status != 204 else { continue }
                    break
                }
                guard !isFramed, field.says(options.framing, asIn: head.framing, bytes) else { continue }
                isFramed = true
            case .transferEncoding:
                guard !isFramed, field.says(options.framing, asIn: head.framing, bytes) else { continue }
                isFramed = true
            case .trailer:
                guard options.framing == .chunked else { continue }
            default:
                if head.hasConnectionOptions, isConnectionOption(field.name, fields, of: bytes) { continue }
                if hasCORS, isCORSField(field.name, of: bytes) { continue }
            }
            if drops(edit, field.name, of: bytes) { continue }
            copy.keep(field.line, of: bytes, into: &sink)
        }
        copy.flush(bytes, into: &sink)
        if !isFramed { sink.appendFraming(options.framing) }
        sink.appendConnection(options.connection)
        if hasCORS { writeCORSFields(cors[Int(rules[Int(decision.rule)].cors)], origin: origin, into: &sink) }
        sink.append(text(edit.lines))
        if !isInterim { sink.append(extra) }
        sink.append("\r\n")
        return sink.finish()
    }

    /// What the backend says about origins gives way to the rule's policy.
    private func isCORSField(_ name: HeadSlice, of bytes: RawSpan) -> Bool {
        ByteText.hasPrefixIgnoringCase(bytes.extracting(name.range), "access-control-")
    }
}
