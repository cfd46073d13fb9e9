/// Writes the heads that are forwarded: the fields as they came, without those that are between two neighbours only
/// (RFC 9110 section 7.6.1).
enum HeadWriter {
    static func request(
        _ head: RequestHead, _ fields: Span<HeadField>, _ bytes: RawSpan, into scratch: inout Scratch
    ) {
        scratch.append(bytes[head.methodText])
        scratch.append(byte: .space)
        appendTarget(head, bytes, into: &scratch)
        // Whatever the client speaks, the backend is spoken to in the proxy's own version (RFC 9110 section 2.5).
        scratch.append(" HTTP/1.1\r\n")
        if head.form == .absolute || head.authority.isEmpty {
            scratch.append("Host: ")
            scratch.append(bytes[head.authority])
            scratch.append("\r\n")
        }
        var run = Run()
        for index in fields.indices {
            let field = fields[index]
            let isKept =
                switch field.known {
                case .connection, .keepAlive, .proxyConnection, .te, .upgrade: false
                case .host: head.form != .absolute
                case .expect: head.expectsContinue
                case .transferEncoding, .contentLength, .trailer: true
                default: !head.hasConnectionOptions || !isConnectionOption(field, fields, bytes)
                }
            run.add(field, isKept, bytes, into: &scratch)
        }
        run.flush(bytes, into: &scratch)
        if head.acceptsTrailers { scratch.append("te: trailers\r\n") }
        if head.wantsUpgrade {
            scratch.append("connection: upgrade\r\nupgrade: ")
            scratch.append(bytes[head.upgrade])
            scratch.append("\r\n")
        }
        scratch.append("\r\n")
    }

    private static func appendTarget(_ head: RequestHead, _ bytes: RawSpan, into scratch: inout Scratch) {
        guard head.form == .absolute else {
            scratch.append(bytes[head.target])
            return
        }
        if head.path.isEmpty {
            scratch.append(byte: UInt8(ascii: head.method == .options && !head.hasQuery ? "*" : "/"))
        } else {
            scratch.append(bytes[head.path])
        }
        if head.hasQuery {
            scratch.append(byte: UInt8(ascii: "?"))
            scratch.append(bytes[head.query])
        }
    }

    /// What the connection to the client is to be told about its further use.
    enum Persistence { case asUsual, keepAlive, close, upgrade }

    static func response(
        _ head: ResponseHead, _ fields: Span<HeadField>, _ bytes: RawSpan, unchunked: Bool, _ persistence: Persistence,
        into scratch: inout Scratch
    ) {
        scratch.append("HTTP/1.1 ")
        scratch.append(decimal: UInt64(head.status))
        scratch.append(byte: .space)
        scratch.append(bytes[head.reason])
        scratch.append("\r\n")
        var run = Run()
        for index in fields.indices {
            let field = fields[index]
            let isKept =
                switch field.known {
                case .connection, .keepAlive, .proxyConnection, .te, .upgrade: false
                case .transferEncoding, .trailer: !unchunked
                case .contentLength: true
                default: !head.hasConnectionOptions || !isConnectionOption(field, fields, bytes)
                }
            run.add(field, isKept, bytes, into: &scratch)
        }
        run.flush(bytes, into: &scratch)
        switch persistence {
        case .asUsual: break
        case .keepAlive: scratch.append("connection: keep-alive\r\n")
        case .close: scratch.append("connection: close\r\n")
        case .upgrade:
            scratch.append("connection: upgrade\r\nupgrade: ")
            scratch.append(bytes[head.upgrade])
            scratch.append("\r\n")
        }
        scratch.append("\r\n")
    }

    /// Field lines that follow each other on the wire are copied at once.
    private struct Run {
        var start = 0
        var end = 0

        @inline(__always)
        mutating func add(_ field: HeadField, _ isKept: Bool, _ bytes: RawSpan, into scratch: inout Scratch) {
            guard isKept else { return }
            let range = field.line.range
            if range.lowerBound != end {
                flush(bytes, into: &scratch)
                start = range.lowerBound
            }
            end = range.upperBound
        }

        @inline(__always)
        mutating func flush(_ bytes: RawSpan, into scratch: inout Scratch) {
            if end > start { scratch.append(bytes.extracting(start..<end)) }
            start = end
        }
    }

    /// Whether a `Connection` field names this one.
    private static func isConnectionOption(_ field: HeadField, _ fields: Span<HeadField>, _ bytes: RawSpan) -> Bool {
        for index in fields.indices where fields[index].known == .connection {
            let value = bytes[fields[index].value]
            var position = 0
            while position < value.byteCount {
                var end = position
                while end < value.byteCount, value[end] != UInt8(ascii: ",") { end += 1 }
                var start = position
                var stop = end
                while start < stop, value[start].isWhiteSpace { start += 1 }
                while stop > start, value[stop - 1].isWhiteSpace { stop -= 1 }
                if isSame(value.extracting(start..<stop), bytes[field.name]) { return true }
                position = end + 1
            }
        }
        return false
    }

    private static func isSame(_ a: RawSpan, _ b: RawSpan) -> Bool {
        guard a.byteCount == b.byteCount else { return false }
        for index in 0..<a.byteCount {
            let left = a[index]
            let right = b[index]
            guard left == right || (left | 0x20 == right | 0x20 && (left | 0x20) &- UInt8(ascii: "a") < 26) else {
                return false
            }
        }
        return true
    }
}
