/// Fetches a key set with one GET (RFC 9112).
enum KeyFetch {
    struct Answer {
        var body: [UInt8]
        /// `max-age` of Cache-Control, seconds; nil: not said.
        var maximumAge: UInt64?
    }

    /// - Parameters:
    ///   - deadline: CLOCK_MONOTONIC, nanoseconds.
    ///   - wake: when it can be read the fetch is given up.
    static func get(_ url: KeyURL, deadline: UInt64, wake: CInt) throws(KeyFetchError) -> Answer {
        var connection = try KeyConnection.open(url, deadline: deadline, wake: wake)
        let request =
            "GET \(url.path) HTTP/1.1\r\nHost: \(url.authority)\r\nAccept: application/json\r\n"
            + "User-Agent: weft\r\nConnection: close\r\n\r\n"
        try connection.send(Array(request.utf8))
        var received: [UInt8] = []
        while true {
            let bytes = try connection.receive()
            received += bytes
            if let answer = try read(received, isEnd: bytes.isEmpty) { return answer }
            guard !bytes.isEmpty else { throw KeyFetchError("the answer is not complete") }
            guard received.count <= KeySet.maximumSize + (64 << 10) else {
                throw KeyFetchError("the answer has more than \(KeySet.maximumSize) bytes")
            }
        }
    }

    /// nil: there is more to come.
    private static func read(_ bytes: [UInt8], isEnd: Bool) throws(KeyFetchError) -> Answer? {
        let span = unsafe bytes.span.bytes
        var start = 0
        while true {
            var progress = HeadProgress()
            var head = ResponseHead()
            var table = FieldTable()
            let rest = span.extracting(start..<span.byteCount)
            switch ResponseParser.parse(rest, method: .get, progress: &progress, head: &head, fields: &table) {
            case .needMore: return nil
            case .failed(let error): throw KeyFetchError("the answer is no HTTP: \(error.text)")
            case .complete: break
            }
            start += Int(head.byteCount)
            // Interim answers (RFC 9110 section 15.2).
            if head.status < 200, head.status != 101 { continue }
            guard head.status == 200 else { throw KeyFetchError("the server answers with \(head.status)") }
            guard let body = try body(span.extracting(start..<span.byteCount), head.framing, isEnd: isEnd) else {
                return nil
            }
            return Answer(body: body, maximumAge: maximumAge(table.fields, rest))
        }
    }

    private static func body(_ bytes: RawSpan, _ framing: BodyFraming, isEnd: Bool) throws(KeyFetchError) -> [UInt8]? {
        func copy(_ range: Range<Int>) -> [UInt8] { range.map { bytes[$0] } }
        switch framing {
        case .none: return []
        case .untilClose: return isEnd ? copy(0..<bytes.byteCount) : nil
        case .length(let count):
            guard count <= UInt64(KeySet.maximumSize) else {
                throw KeyFetchError("the answer has more than \(KeySet.maximumSize) bytes")
            }
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
                case .failed: throw KeyFetchError("the chunks of the answer are malformed")
                }
            }
        }
    }

    private static func maximumAge(_ fields: Span<HeadField>, _ bytes: RawSpan) -> UInt64? {
        for index in fields.indices where ByteText.equalIgnoringCase(bytes[fields[index].name], "cache-control") {
            let value = bytes[fields[index].value]
            var start = 0
            while start < value.byteCount {
                let end = ByteText.index(of: UInt8(ascii: ","), in: value, from: start) ?? value.byteCount
                var first = start
                while first < end, value[first].isWhiteSpace { first += 1 }
                let directive = value.extracting(first..<end)
                start = end + 1
                guard ByteText.hasPrefixIgnoringCase(directive, "max-age=") else { continue }
                var seconds: UInt64 = 0
                var place = 8
                while place < directive.byteCount, directive[place].isDigit, seconds < 1 << 32 {
                    seconds = seconds * 10 + UInt64(directive[place] &- 48)
                    place += 1
                }
                if place > 8 { return seconds }
            }
        }
        return nil
    }
}
