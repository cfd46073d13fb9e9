import Proxy
import Testing

@Suite struct ResponseParserTests {
    struct Parsed {
        var result: HeadResult
        var head = ResponseHead()
        var reason = ""
        var fields = 0
    }

    private func parse(_ message: String, _ method: HTTPMethod = .get, byteByByte: Bool = false) -> Parsed {
        let bytes = latin1(message)
        var progress = HeadProgress()
        var parsed = Parsed(result: .needMore)
        var table = FieldTable()
        for length in byteByByte ? Array(0...bytes.count) : [bytes.count] {
            let piece = Array(bytes[..<length])
            let span = unsafe piece.span.bytes
            parsed.result = ResponseParser.parse(
                span, method: method, progress: &progress, head: &parsed.head, fields: &table)
            guard parsed.result != .needMore else { continue }
            if parsed.result == .complete { parsed.reason = text(span.extracting(parsed.head.reason.range)) }
            parsed.fields = table.count
            break
        }
        return parsed
    }

    struct Refusal: CustomTestStringConvertible {
        var text: String
        var error: HeadError
        var testDescription: String { text.debugDescription }

        init(_ text: String, _ error: HeadError) {
            self.text = text
            self.error = error
        }
    }

    static let refusals = [
        Refusal("HTTP/2.0 200 OK\r\n\r\n", .unsupportedVersion),
        Refusal("HTTP/1.10 200 OK\r\n\r\n", .malformedStartLine),
        Refusal("http/1.1 200 OK\r\n\r\n", .malformedVersion),
        Refusal("ICY 200 OK\r\n\r\n", .malformedVersion),
        Refusal("\r\nHTTP/1.1 200 OK\r\n\r\n", .malformedVersion),
        Refusal("HTTP/1.1  200 OK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1\t200 OK\r\n\r\n", .malformedStartLine),
        Refusal("HTTP/1.1 20 OK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1 2000 OK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1 099 OK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1 -20 OK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1 2x0 OK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1 200\tOK\r\n\r\n", .invalidStatus),
        Refusal("HTTP/1.1 200 O\0K\r\n\r\n", .malformedStartLine),
        Refusal("HTTP/1.1 200 OK\n\r\n", .bareLineFeed),
        Refusal("HTTP/1.1 200\n\n", .bareLineFeed),
        Refusal("HTTP/1.1 200 O\rK\r\n\r\n", .bareCarriageReturn),
        Refusal(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            .contentLengthWithTransferEncoding),
        Refusal("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .duplicateContentLength),
        Refusal("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", .invalidContentLength),
        Refusal("HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\n", .invalidContentLength),
        Refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", .unsupportedTransferEncoding),
        Refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", .invalidTransferEncoding),
        Refusal("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        Refusal("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingNotAllowed),
        Refusal("HTTP/1.1 101 Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingNotAllowed),
        Refusal("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", .invalidFieldName),
        Refusal("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", .foldedField),
        Refusal("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", .bareLineFeed),
        Refusal("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", .bareCarriageReturn),
        Refusal("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", .invalidFieldValue),
        Refusal("HTTP/1.1 200 OK\r\n: b\r\n\r\n", .emptyFieldName),
        Refusal("HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n", .invalidConnectionOption),
    ]

    @Test(arguments: refusals)
    func isRefused(_ refusal: Refusal) {
        #expect(parse(refusal.text).result == .failed(refusal.error))
        #expect(parse(refusal.text, byteByByte: true).result == .failed(refusal.error))
    }

    @Test(arguments: [
        ("200 OK", 200, "OK"), ("200 ", 200, ""), ("200", 200, ""), ("404 Not  Found ", 404, "Not  Found "),
        ("999 \u{e9}\t!", 999, "\u{e9}\t!"), ("100 Continue", 100, "Continue"),
    ])
    func statusLinesAreRead(_ line: String, _ status: UInt16, _ reason: String) {
        for byteByByte in [false, true] {
            let parsed = parse("HTTP/1.1 \(line)\r\n\r\nrest", byteByByte: byteByByte)
            #expect(parsed.result == .complete)
            #expect(parsed.head.status == status)
            #expect(parsed.reason == reason)
            #expect(parsed.head.byteCount == UInt16(9 + line.unicodeScalars.count + 4))
        }
    }

    struct Framing: CustomTestStringConvertible {
        var method: HTTPMethod
        var text: String
        var framing: BodyFraming
        var isPersistent: Bool
        var testDescription: String { "\(method) \(text.debugDescription)" }

        init(_ method: HTTPMethod, _ text: String, _ framing: BodyFraming, isPersistent: Bool = true) {
            self.method = method
            self.text = text
            self.framing = framing
            self.isPersistent = isPersistent
        }
    }

    static let framings = [
        Framing(.get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", .length(5)),
        Framing(.get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", .length(0)),
        Framing(.get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .chunked),
        Framing(.get, "HTTP/1.1 200 OK\r\n", .untilClose, isPersistent: false),
        Framing(.get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", .untilClose, isPersistent: false),
        Framing(.get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", .length(5), isPersistent: false),
        Framing(.get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n", .length(5)),
        Framing(.get, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n", .length(5), isPersistent: false),
        Framing(.head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", .none),
        Framing(.head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .none),
        Framing(.head, "HTTP/1.1 200 OK\r\n", .none),
        Framing(.get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", .none),
        Framing(.get, "HTTP/1.1 204 No Content\r\n", .none),
        Framing(.get, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", .none),
        Framing(.get, "HTTP/1.1 100 Continue\r\n", .none),
        Framing(.get, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n", .none),
        Framing(.get, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", .none),
        Framing(.connect, "HTTP/1.1 200 OK\r\n", .none),
        Framing(.connect, "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n", .length(5)),
    ]

    @Test(arguments: framings)
    func framingIsRead(_ framing: Framing) {
        let parsed = parse(framing.text + "\r\n", framing.method)
        #expect(parsed.result == .complete)
        #expect(parsed.head.framing == framing.framing)
        #expect(parsed.head.isPersistent == framing.isPersistent)
    }

    @Test func hostTEAndExpectMeanNothingInAResponse() {
        let parsed = parse("HTTP/1.1 200 OK\r\nHost: a b\r\nHost: c\r\nExpect: x\r\nTE: y\r\nContent-Length: 0\r\n\r\n")
        #expect(parsed.result == .complete)
        #expect(parsed.fields == 5)
    }

    @Test func limitsHoldForResponsesToo() {
        let fields = (1...101).map { "F\($0): \($0)\r\n" }.joined()
        #expect(parse("HTTP/1.1 200 OK\r\n\(fields)\r\n").result == .failed(.tooManyFields))
        let long = String(repeating: "x", count: 61_440)
        #expect(parse("HTTP/1.1 200 OK\r\nX: \(long)\r\n\r\n").result == .failed(.headTooLarge))
        #expect(parse("HTTP/1.1 200 \(long)").result == .failed(.headTooLarge))
    }
}
