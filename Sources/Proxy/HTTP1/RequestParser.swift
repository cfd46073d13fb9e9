/// Parses the head of a request (RFC 9112), strictly: what two recipients could understand differently is refused.
///
/// Nothing is allocated or copied. The slices of `head` and of the fields are places in `bytes`.
public enum RequestParser {
    /// Parses the head at the start of `bytes`, which may go on behind it. After `needMore`, call again with the same bytes
    /// and more, and the same `progress`. `head` and `table` are meaningful after `complete` only.
    public static func parse(
        _ bytes: RawSpan, progress: inout HeadProgress, head: inout RequestHead, fields table: inout FieldTable
    ) -> HeadResult {
        let end = min(bytes.byteCount, HeadLimits.head)
        guard progress.isDue(bytes, end: end) else { return .needMore }
        let result = parse(bytes, end: end, head: &head, fields: &table)
        guard result == .needMore, end == HeadLimits.head else { return result }
        return .failed(.headTooLarge)
    }

    private static func parse(
        _ bytes: RawSpan, end: Int, head: inout RequestHead, fields table: inout FieldTable
    ) -> HeadResult {
        head = RequestHead()
        table.removeAll()
        var position = 0
        // One empty line before a request is what some clients send after a body (RFC 9112 section 2.2).
        if end >= 2, bytes[0] == .carriageReturn, bytes[1] == .lineFeed { position = 2 }

        let line = parseLine(bytes, at: &position, end: end, head: &head)
        guard line == .complete else { return line }

        var reader = FieldReader(isRequest: true)
        let result = reader.read(bytes, at: &position, end: end, into: &table)
        guard result == .complete else { return result }
        head.byteCount = UInt16(truncatingIfNeeded: position)
        if let error = conclude(&head, reader, bytes) { return .failed(error) }
        return .complete
    }

    // MARK: - Request line

    private static func parseLine(
        _ bytes: RawSpan, at position: inout Int, end: Int, head: inout RequestHead
    ) -> HeadResult {
        let start = position
        let methodEnd = bytes.endOfRun(of: .method, from: start, end: min(end, start + HeadLimits.method))
        guard methodEnd < end else { return .needMore }
        if methodEnd == start, bytes[start] == .carriageReturn {
            return start + 1 < end ? .failed(.malformedStartLine) : .needMore
        }
        guard methodEnd > start, bytes[methodEnd] == .space else {
            switch bytes[methodEnd] {
            case .carriageReturn: return .failed(.malformedStartLine)
            case .lineFeed: return .failed(.bareLineFeed)
            default: return .failed(.invalidMethod)
            }
        }
        head.methodText = HeadSlice(from: start, to: methodEnd)
        head.method = HTTPMethod(head.methodText, in: bytes)

        let targetStart = methodEnd + 1
        guard targetStart < end else { return .needMore }
        let limit = min(end, targetStart + HeadLimits.target + 1)
        let targetEnd: Int
        let error: HeadError?
        if bytes[targetStart] == UInt8(ascii: "/"), head.method != .connect {
            head.form = .origin
            targetEnd = parsePath(bytes, from: targetStart, end: limit, head: &head)
            error = nil
        } else {
            targetEnd = bytes.endOfRun(of: .target, from: targetStart, end: limit)
            error =
                targetStart < targetEnd && targetEnd < end && bytes[targetEnd] == .space
                ? parseOtherForm(bytes, from: targetStart, end: targetEnd, head: &head) : nil
        }
        guard targetEnd - targetStart <= HeadLimits.target else { return .failed(.targetTooLong) }
        guard targetEnd < end else { return .needMore }
        head.target = HeadSlice(from: targetStart, to: targetEnd)
        switch bytes[targetEnd] {
        case .space where targetEnd == targetStart: return .failed(.malformedStartLine)
        case .space: if let error { return .failed(error) }
        case UInt8(ascii: "#"): return .failed(.fragmentInTarget)
        case .carriageReturn, .lineFeed: return .failed(.malformedStartLine)
        default: return .failed(.invalidTarget)
        }
        position = targetEnd + 1
        return parseVersion(bytes, at: &position, end: end, minorVersion: &head.minorVersion)
    }

    /// Path and query from `start` on; returns their end.
    private static func parsePath(_ bytes: RawSpan, from start: Int, end: Int, head: inout RequestHead) -> Int {
        let (pathEnd, isSuspicious) = bytes.endOfPath(from: start, end: end)
        head.path = HeadSlice(from: start, to: pathEnd)
        head.needsNormalization = isSuspicious
        guard pathEnd < end, bytes[pathEnd] == UInt8(ascii: "?") else { return pathEnd }
        let queryEnd = bytes.endOfRun(of: .target, from: pathEnd + 1, end: end)
        head.hasQuery = true
        head.query = HeadSlice(from: pathEnd + 1, to: queryEnd)
        return queryEnd
    }

