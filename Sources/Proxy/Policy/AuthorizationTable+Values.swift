import Mesh

// How values are compared with patterns.
extension AuthorizationTable {
    /// Whether a value passes one of the patterns; an empty value is none.
    func passes(_ value: RawSpan, _ values: RouteRun) -> Bool {
        for index in values.indices where passes(value, patterns[index]) { return true }
        return false
    }

    @inline(__always)
    private func passes(_ value: RawSpan, _ pattern: TextPattern) -> Bool {
        switch pattern.kind {
        case .exact: return ByteText.equal(value, text(pattern.text))
        case .prefix: return ByteText.hasPrefix(value, text(pattern.text))
        case .suffix: return ByteText.contains(value, at: value.byteCount - Int(pattern.text.count), text(pattern.text))
        case .present: return !value.isEmpty
        }
    }

    // MARK: Host

    func matchesHost(_ request: borrowing RequestView, _ values: RouteRun) -> Bool {
        guard !request.host.isEmpty else { return false }
        for index in values.indices {
            let pattern = hosts[index]
            guard passes(request.host, pattern.host) else { continue }
            guard let port = pattern.port else { return true }
            if request.head.port != 0, passesPort(request.head.port, port) { return true }
        }
        return false
    }

    /// As it is written without leading zeros.
    private func passesPort(_ port: UInt16, _ pattern: TextPattern) -> Bool {
        var digits = InlineArray<5, UInt8>(repeating: 0)
        var start = 5
        var rest = port
        repeat {
            start -= 1
            digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        return unsafe passes(digits.span.bytes.extracting(start..<5), pattern)
    }

    // MARK: Path

    func matchesPath(_ path: RawSpan, _ values: RouteRun) -> Bool {
        for index in values.indices {
            let pattern = paths[index]
            if let text = pattern.text {
                if passes(path, text) { return true }
            } else if matchesTemplate(path, pattern) {
                return true
            }
        }
        return false
    }

    /// `{**}` stands for any bytes between two slashes, or from a slash to the end.
    private func matchesTemplate(_ path: RawSpan, _ pattern: PolicyPath) -> Bool {
        var start = 0
        for index in pattern.leading.indices {
            guard let end = matchElement(elements[index], path, from: start) else { return false }
            start = end
        }
        guard pattern.hasAny else { return start == path.byteCount }
        guard start < path.byteCount, path[start] == UInt8(ascii: "/") else { return false }
        var end = path.byteCount
        for index in pattern.trailing.indices.reversed() {
            guard let slash = matchElement(elements[index], path, before: end), slash > start else { return false }
            end = slash
        }
        return end > start
    }

    /// The end of the element whose slash is at `start`; nil: it is another one.
    private func matchElement(_ part: TemplatePart, _ path: RawSpan, from start: Int) -> Int? {
        guard start < path.byteCount, path[start] == UInt8(ascii: "/") else { return nil }
        let end = ByteText.index(of: UInt8(ascii: "/"), in: path, from: start + 1) ?? path.byteCount
        return isElement(part, path.extracting(start + 1..<end)) ? end : nil
    }

    /// The slash of the element that ends at `end`; nil: it is another one.
    private func matchElement(_ part: TemplatePart, _ path: RawSpan, before end: Int) -> Int? {
        var slash = end - 1
        while slash >= 0, path[slash] != UInt8(ascii: "/") { slash -= 1 }
        guard slash >= 0 else { return nil }
        return isElement(part, path.extracting(slash + 1..<end)) ? slash : nil
    }

    private func isElement(_ part: TemplatePart, _ element: RawSpan) -> Bool {
        guard let literal = part.literal else { return !element.isEmpty }
        return ByteText.equal(element, text(literal))
    }

    /// Path and query, as `:path` has them.
    func passesTarget(_ request: borrowing RequestView, _ values: RouteRun) -> Bool {
        guard request.head.hasQuery else { return passes(request.path, values) }
        let query = request.bytes[request.head.query]
        let count = request.path.byteCount + 1 + query.byteCount
        return unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { buffer in
            var position = 0
            unsafe Self.append(request.path, to: buffer, &position)
            unsafe buffer[position] = UInt8(ascii: "?")
            position += 1
            unsafe Self.append(query, to: buffer, &position)
            return passes(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(buffer)), values)
        }
    }

    // MARK: Headers

    /// A field that is there several times has the value of all of them, joined by commas (RFC 9110 section 5.3). `*` asks
    /// only whether it is there.
    func passesHeader(_ request: borrowing RequestView, _ name: RawSpan, _ values: RouteRun) -> Bool {
        var first = -1
        var count = 0
        var joined = -1
        for index in request.fields.indices {
            let field = request.fields[index]
            guard ByteText.equalIgnoringCase(request.bytes[field.name], name) else { continue }
            if count == 0 { first = index }
            count += 1
            joined += Int(field.value.count) + 1
        }
        guard count > 0 else { return false }
        for index in values.indices where patterns[index].kind == .present { return true }
        if count == 1 { return passes(request.bytes[request.fields[first].value], values) }
        return unsafe withUnsafeTemporaryAllocation(byteCount: joined, alignment: 1) { buffer in
            var position = 0
            for index in first..<request.fields.count {
                let field = request.fields[index]
                guard ByteText.equalIgnoringCase(request.bytes[field.name], name) else { continue }
                if index > first {
                    unsafe buffer[position] = UInt8(ascii: ",")
                    position += 1
                }
                unsafe Self.append(request.bytes[field.value], to: buffer, &position)
            }
            return passes(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(buffer)), values)
        }
    }

    private static func append(_ bytes: RawSpan, to buffer: UnsafeMutableRawBufferPointer, _ position: inout Int) {
        for index in 0..<bytes.byteCount { unsafe buffer[position + index] = bytes[index] }
        position += bytes.byteCount
    }

    // MARK: Addresses

    func contains(_ address: ClientAddress, _ values: RouteRun) -> Bool {
        let isIPv4 = address.isIPv4
        for index in values.indices {
            let block = blocks[index]
            if address.high & block.highMask == block.high, address.low & block.lowMask == block.low,
                block.takesIPv4 || !isIPv4
            {
                return true
            }
        }
        return false
    }

    /// The client's address: each trusted proxy has added the one that it saw to X-Forwarded-For, so that with n of them it
    /// is the nth from the right. Without one, or with something else in its place, it is the connection's peer.
    func remoteAddress(_ request: borrowing RequestView, peer: ClientAddress) -> ClientAddress {
        guard trustedHops > 0 else { return peer }
        var missing = trustedHops
        for index in request.fields.indices.reversed() where request.fields[index].known == .xForwardedFor {
            let value = request.bytes[request.fields[index].value]
            var end = value.byteCount
            while end >= 0 {
                var start = end
                while start > 0, value[start - 1] != UInt8(ascii: ",") { start -= 1 }
                missing -= 1
                if missing == 0 { return Self.address(value.extracting(start..<end)) ?? peer }
                end = start - 1
            }
        }
        return peer
    }

    /// An address, with white space around it but without a port.
    private static func address(_ text: RawSpan) -> ClientAddress? {
        var start = 0
        var end = text.byteCount
        while start < end, text[start].isWhiteSpace { start += 1 }
        while end > start, text[end - 1].isWhiteSpace { end -= 1 }
        // The longest form of an IPv6 address.
        guard end > start, end - start <= 45 else { return nil }
        let found = unsafe text.extracting(start..<end).withUnsafeBytes { unsafe IPAddress(utf8: $0) }
        return found.map { ClientAddress(address: $0, port: 0) }
    }
}
