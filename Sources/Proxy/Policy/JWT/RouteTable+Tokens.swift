// What becomes of tokens and of fields made of claims when a request is sent on.
extension AuthenticationTable {
    /// Whether a field of the client is left out: its token, or the name of a field that is made of claims.
    ///
    /// - Parameter isTunnelled: the destination's node verifies tokens itself.
    func removes(_ field: HeadField, service: Int, isTunnelled: Bool, _ bytes: RawSpan) -> Bool {
        for index in services[service].dropped.indices {
            let name = dropped[index]
            guard Int(name.count) == Int(field.name.count) else { continue }
            if ByteText.equalIgnoringCase(bytes[field.name], text(name)) { return true }
        }
        for index in services[service].locations.indices {
            let location = locations[index]
            guard location.kind == .header, strips(location, isTunnelled) else { continue }
            if token(in: field, location, bytes) != nil { return true }
        }
        return false
    }

    private func strips(_ location: TokenLocation, _ isTunnelled: Bool) -> Bool {
        location.strips && (location.isOfService || !isTunnelled)
    }

    private func strips(_ kind: TokenLocation.Kind, _ name: RawSpan, service: Int, _ isTunnelled: Bool) -> Bool {
        for index in services[service].locations.indices {
            let location = locations[index]
            if location.kind == kind, strips(location, isTunnelled), ByteText.equal(name, text(location.name)) {
                return true
            }
        }
        return false
    }

    /// Writes the query with its `?` and without tokens.
    func writeQuery(_ query: RawSpan, service: Int, isTunnelled: Bool, into scratch: inout Scratch) {
        var separator = UInt8(ascii: "?")
        var start = 0
        while start <= query.byteCount {
            let end = ByteText.index(of: UInt8(ascii: "&"), in: query, from: start) ?? query.byteCount
            let pair = query.extracting(start..<end)
            let nameEnd = ByteText.index(of: UInt8(ascii: "="), in: pair) ?? pair.byteCount
            start = end + 1
            if strips(.parameter, pair.extracting(0..<nameEnd), service: service, isTunnelled) { continue }
            scratch.append(byte: separator)
            scratch.append(pair)
            separator = UInt8(ascii: "&")
        }
    }

    /// Whether the field has a token among its pairs that is left out.
    func hasCookie(_ value: RawSpan, service: Int, isTunnelled: Bool) -> Bool {
        var position = 0
        while let crumb = Self.nextCrumb(&position, value) {
            if strips(.cookie, crumb.name, service: service, isTunnelled) { return true }
        }
        return false
    }

    /// Writes the field Cookie without tokens; nothing if nothing else is in it.
    func writeCookie(_ value: RawSpan, service: Int, isTunnelled: Bool, into scratch: inout Scratch) {
        var isFirst = true
        var position = 0
        while let crumb = Self.nextCrumb(&position, value) {
            if strips(.cookie, crumb.name, service: service, isTunnelled) { continue }
            var pair = value.extracting(crumb.whole)
            if pair.byteCount > 0, pair[pair.byteCount - 1] == UInt8(ascii: ";") {
                pair = pair.extracting(0..<pair.byteCount - 1)
            }
            while pair.byteCount > 0, pair[0].isWhiteSpace { pair = pair.extracting(1..<pair.byteCount) }
            guard pair.byteCount > 0 else { continue }
            scratch.append(isFirst ? "cookie: " : "; ")
            scratch.append(pair)
            isFirst = false
        }
        if !isFirst { scratch.append("\r\n") }
    }

    /// Writes the fields that a rule makes of its token.
    func writeOutputs(_ rule: Int, token: RawSpan, _ claims: borrowing RequestClaims, into scratch: inout Scratch) {
        let entry = rules[rule]
        if !entry.payloadHeader.isEmpty, let first = ByteText.index(of: UInt8(ascii: "."), in: token),
            let second = ByteText.index(of: UInt8(ascii: "."), in: token, from: first + 1)
        {
            scratch.append(text(entry.payloadHeader))
            scratch.append(": ")
            scratch.append(token.extracting(first + 1..<second))
            scratch.append("\r\n")
        }
        for index in entry.outputs.indices { write(outputs[index], claims, into: &scratch) }
    }

    /// Strings, numbers and truth values; of other claims, and of strings that would end the line, no field is made.
    private func write(_ output: ClaimOutput, _ claims: borrowing RequestClaims, into scratch: inout Scratch) {
        var node = JSONView.root
        for index in output.elements.indices {
            guard let next = claims.member(text(elements[index]), of: node) else { return }
            node = next
        }
        let payload = claims.payload
        switch payload.kind(node) {
        case .string, .number:
            let value = payload.text(of: node)
            for index in 0..<value.byteCount where value[index] < 0x20 && value[index] != .tab || value[index] == 0x7f {
                return
            }
            scratch.append(text(output.header))
            scratch.append(": ")
            scratch.append(value)
        case .yes, .no:
            scratch.append(text(output.header))
            scratch.append(payload.kind(node) == .yes ? ": true" : ": false")
        case .null, .array, .object: return
        }
        scratch.append("\r\n")
    }
}