    /// `*`, `host:port` of CONNECT, and absolute URIs.
    private static func parseOtherForm(
        _ bytes: RawSpan, from start: Int, end: Int, head: inout RequestHead
    ) -> HeadError? {
        let target = HeadSlice(from: start, to: end)
        if head.method == .connect {
            head.form = .authority
            guard let authority = Authority(target, in: bytes), authority.port != 0 else {
                return invalidAuthority(target, in: bytes)
            }
            head.setAuthority(target, authority)
            return nil
        }
        if target.count == 1, bytes[start] == UInt8(ascii: "*") {
            head.form = .asterisk
            return head.method == .options ? nil : .asteriskNotOptions
        }
        head.form = .absolute
        var schemeEnd = start
        while schemeEnd < end, bytes[schemeEnd] != UInt8(ascii: ":") { schemeEnd += 1 }
        guard schemeEnd + 2 < end, bytes[schemeEnd + 1] == UInt8(ascii: "/"), bytes[schemeEnd + 2] == UInt8(ascii: "/")
        else { return .originFormExpected }
        let scheme = HeadSlice(from: start, to: schemeEnd)
        guard bytes.equals(scheme, ignoringCase: "http") || bytes.equals(scheme, ignoringCase: "https") else {
            return .unsupportedScheme
        }
        let authorityStart = schemeEnd + 3
        var authorityEnd = authorityStart
        while authorityEnd < end, bytes[authorityEnd] != UInt8(ascii: "/"), bytes[authorityEnd] != UInt8(ascii: "?") {
            authorityEnd += 1
        }
        let text = HeadSlice(from: authorityStart, to: authorityEnd)
        guard let authority = Authority(text, in: bytes) else { return invalidAuthority(text, in: bytes) }
        head.setAuthority(text, authority)
        _ = parsePath(bytes, from: authorityEnd, end: end, head: &head)
        return nil
    }

    private static func invalidAuthority(_ text: HeadSlice, in bytes: RawSpan) -> HeadError {
        for index in text.range where bytes[index] == UInt8(ascii: "@") { return .userInfoInAuthority }
        return .invalidAuthority
    }

    /// The version and the line's end.
    private static func parseVersion(
        _ bytes: RawSpan, at position: inout Int, end: Int, minorVersion: inout UInt8
    ) -> HeadResult {
        switch HTTPVersion.read(bytes, at: position, end: end) {
        case .needMore: return .needMore
        case .failed(let error): return .failed(error)
        case .minor(let minor): minorVersion = minor
        }
        position += HTTPVersion.byteCount
        guard position + 1 < end else {
            guard position < end else { return .needMore }
            return bytes[position] == .carriageReturn ? .needMore : .failed(versionFault(at: bytes[position]))
        }
        guard bytes[position] == .carriageReturn, bytes[position + 1] == .lineFeed else {
            return .failed(versionFault(at: bytes[position]))
        }
        position += 2
        return .complete
    }

    private static func versionFault(at byte: UInt8) -> HeadError {
        FieldReader.fault(at: byte, otherwise: .malformedVersion)
    }

    // MARK: - The whole

    private static func conclude(_ head: inout RequestHead, _ reader: FieldReader, _ bytes: RawSpan) -> HeadError? {
        if reader.hasHost {
            guard let authority = Authority(reader.host, in: bytes) else { return .invalidHost }
            // The target's authority goes before Host (RFC 9112 section 3.2.2), which has to be valid all the same.
            if head.authority.isEmpty { head.setAuthority(reader.host, authority) }
        } else if head.minorVersion == 1 {
            return .missingHost
        }
        if reader.isChunked {
            guard head.minorVersion == 1 else { return .transferEncodingInHTTP10 }
            guard reader.contentLength == nil else { return .contentLengthWithTransferEncoding }
            head.framing = .chunked
        } else if let length = reader.contentLength {
            head.framing = .length(length)
        }
        if head.method == .connect, head.framing != .none { return .contentInConnect }
        head.isPersistent = reader.isPersistent(minorVersion: head.minorVersion)
        head.wantsUpgrade = reader.wantsUpgrade(minorVersion: head.minorVersion)
        head.upgrade = reader.upgrade
        // RFC 9110 section 10.1.1: an HTTP/1.0 client does not wait for 100.
        head.expectsContinue = reader.expectsContinue && head.minorVersion == 1
        head.hasConnectionOptions = reader.hasConnectionOptions
        head.acceptsTrailers = reader.acceptsTrailers
        head.hasEnvoyFields = reader.hasEnvoyFields
        return nil
    }
}

extension RequestHead {
    fileprivate mutating func setAuthority(_ text: HeadSlice, _ authority: Authority) {
        self.authority = text
        host = authority.host
        hostHasUppercase = authority.hasUppercase
        port = authority.port
    }
}
