/// Parses the head of a response (RFC 9112), as strictly as that of a request: a response that is refused is answered with
/// 502, and its connection is closed.
public enum ResponseParser {
    /// Parses the head at the start of `bytes`, which may go on behind it; `method` is that of the request that it answers.
    /// After `needMore`, call again with the same bytes and more, and the same `progress`. `head` and `table` are
    /// meaningful after `complete` only. An interim response (1xx) is a head like any other: the final one follows.
    public static func parse(
        _ bytes: RawSpan, method: HTTPMethod, progress: inout HeadProgress, head: inout ResponseHead,
        fields table: inout FieldTable
    ) -> HeadResult {
        let end = min(bytes.byteCount, HeadLimits.head)
        guard progress.isDue(bytes, end: end) else { return .needMore }
        let result = parse(bytes, end: end, method: method, head: &head, fields: &table)
        guard result == .needMore, end == HeadLimits.head else { return result }
        return .failed(.headTooLarge)
    }

    private static func parse(
        _ bytes: RawSpan, end: Int, method: HTTPMethod, head: inout ResponseHead, fields table: inout FieldTable
    ) -> HeadResult {
        head = ResponseHead()
        table.removeAll()
        var position = 0
        let line = parseLine(bytes, at: &position, end: end, head: &head)
        guard line == .complete else { return line }

        var reader = FieldReader(isRequest: false)
        let result = reader.read(bytes, at: &position, end: end, into: &table)
        guard result == .complete else { return result }
        head.byteCount = UInt16(truncatingIfNeeded: position)
        if let error = conclude(&head, reader, method: method) { return .failed(error) }
        return .complete
    }

    /// `HTTP/1.1 200 OK`. The space before an empty reason may be missing: many servers leave it out.
    private static func parseLine(
        _ bytes: RawSpan, at position: inout Int, end: Int, head: inout ResponseHead
    ) -> HeadResult {
        switch HTTPVersion.read(bytes, at: 0, end: end) {
        case .needMore: return .needMore
        case .failed(let error): return .failed(error)
        case .minor(let minor): head.minorVersion = minor
        }
        let statusStart = HTTPVersion.byteCount + 1
        let statusEnd = statusStart + 3
        guard statusEnd < end else { return .needMore }
        guard bytes[statusStart - 1] == .space else { return .failed(.malformedStartLine) }
        for index in statusStart..<statusEnd {
            guard bytes[index].isDigit else { return .failed(.invalidStatus) }
            head.status = head.status * 10 + UInt16(bytes[index] - UInt8(ascii: "0"))
        }
        guard head.status >= 100 else { return .failed(.invalidStatus) }

        let hasReason = bytes[statusEnd] == .space
        guard hasReason || bytes[statusEnd] == .carriageReturn else {
            return .failed(FieldReader.fault(at: bytes[statusEnd], otherwise: .invalidStatus))
        }
        let reasonStart = hasReason ? statusEnd + 1 : statusEnd
        let reasonEnd = bytes.endOfValue(from: reasonStart, end: end)
        guard reasonEnd < end else { return .needMore }
        guard bytes[reasonEnd] == .carriageReturn else {
            return .failed(FieldReader.fault(at: bytes[reasonEnd], otherwise: .malformedStartLine))
        }
        guard reasonEnd + 1 < end else { return .needMore }
        guard bytes[reasonEnd + 1] == .lineFeed else { return .failed(.bareCarriageReturn) }
        head.reason = HeadSlice(from: reasonStart, to: reasonEnd)
        position = reasonEnd + 2
        return .complete
    }

    /// RFC 9112 section 6.3.
    private static func conclude(_ head: inout ResponseHead, _ reader: FieldReader, method: HTTPMethod) -> HeadError? {
        if reader.isChunked {
            guard head.minorVersion == 1 else { return .transferEncodingInHTTP10 }
            guard reader.contentLength == nil else { return .contentLengthWithTransferEncoding }
            guard head.status >= 200, head.status != 204 else { return .transferEncodingNotAllowed }
        }
        let isTunnel = method == .connect && head.status / 100 == 2
        if method == .head || head.status < 200 || head.status == 204 || head.status == 304 || isTunnel {
            head.framing = .none
        } else if reader.isChunked {
            head.framing = .chunked
        } else if let length = reader.contentLength {
            head.framing = .length(length)
        } else {
            head.framing = .untilClose
        }
        head.isPersistent = head.framing != .untilClose && reader.isPersistent(minorVersion: head.minorVersion)
        head.wantsUpgrade = reader.wantsUpgrade(minorVersion: head.minorVersion)
        head.upgrade = reader.upgrade
        head.hasConnectionOptions = reader.hasConnectionOptions
        return nil
    }
}
