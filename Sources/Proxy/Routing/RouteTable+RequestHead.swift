extension RouteTable {
    /// Writes the head of the request that is sent for `view`: path and host rewritten, header fields modified as the rule
    /// and its backend say, what belongs to the client's connection left out, the rest in its order and case.
    ///
    /// - Parameters:
    ///   - extra: whole lines that are written after the message's own.
    /// - Returns: the number of bytes written, nil if `buffer` is too small.
    public func writeRequestHead(
        _ decision: RouteDecision, service: Int, _ view: borrowing RequestView, _ options: MessageOptions,
        extra: RawSpan, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int? {
        var sink = unsafe ByteSink(buffer)
        var edit = RouteHeaderEdit()
        var rewrite = RouteRewrite()
        if decision.backend >= 0 {
            let backend = backends[Int(decision.backend)]
            if backend.requestEdit >= 0 { edit = headerEdits[Int(backend.requestEdit)] }
            if backend.rewrite >= 0 { rewrite = rewrites[Int(backend.rewrite)] }
        }
        let host = edit.host.isEmpty ? rewrite.host : edit.host

        writeRequestLine(rewrite.path, decision, view, into: &sink)
        if view.slice(of: .host) == nil {
            sink.append("host: ")
            if !host.isEmpty {
                sink.append(text(host))
            } else if !view.head.authority.isEmpty {
                sink.append(view.bytes, view.head.authority)
            } else {
                sink.append(text(services[service].host))
            }
            sink.append("\r\n")
        }
        copyFields(edit, host, view, options, into: &sink)
        sink.append(text(edit.lines))
        sink.append(extra)
        sink.append("\r\n")
        return sink.finish()
    }

    private func writeRequestLine(
        _ path: RoutePathEdit, _ decision: RouteDecision, _ view: borrowing RequestView, into sink: inout ByteSink
    ) {
        let head = view.head
        sink.append(view.bytes, head.methodText)
        sink.append(UInt8(ascii: " "))
        if head.form == .asterisk {
            sink.append(UInt8(ascii: "*"))
        } else {
            writePath(path, decision, view.path, into: &sink)
            if head.hasQuery {
                sink.append(UInt8(ascii: "?"))
                sink.append(view.bytes, head.query)
            }
        }
        sink.append(" HTTP/1.1\r\n")
    }

    private func copyFields(
        _ edit: RouteHeaderEdit, _ host: RouteText, _ view: borrowing RequestView, _ options: MessageOptions,
        into sink: inout ByteSink
    ) {
        let bytes = view.bytes
        var copy = LineCopy()
        var isFramed = false
        var hasHost = false
        for index in view.fields.indices {
            let field = view.fields[index]
            switch field.known {
            case .connection, .keepAlive, .proxyConnection, .te:
                continue
            case .upgrade:
                guard options.connection == .upgrade else { continue }
            case .contentLength, .transferEncoding:
                guard !isFramed, field.says(options.framing, asIn: view.head.framing, bytes) else { continue }
                isFramed = true
            case .trailer:
                guard options.framing == .chunked else { continue }
            case .host:
                // The first one counts; the parser has refused a second.
                if hasHost { continue }
                hasHost = true
                guard !host.isEmpty || view.head.form == .absolute else { break }
                copy.flush(bytes, into: &sink)
                sink.append(bytes, field.name)
                sink.append(": ")
                if host.isEmpty { sink.append(bytes, view.head.authority) } else { sink.append(text(host)) }
                sink.append("\r\n")
                continue
            default:
                if view.head.hasConnectionOptions, isConnectionOption(field.name, view.fields, of: bytes) { continue }
            }
            if drops(edit, field.name, of: bytes) { continue }
            copy.keep(field.line, of: bytes, into: &sink)
        }
        copy.flush(bytes, into: &sink)
        if !isFramed { sink.appendFraming(options.framing) }
        sink.appendConnection(options.connection, acceptsTrailers: view.head.acceptsTrailers)
    }
}

extension HeadField {
    /// Whether this framing field says what the message that is sent needs.
    @inline(__always)
    func says(_ framing: BodyFraming, asIn original: BodyFraming, _ bytes: RawSpan) -> Bool {
        switch framing {
        case .length: known == .contentLength && framing == original
        case .chunked:
            known == .transferEncoding && original == .chunked
                && ByteText.equalIgnoringCase(bytes.extracting(value.range), "chunked")
        case .none, .untilClose: false
        }
    }
}

extension ByteSink {
    mutating func appendFraming(_ framing: BodyFraming) {
        switch framing {
        case .none, .untilClose: break
        case .length(let count):
            append("content-length: ")
            append(number: count)
            append("\r\n")
        case .chunked: append("transfer-encoding: chunked\r\n")
        }
    }

    /// `te` is of one connection only, so that it has to be named (RFC 9110 section 10.1.4).
    mutating func appendConnection(_ connection: MessageOptions.Connection, acceptsTrailers: Bool = false) {
        if acceptsTrailers { append("te: trailers\r\n") }
        switch connection {
        case .persistent: if acceptsTrailers { append("connection: te\r\n") }
        case .keepAlive: append("connection: keep-alive\r\n")
        case .close: append(acceptsTrailers ? "connection: close, te\r\n" : "connection: close\r\n")
        case .upgrade: append(acceptsTrailers ? "connection: upgrade, te\r\n" : "connection: upgrade\r\n")
        }
    }
}
