import Proxy
import Testing

/// Header bombs: 431 beyond 60 KiB or 100 fields, 414 for a long target; and heads that arrive in pieces.
@Suite struct HeadLimitTests {
    @Test func oneHundredFieldsAreTheMost() {
        let fields = (1...99).map { "F\($0): \($0)\r\n" }.joined()
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n").fields.count == 100)
        let more = parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(fields)One: more\r\n\r\n")
        #expect(more.result == .failed(.tooManyFields))
        #expect(HeadError.tooManyFields.status == 431)
    }

    @Test func sixtyKibibytesAreTheMost() {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let padding = HeadLimits.head - start.utf8.count - 4
        let largest = parseRequest(start + String(repeating: "x", count: padding) + "\r\n\r\nrest")
        #expect(largest.head?.byteCount == UInt16(HeadLimits.head))
        let larger = parseRequest(start + String(repeating: "x", count: padding + 1) + "\r\n\r\n")
        #expect(larger.result == .failed(.headTooLarge))
        // Without an end in sight, too.
        #expect(parseRequest(start + String(repeating: "x", count: 70_000)).result == .failed(.headTooLarge))
        #expect(HeadError.headTooLarge.status == 431)
    }

    @Test func theLongestTargetIsTaken() {
        let target = "/" + String(repeating: "a", count: HeadLimits.target - 1)
        #expect(parseRequest("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n").target == target)
        #expect(HeadError.targetTooLong.status == 414)
    }

    static let heads = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2",
        "\r\nPOST /a//b?c HTTP/1.1\r\nHost: A.example:80\r\nContent-Length: 3\r\nX:   y \r\n\r\nabc",
        "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "GET /\u{0} HTTP/1.1\r\n\r\n",
    ]

    @Test(arguments: heads)
    func theResultIsTheSameHoweverTheHeadIsCut(_ text: String) {
        let bytes = latin1(text)
        let whole = parseRequest(bytes)
        #expect(whole.result != .needMore)
        for first in 0..<bytes.count {
            #expect(parseRequest(bytes, cuts: [first]) == whole)
            for second in stride(from: first, to: bytes.count, by: 7) {
                #expect(parseRequest(bytes, cuts: [first, second]) == whole)
            }
        }
        #expect(parseRequest(bytes, cuts: Array(0..<bytes.count)) == whole)
    }

    @Test func anIncompleteHeadIsNeverComplete() {
        let bytes = latin1("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: y\r\n\r\n")
        for length in 0..<bytes.count {
            #expect(parseRequest(Array(bytes[..<length])).result == .needMore)
        }
    }

    /// Parsing from the start for each of 60,000 pieces would look at 1.8 billion bytes, which takes a debug build minutes.
    @Test(.timeLimit(.minutes(1)))
    func aHeadThatComesByteByByteIsNotReadFromItsStartEachTime() {
        let bytes = latin1("GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "x", count: 60_000) + "\r\n\r\n")
        var progress = HeadProgress()
        var head = RequestHead()
        var table = FieldTable()
        let span = unsafe bytes.span.bytes
        for length in 1..<bytes.count {
            let piece = span.extracting(0..<length)
            #expect(RequestParser.parse(piece, progress: &progress, head: &head, fields: &table) == .needMore)
        }
        #expect(RequestParser.parse(span, progress: &progress, head: &head, fields: &table) == .complete)
    }
}
