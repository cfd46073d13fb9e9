extension RouteTable {
    /// Whether the request that is sent on differs from the one that came in what rules can be about.
    func changesRequest(_ decision: RouteDecision) -> Bool {
        guard decision.backend >= 0 else { return false }
        let backend = backends[Int(decision.backend)]
        return backend.requestEdit >= 0 || backend.rewrite >= 0
    }

    /// Whether the rule or its backend says what becomes of the request's fields of this name, in lower case.
    func decides(_ decision: RouteDecision, requestField name: StaticString) -> Bool {
        guard decision.backend >= 0 else { return false }
        let edit = backends[Int(decision.backend)].requestEdit
        guard edit >= 0 else { return false }
        let dropped = headerEdits[Int(edit)].dropped
        for index in dropped.indices where ByteText.equalIgnoringCase(text(names[index]), name) { return true }
        return false
    }

    /// Writes the head of the request that is sent for `view`: path and host rewritten, header fields modified as the rule
    /// and its backend say, what belongs to the client's connection left out, the rest in its order and case.
    ///
    /// - Parameters:
    ///   - extra: whole lines that are written after the message's own.
    ///   - changes: of authorizers (`HeaderChanges`): which of the message's own fields are left out.
    func writeRequestHead(
        _ decision: RouteDecision, service: Int, _ view: borrowing RequestView,
        _ options: MessageOptions,
        extra: RawSpan, changes: RawSpan = RawSpan(), into scratch: inout Scratch
    ) {
        var edit = RouteHeaderEdit()
        var rewrite = RouteRewrite()
        if decision.backend >= 0 {
            let backend = backends[Int(decision.backend)]
            if backend.requestEdit >= 0 { edit = headerEdits[Int(backend.requestEdit)] }
            if backend.rewrite >= 0 { rewrite = rewrites[Int(backend.rewrite)] }
        }
        let host = edit.host.isEmpty ? rewrite.host : edit.host

        writeRequestLine(rewrite.path, decision, service, view, options, into: &scratch)
        if view.slice(of: .host) == nil {
            scratch.append("host: ")
            if !host.isEmpty {
                scratch.append(text(host))
            } else if !view.head.authority.isEmpty {
                scratch.append(view.bytes[view.head.authority])
            } else {
                scratch.append(text(services[service].host))
            }
            scratch.append("\r\n")
        }
        copyFields(edit, host, service, view, options, HeaderChanges(changes), into: &scratch)
        scratch.append(text(edit.lines))
        scratch.append(extra)
        scratch.append("\r\n")
    }

    private func writeRequestLine(
        _ path: RoutePathEdit, _ decision: RouteDecision, _ service: Int, _ view: borrowing RequestView,
        _ options: MessageOptions, into scratch: inout Scratch
    ) {
        let head = view.head
        let authenticates = authentication.applies(service)
        scratch.append(view.bytes[head.methodText])
        scratch.append(byte: UInt8(ascii: " "))
        // An absolute target without a path asks OPTIONS of the server (RFC 9112 section 3.2.4).
        if head.form == .asterisk
            || (head.form == .absolute && head.path.isEmpty && head.method == .options && !head.hasQuery)
        {
            scratch.append(byte: UInt8(ascii: "*"))
        } else {
            writePath(path, decision, view.path, into: &scratch)
            if head.hasQuery {
                if authenticates, authentication.services[service].hasParameters {
                    authentication.writeQuery(
                        view.bytes[head.query], service: service, isTunnelled: options.isTunnelled, into: &scratch)
                } else {
                    scratch.append(byte: UInt8(ascii: "?"))
                    scratch.append(view.bytes[head.query])
                }
            }
        }
        scratch.append(" HTTP/1.1\r\n")
    }

    private func copyFields(
        _ edit: RouteHeaderEdit, _ host: RouteText, _ service: Int, _ view: borrowing RequestView,
        _ options: MessageOptions, _ changes: HeaderChanges,
        into scratch: inout Scratch
    ) {
        let bytes = view.bytes
        let isChanged = changes.bytes.byteCount > 0
        let authenticates = authentication.applies(service)
        let stripsCookies = authenticates && authentication.services[service].hasCookies
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
                guard !isFramed, field.says(options.framing, asIn: view.head.framing, bytes) else {
                    continue
                }
                isFramed = true
            case .trailer:
                guard options.framing == .chunked else { continue }
            case .host:
                // The first one counts; the parser has refused a second.
                if hasHost { continue }
                hasHost = true
                guard !host.isEmpty || view.head.form == .absolute else { break }
                copy.flush(bytes, into: &scratch)
                scratch.append(bytes[field.name])
                scratch.append(": ")
                if host.isEmpty {
                    scratch.append(bytes[view.head.authority])
                } else {
                    scratch.append(text(host))
                }
                scratch.append("\r\n")
                continue
            case .expect:
                guard view.head.expectsContinue else { continue }
            case .traceparent, .b3, .xB3Traceid, .xB3Spanid, .xB3Parentspanid, .xB3Sampled, .xB3Flags, .grpcTraceBin:
                if options.replacesTrace { continue }
            case .tracestate:
                if options.dropsTraceState { continue }
            case .grpcTimeout:
                if options.replacesDeadline { continue }
            case .envoy:
                if RequestOverrides.isField(field.name, of: bytes) { continue }
                if options.replacesDeadline, RequestDeadline.isField(field.name, of: bytes) { continue }
                fallthrough
            default:
                if view.head.hasConnectionOptions, isConnectionOption(field.name, view.fields, of: bytes) {
                    continue
                }
            }
            if drops(edit, field.name, of: bytes) { continue }
            if authenticates,
                authentication.removes(field, service: service, isTunnelled: options.isTunnelled, bytes)
            {
                continue
            }
            if isChanged, changes.removes(bytes[field.name]) { continue }
            if stripsCookies, field.known == .cookie,
                authentication.hasCookie(bytes[field.value], service: service, isTunnelled: options.isTunnelled)
            {
                copy.flush(bytes, into: &scratch)
                authentication.writeCookie(
                    bytes[field.value], service: service, isTunnelled: options.isTunnelled, into: &scratch)
                continue
            }
            copy.keep(field.line, of: bytes, into: &scratch)
        }
        copy.flush(bytes, into: &scratch)
        if !isFramed { scratch.appendFraming(options.framing) }
        scratch.appendConnection(options.connection, acceptsTrailers: view.head.acceptsTrailers)
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
                && ByteText.equalIgnoringCase(bytes[value], "chunked")
        case .none, .untilClose: false
        }
    }
}

extension Scratch {
    mutating func appendFraming(_ framing: BodyFraming) {
        switch framing {
        case .none, .untilClose: break
        case .length(let count):
            append("content-length: ")
            append(decimal: count)
            append("\r\n")
        case .chunked: append("transfer-encoding: chunked\r\n")
        }
    }

    /// `te` is of one connection only, so that it has to be named (RFC 9110 section 10.1.4).
    mutating func appendConnection(
        _ connection: MessageOptions.Connection, acceptsTrailers: Bool = false
    ) {
        if acceptsTrailers { append("te: trailers\r\n") }
        switch connection {
        case .persistent: if acceptsTrailers { append("connection: te\r\n") }
        case .keepAlive: append("connection: keep-alive\r\n")
        case .close: append(acceptsTrailers ? "connection: close, te\r\n" : "connection: close\r\n")
        case .upgrade:
            append(acceptsTrailers ? "connection: upgrade, te\r\n" : "connection: upgrade\r\n")
        }
    }
}
