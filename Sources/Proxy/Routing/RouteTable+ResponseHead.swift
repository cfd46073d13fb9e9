extension RouteTable {
    /// Writes the head of the response that is sent for a backend's: header fields modified as the rule and the backend
    /// say, CORS fields, what belongs to the backend's connection left out, the rest in its order and case. Interim
    /// responses (1xx but 101) are not modified.
    ///
    /// - Parameters:
    ///   - bytes: what the slices of `head` and `fields` speak of.
    ///   - origin: the value of the request's `Origin`; used if the decision allows it.
    ///   - extra: whole lines that are written after the message's own.
    func writeResponseHead(
        _ decision: RouteDecision, _ head: ResponseHead, _ fields: Span<HeadField>, of bytes: RawSpan,
        origin: RawSpan, _ options: MessageOptions, extra: RawSpan, into scratch: inout Scratch
    ) {
        var edit = RouteHeaderEdit()
        let isInterim = head.status < 200 && head.status != 101
        let hasCORS = decision.allowsOrigin && decision.rule >= 0 && !isInterim
        if decision.backend >= 0, !isInterim {
            let backend = backends[Int(decision.backend)]
            if backend.responseEdit >= 0 { edit = headerEdits[Int(backend.responseEdit)] }
        }

        scratch.append("HTTP/1.1 ")
        scratch.append(decimal: UInt64(head.status))
        scratch.append(byte: UInt8(ascii: " "))
        scratch.append(bytes[head.reason])
        scratch.append("\r\n")

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
            copy.keep(field.line, of: bytes, into: &scratch)
        }
        copy.flush(bytes, into: &scratch)
        if !isFramed { scratch.appendFraming(options.framing) }
        scratch.appendConnection(options.connection)
        if hasCORS {
            writeCORSFields(cors[Int(rules[Int(decision.rule)].cors)], origin: origin, into: &scratch)
        }
        scratch.append(text(edit.lines))
        if !isInterim { scratch.append(extra) }
        scratch.append("\r\n")
    }

    /// What the backend says about origins gives way to the rule's policy.
    private func isCORSField(_ name: HeadSlice, of bytes: RawSpan) -> Bool {
        ByteText.hasPrefixIgnoringCase(bytes[name], "access-control-")
    }
}
