/// One request over a connection of its own (RFC 9112), made by a thread that waits for the answer.
public enum HTTPClient {
    public struct Request: Sendable {
        public var method = "GET"
        public var url: HTTPURL
        /// Besides Host, Connection and Content-Length.
        public var fields: [(name: String, value: String)] = []
        public var body: [UInt8]?

        public init(_ url: HTTPURL) { self.url = url }

        /// Whether a field can be sent: its name is a token, and its value has no control characters.
        public static func isField(name: String, value: String) -> Bool {
            !name.isEmpty
                && name.utf8.allSatisfy {
                    $0.isASCIILetterOrDigit || "!#$%&'*+-.^_`|~".utf8.contains($0)
                } && value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == UInt8.tab }
        }

        var bytes: [UInt8] {
            var head = "\(method) \(url.path) HTTP/1.1\r\nHost: \(url.authority)\r\n"
            for field in fields { head += "\(field.name): \(field.value)\r\n" }
            if let body { head += "Content-Length: \(body.count)\r\n" }
            return Array((head + "Connection: close\r\n\r\n").utf8) + (body ?? [])
        }
    }

    public struct Answer: Sendable {
        public var status: UInt16
        /// Names in lower case.
        public var fields: [(name: String, value: String)] = []
        public var body: [UInt8] = []

        /// The value of the first field of that name, which is given in lower case.
        public func value(_ name: String) -> String? { fields.first { $0.name == name }?.value }
    }

    /// - Parameters:
    ///   - limit: of the answer's body, bytes.
    ///   - deadline: CLOCK_MONOTONIC, nanoseconds.
    ///   - wake: a descriptor; when it can be read the request is given up.
    public static func send(_ request: Request, limit: Int, deadline: UInt64, wake: CInt) throws(HTTPClientError)
        -> Answer
    {
        var connection = try HTTPClientConnection.open(request.url, deadline: deadline, wake: wake)
        try connection.send(request.bytes)
        var received: [UInt8] = []
        while true {
            let bytes = try connection.receive()
            received += bytes
            if let answer = try read(received, isEnd: bytes.isEmpty, limit) { return answer }
            guard !bytes.isEmpty else { throw HTTPClientError("the answer is not complete") }
            guard received.count <= limit + (64 << 10) else { throw tooLarge(limit) }
        }
    }

    private static func tooLarge(_ limit: Int) -> HTTPClientError {
        HTTPClientError("the answer has more than \(limit) bytes")
    }

    /// nil: there is more to come.
    private static func read(_ bytes: [UInt8], isEnd: Bool, _ limit: Int) throws(HTTPClientError) -> Answer? {
        let span = unsafe bytes.span.bytes
        var start = 0
        while true {
            var progress = HeadProgress()
            var head = ResponseHead()
            var table = FieldTable()
            let rest = span.extracting(start..<span.byteCount)
            switch ResponseParser.parse(rest, method: .get, progress: &progress, head: &head, fields: &table) {
            case .needMore: return nil
            case .failed(let error): throw HTTPClientError("the answer is no HTTP: \(error.text)")
            case .complete: break
            }
            start += Int(head.byteCount)
            // Interim answers (RFC 9110 section 15.2).
            if head.status < 200, head.status != 101 { continue }
            var answer = Answer(status: head.status)
            let fields = table.fields
            for index in fields.indices {
                answer.fields.append((text(rest[fields[index].name]).lowercased(), text(rest[fields[index].value])))
            }
            let content = span.extracting(start..<span.byteCount)
            guard let body = try body(content, head.framing, isEnd: isEnd, limit) else { return nil }
            answer.body = body
            return answer
        }
    }

    private static func text(_ bytes: RawSpan) -> String {
        unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    private static func body(_ bytes: RawSpan, _ framing: BodyFraming, isEnd: Bool, _ limit: Int)
        throws(HTTPClientError) -> [UInt8]?
    {
        func copy(_ range: Range<Int>) -> [UInt8] { range.map { bytes[$0] } }
        switch framing {
        case .none: return []
        case .untilClose: return isEnd ? copy(0..<bytes.byteCount) : nil
        case .length(let count):
            guard count <= UInt64(limit) else { throw tooLarge(limit) }
            return bytes.byteCount >= Int(count) ? copy(0..<Int(count)) : nil
        case .chunked:
            var decoder = ChunkedDecoder()
            var position = 0
            var body: [UInt8] = []
            while true {
                switch decoder.next(in: bytes, at: &position) {
                case .data(let range): body += copy(range)
                case .needMore: return nil
                case .end: return body
                case .failed: throw HTTPClientError("the chunks of the answer are malformed")
                }
            }
        }
    }
}

extension UInt8 {
    fileprivate var isASCIILetterOrDigit: Bool { isDigit || (self | 0x20) &- UInt8(ascii: "a") < 26 }
}
