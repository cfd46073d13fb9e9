internal import Mesh

/// What an authorizer says of a request. Its texts are places in what was answered.
enum CheckVerdict: BitwiseCopyable {
    case allowed
    /// With this status; the answer's fields and body are the client's.
    case denied(UInt16)
    /// It is no answer.
    case error
}

extension ExternalProvider {
    /// Reads the answer to a check over HTTP: a head, and the body without chunks behind it.
    ///
    /// - Parameters:
    ///   - changes: gets the entries of `HeaderChanges` when it allows, and whole lines for the client when it denies.
    ///   - body: what the client gets as body when it denies.
    func read(
        _ answer: RawSpan, method: HTTPMethod, json: inout JSONArena, fields: inout FieldTable,
        changes: inout Scratch, body: inout Scratch
    ) -> CheckVerdict {
        var head = ResponseHead()
        var progress = HeadProgress()
        guard
            ResponseParser.parse(answer, method: method, progress: &progress, head: &head, fields: &fields)
                == .complete
        else { return .error }
        let content = answer.extracting(Int(head.byteCount)..<answer.byteCount)
        switch authorizer?.api {
        case .http:
            // As in Envoy: 200 allows, an error of the server is none of the client's.
            if head.status == 200 {
                allow(answer, fields.fields, &changes)
                return .allowed
            }
            guard head.status < 500 else { return .error }
            for index in fields.fields.indices {
                let field = fields.fields[index]
                let name = answer[field.name]
                guard
                    downstreamOnDeny.isEmpty || downstreamOnDeny.matches(name) || field.known == .location
                        || ByteText.equalIgnoringCase(name, "www-authenticate"), HeaderChanges.isChangeable(name)
                else { continue }
                changes.append(answer[field.line])
            }
            body.append(content)
            return .denied(head.status)
        case .opa:
            guard head.status == 200 else { return .error }
            return readOPA(content, &json, &changes, &body)
        case .grpc, nil: return .error
        }
    }

    private func allow(_ answer: RawSpan, _ fields: Span<HeadField>, _ changes: inout Scratch) {
        for index in fields.indices {
            let name = answer[fields[index].name]
            let value = answer[fields[index].value]
            if upstreamOnAllow.matches(name) { HeaderChanges.add(.set, name, value, to: &changes) }
            if downstreamOnAllow.matches(name) { HeaderChanges.add(.respond, name, value, to: &changes) }
        }
    }

    /// `{"result": true}`, or an object with `allowed` or `allow`, `headers`, `body` and `http_status` as
    /// opa-envoy-plugin has them. No result: the rule is not defined, which denies.
    private func readOPA(
        _ content: RawSpan, _ json: inout JSONArena, _ changes: inout Scratch, _ body: inout Scratch
    ) -> CheckVerdict {
        json.removeAll()
        guard json.append(content), (try? json.read()) != nil else { return .error }
        let view = json.view
        guard view.kind(JSONView.root) == .object else { return .error }
        guard let result = view.member("result") else { return .denied(403) }
        switch view.kind(result) {
        case .yes: return .allowed
        case .no: return .denied(403)
        case .object: break
        default: return .error
        }
        guard let allow = view.member("allowed", of: result) ?? view.member("allow", of: result) else {
            return .denied(403)
        }
        let isAllowed = view.kind(allow) == .yes
        if let headers = view.member("headers", of: result) {
            var next = view.first(in: headers)
            while let node = next {
                next = view.next(after: node, in: headers)
                guard view.kind(node) == .string else { continue }
                if isAllowed {
                    HeaderChanges.add(.set, view.name(of: node), view.text(of: node), to: &changes)
                } else if HeaderChanges.isChangeable(view.name(of: node)), !view.text(of: node).hasControls {
                    changes.append(view.name(of: node))
                    changes.append(": ")
                    changes.append(view.text(of: node))
                    changes.append("\r\n")
                }
            }
        }
        if isAllowed { return .allowed }
        if let text = view.string("body", of: result) { body.append(text) }
        if let status = view.member("http_status", of: result), let code = view.seconds(status),
            (400..<600).contains(code)
        {
            return .denied(UInt16(code))
        }
        return .denied(403)
    }
}

extension RawSpan {
    /// Bytes that would end a line, or that no field's value has.
    var hasControls: Bool {
        for index in 0..<byteCount where self[index] < 0x20 && self[index] != .tab || self[index] == 0x7f {
            return true
        }
        return false
    }
}
