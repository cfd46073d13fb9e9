import Testing
import WeftABI

/// bpf/lib/http1.h: what the kernel counts of plain HTTP/1.
@Suite("HTTP/1 read in the kernel")
struct HTTPReadingTests {
    /// One turn of a conversation: what the client sends, what the server answers, and what is counted of it.
    struct Turn: Sendable, CustomTestStringConvertible {
        var name: String
        var requests: String
        var responses: String
        var answers: [HTTPReader.Answer]

        var testDescription: String { name }
    }

    static let turns: [Turn] = [
        Turn(
            name: "no bodies", requests: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", answers: [.init(status: 200)]),
        Turn(
            name: "bodies of known length", requests: "POST /x HTTP/1.1\r\nHost: a\r\nCONTENT-length:7 \r\n\r\nGET / H",
            responses: "HTTP/1.1 201 Created\r\ncontent-LENGTH: \t12\r\nX: y\r\n\r\nHTTP/1.1 200",
            answers: [.init(status: 201, requestBody: 7, responseBody: 12)]),
        Turn(
            name: "chunks with extensions and trailers",
            requests: "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "5;name=\"value\"\r\nhello\r\n0a\r\n0123456789\r\n0\r\nTrailer: 1\r\nContent-Length: 9\r\n\r\n",
            responses:
                "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING:  Chunked\t\r\n\r\n1\r\n\n\r\n3\r\n\r\n0\r\n0;last\r\n\r\n",
            answers: [.init(status: 200, requestBody: 15, responseBody: 4)]),
        Turn(
            name: "codings before chunked", requests: "GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n",
            answers: [.init(status: 200, responseBody: 2)]),
        Turn(
            name: "HEAD", requests: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", answers: [.init(status: 200)]),
        Turn(
            name: "204 and 304 have no content",
            requests: "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: "HTTP/1.1 204 No Content\r\n\r\n"
                + "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"a\"\r\n\r\n",
            answers: [.init(status: 204), .init(status: 304)]),
        Turn(
            name: "interim responses",
            requests: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
            responses: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            answers: [.init(status: 200, requestBody: 3, responseBody: 2)]),
        Turn(
            name: "eight requests at once",
            requests: (1...8).map { "\($0 == 3 ? "HEAD" : "GET") /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined(),
            responses: (1...8).map { "HTTP/1.1 21\($0)\r\nContent-Length: \($0)\r\n\r\n" + ($0 == 3 ? "" : body($0)) }
                .joined(),
            answers: (1...8).map { .init(status: UInt16(210 + $0), responseBody: $0 == 3 ? 0 : UInt64($0)) }),
        Turn(
            name: "ten requests at once: the times of two are not known",
            requests: String(repeating: "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", count: 10),
            responses: String(repeating: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", count: 10),
            answers: (1...10).map { .init(status: 200, responseBody: 1, isTimed: $0 <= 8) }),
        Turn(
            name: "HTTP/1.0, kept alive",
            requests: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
            responses:
                "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nabcdHTTP/1.1 404 Not Found\r\nContent-Length:0\r\n\r\n",
            answers: [.init(status: 200, responseBody: 4), .init(status: 404)]),
        Turn(
            name: "empty lines before requests",
            requests: "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n",
            answers: [.init(status: 200), .init(status: 500)]),
        Turn(
            name: "forms of targets and methods of others",
            requests: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n"
                + "VERSION-CONTROL /x HTTP/1.1\r\nHost: a\r\n\r\nHEADER /x HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: String(repeating: "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", count: 4),
            answers: Array(repeating: .init(status: 200, responseBody: 1), count: 4)),
        Turn(
            name: "lines and heads longer than what is looked at at once",
            requests: "GET /\(body(1500)) HTTP/1.1\r\nHost: a\r\nCookie: \(body(3000))\r\nContent-Length: 2\r\n\r\nhi",
            responses: "HTTP/1.1 200 \(body(600))\r\nX: \(body(510))\r\nContent-Type: x\r\nTransfer: x\r\n"
                + "Transfer-Encoding: chunked\r\n\r\n4;\(body(700))\r\nabcd\r\n0\r\nT: \(body(900))\r\n\r\n",
            answers: [.init(status: 200, requestBody: 2, responseBody: 4)]),
        Turn(
            name: "names that only begin, or end, like those that matter",
            requests:
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Lengths: 5\r\nX-Content-Length: 6\r\nTransfer-Encodings: x\r\n\r\n",
            responses: "HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Length: 1\r\nC: d\r\n\r\nx",
            answers: [.init(status: 200, responseBody: 1)]),
        Turn(
            name: "equal lengths twice", requests: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            responses: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxx",
            answers: [.init(status: 200, responseBody: 2)]),
    ]

    private static func body(_ length: Int) -> String { String(repeating: "b", count: length) }

    @Test("A conversation in one piece", arguments: turns)
    func onePiece(turn: Turn) {
        let reader = HTTPReader()
        reader.read(turn.requests, .request)
        #expect(reader.recognised == turn.answers.count)
        reader.read(turn.responses, .response)
        #expect(reader.answers == turn.answers)
        #expect(reader.unparsed == 0)
        #expect(reader.isFollowed)
        #expect(reader.end(isClosed: true).isEmpty)
    }

    @Test("... cut in two at every byte", arguments: turns)
    func everySplit(turn: Turn) {
        let (requests, responses) = (Array(turn.requests.utf8), Array(turn.responses.utf8))
        for cut in 1..<requests.count {
            let reader = HTTPReader()
            reader.read(requests, .request, cutAt: [cut])
            reader.read(responses, .response)
            #expect(reader.answers == turn.answers, "requests cut at \(cut)")
            #expect(reader.isFollowed)
        }
        for cut in 1..<responses.count {
            let reader = HTTPReader()
            reader.read(requests, .request)
            reader.read(responses, .response, cutAt: [cut])
            #expect(reader.answers == turn.answers, "responses cut at \(cut)")
            #expect(reader.isFollowed)
        }
    }

    @Test("... byte by byte, and in pieces of 2 to 50 bytes", arguments: turns)
    func smallPieces(turn: Turn) {
        let (requests, responses) = (Array(turn.requests.utf8), Array(turn.responses.utf8))
        for size in 1...50 {
            let reader = HTTPReader()
            reader.read(requests, .request, cutAt: Array(stride(from: size, to: requests.count, by: size)))
            reader.read(responses, .response, cutAt: Array(stride(from: size, to: responses.count, by: size)))
            #expect(reader.answers == turn.answers, "pieces of \(size)")
            #expect(reader.isFollowed)
        }
    }

    @Test("Every conversation on one connection after the other")
    func keptAlive() {
        let reader = HTTPReader()
        for _ in 0..<20 {
            for turn in Self.turns {
                reader.read(turn.requests, .request)
                reader.read(turn.responses, .response)
            }
        }
        #expect(reader.answers.count == 20 * Self.turns.flatMap(\.answers).count)
        #expect(Array(reader.answers.suffix(Self.turns.flatMap(\.answers).count)) == Self.turns.flatMap(\.answers))
        #expect(reader.isFollowed)
    }

    // MARK: - What ends differently

    @Test("A response until the connection's end is complete when its server closes it, and not otherwise")
    func untilClose() throws {
        for (isClosed, head) in [
            (true, "HTTP/1.1 200 OK\r\n\r\n"), (false, "HTTP/1.0 200 OK\r\nX: y\r\n\r\n"),
            (true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        ] {
            let reader = HTTPReader()
            reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            reader.read(head + "abc", .response)
            reader.read("def", .response)
            #expect(reader.answers.isEmpty)
            let left = reader.end(isClosed: isClosed)
            #expect(left.map(\.answer) == [.init(status: 200, responseBody: 6)])
            #expect(left.map(\.isComplete) == [isClosed])
        }
    }

    @Test("What has no answer at the end, or half of one, is left over")
    func leftOver() {
        let reader = HTTPReader()
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        reader.read(request + request + request, .request)
        reader.read("GET / HT", .request)
        reader.read(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nxxx", .response)
        #expect(reader.answers == [.init(status: 200, requestBody: 5, responseBody: 1)])
        let left = reader.end(isClosed: true)
        #expect(
            left.map(\.answer) == [
                .init(status: 500, requestBody: 5, responseBody: 3), .init(status: 0, requestBody: 5),
            ])
        #expect(left.allSatisfy { !$0.isComplete })
        #expect(reader.end(isClosed: true).isEmpty)
    }

    @Test("Half a request's body is counted as far as it came")
    func aborted() {
        let reader = HTTPReader()
        reader.read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhello", .request)
        #expect(reader.end(isClosed: false).map(\.answer) == [.init(status: 0, requestBody: 5)])
    }

    @Test("An answer before the request has ended counts with what has come of it")
    func early() {
        let reader = HTTPReader()
        reader.read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", .request)
        reader.read("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", .response)
        #expect(reader.answers == [.init(status: 413, requestBody: 5)])
        reader.read("worldGET /next HTTP/1.1\r\nHost: a\r\n\r\n", .request)
        reader.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .response)
        #expect(reader.answers.last == .init(status: 200))
    }

    @Test("An answer to a line that never ends makes it a request")
    func endless() {
        let reader = HTTPReader()
        reader.read("GET /" + Self.body(5000), .request)
        #expect(reader.recognised == 0)
        reader.read("HTTP/1.1 414 Too Long\r\nContent-Length: 3\r\n\r\nxxx", .response)
        #expect(reader.answers == [.init(status: 414, responseBody: 3)])
        #expect(reader.recognised == 1)
    }

    @Test("After 101, and after CONNECT, something else is spoken")
    func upgraded() {
        for (request, response) in [
            (
                "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
            ), ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        ] {
            let reader = HTTPReader()
            reader.read(request, .request)
            reader.read(response + "HTTP/1.1 500 No\r\n\r\n", .response)
            reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            #expect(reader.answers.map(\.status) == [response.contains("101") ? 101 : 200])
            #expect(reader.mode == WEFT_EXCHANGE_OPAQUE)
            #expect(reader.unparsed == 0)
            #expect(reader.end(isClosed: true).isEmpty)
        }
    }

    @Test("Times: from the request's first byte to the response's last, from its last to the response's first")
    func times() throws {
        let reader = HTTPReader()
        reader.read("P", .request, at: 100)
        reader.read("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na", .request, at: 200)
        reader.read("HTTP/1.1 100 Continue\r\n\r\n", .response, at: 250)
        reader.read("b", .request, at: 300)
        reader.read("H", .response, at: 1000)
        reader.read("TTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", .response, at: 1500)
        reader.read("b", .response, at: 2100)
        let times = try #require(reader.times.first)
        #expect(times == (2000, 700))
    }

    // MARK: - What cannot be followed

    @Test(
        "What two could understand differently is unparsed",
        arguments: [
            "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5, 5", "Content-Length: +5", "Content-Length:",
            "Content-Length: 0x5", "Content-Length: 5 5", "Content-Length: 99999999999999999999", "Content-Length : 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding:",
            "Content-Length: 5\r\n folded", "X: y\n", "X: y\nContent-Length: 5", "Content-Length: 5\n",
        ])
    func ambiguous(fields: String) {
        let reader = HTTPReader()
        reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
        reader.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .response)
        reader.read("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\nhello", .request)
        #expect(reader.unparsed == 1)
        #expect(reader.mode == WEFT_EXCHANGE_LOST)
        #expect(reader.answers.count == 1)
    }

    @Test(
        "A body that is not framed as its head says is unparsed",
        arguments: [
            "5\r\nhelloX\r\n", "5\nhello", "\r\n", "-1\r\n", "g\r\n", "5 \r\nhello", "12345678901234567\r\n",
            "ffffffffffffffff\r\n", "5\r\nhello\n",
        ])
    func brokenChunks(body: String) {
        let reader = HTTPReader()
        reader.read("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, .request)
        #expect(reader.unparsed == 1)
    }

    @Test("A response that nobody asked for is not counted, and neither is what follows it")
    func unsolicited() {
        let reader = HTTPReader()
        reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
        reader.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 408 Timeout\r\n\r\n", .response)
        #expect(reader.answers.map(\.status) == [200])
        #expect(reader.unparsed == 0)
        #expect(!reader.isFollowed)
    }

    @Test("More than 32 requests at once are too many")
    func tooMany() {
        let reader = HTTPReader()
        reader.read(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 32), .request)
        #expect(reader.isFollowed)
        reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
        #expect(reader.mode == WEFT_EXCHANGE_OPAQUE)
        #expect(reader.unparsed == 32)
    }

    @Test(
        "What is no HTTP/1 is left alone",
        arguments: [
            "\u{16}\u{3}\u{1}\u{2}\0", "*1\r\n$4\r\nPING\r\n", "PING\r\n", "GET key\r\n", "get key\r\n", "GET /\r\n",
            "\0\0\0\u{8}\u{4}\u{d2}\u{16}\u{2f}", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "EHLO example.org\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SET /a HTTP/1.12\r\n", "GET  / HTTP/1.1\r\n", "GET / http/1.1\r\n",
            "GET / HTTP/1.1\n", " GET / HTTP/1.1\r\n", "G\u{e9}T / HTTP/1.1\r\n", "{\"jsonrpc\": \"2.0\"}\n",
            "AVERYLONGMETHODTHATNOBODYHASEVERUSED / HTTP/1.1\r\n",
        ])
    func otherProtocols(bytes: String) {
        for size in [1, 3, 1000] {
            let reader = HTTPReader()
            let bytes = Array(bytes.unicodeScalars.map { UInt8($0.value) })
            reader.read(bytes, .request, cutAt: Array(stride(from: size, to: bytes.count, by: size)))
            #expect(reader.mode == WEFT_EXCHANGE_OPAQUE)
            #expect(reader.unparsed == 0)
            #expect(reader.recognised == 0)
        }
    }

    // MARK: - Segments

    @Test("What is sent again counts once, also together with what is new")
    func sentAgain() {
        let reader = HTTPReader()
        let requests = Array(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        for end in 1...requests.count {
            // Everything from the beginning, each time with one byte more.
            #expect(reader.segment(Array(requests[..<end]), .request, offset: 0) == WEFT_HTTP_NEW)
            #expect(reader.segment(Array(requests[..<end]), .request, offset: 0) == WEFT_HTTP_SEEN)
        }
        #expect(reader.recognised == 2)
        let response =
            Array("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".utf8) + [UInt8](repeating: 1, count: 1000)
        // The sequence numbers go past zero in it.
        for start in stride(from: 0, to: response.count, by: 100) {
            let piece = Array(response[max(0, start - 30)..<min(response.count, start + 100)])
            #expect(reader.segment(piece, .response, offset: UInt32(max(0, start - 30))) == WEFT_HTTP_NEW)
        }
        #expect(reader.answers == [.init(status: 200, requestBody: 5, responseBody: 1000)])
    }

    @Test("A gap inside of content of a known length is passed, to its last byte")
    func gapInBody() {
        for (lost, end) in [(10..<60, 100), (10..<100, 100), (0..<100, 100), (10..<60, 60)] {
            let reader = HTTPReader()
            reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            let head = Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".utf8)
            let rest = [UInt8](repeating: 1, count: 100) + Array("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".utf8)
            #expect(
                reader.segment(head + rest[..<lost.lowerBound], .response, offset: 0) == WEFT_HTTP_NEW)
            let offset = UInt32(head.count + lost.upperBound)
            #expect(reader.segment(Array(rest[lost.upperBound...]), .response, offset: offset) == WEFT_HTTP_NEW)
            #expect(reader.answers == [.init(status: 200, responseBody: 100), .init(status: 404)], "\(lost) \(end)")
            // What was missing comes.
            let again = Array(rest[lost])
            #expect(reader.segment(again, .response, offset: UInt32(head.count + lost.lowerBound)) == WEFT_HTTP_SEEN)
        }
    }

    @Test("A gap in a chunk is passed, one that may hide a chunk's end is not")
    func gapInChunk() {
        for (missing, placed) in [(20, WEFT_HTTP_NEW), (21, WEFT_HTTP_GAP)] {
            let reader = HTTPReader()
            reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            let head = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n".utf8)
            #expect(reader.segment(head, .response, offset: 0) == WEFT_HTTP_NEW)
            let rest = Array("\r\n0\r\n\r\n".utf8)
            #expect(
                reader.segment(Array(rest[(missing - 20)...]), .response, offset: UInt32(head.count + missing))
                    == placed)
            #expect(reader.answers.count == (placed == WEFT_HTTP_NEW ? 1 : 0))
            #expect(reader.unparsed == (placed == WEFT_HTTP_NEW ? 0 : 1))
        }
    }

    @Test("After a gap the next request that starts clearly is followed again")
    func resumed() {
        let reader = HTTPReader()
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        let response = Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8)
        reader.read(request, .request)
        #expect(reader.segment(Array(response[10...]), .response, offset: 10) == WEFT_HTTP_GAP)
        #expect(reader.unparsed == 1)
        #expect(reader.mode == WEFT_EXCHANGE_LOST)
        #expect(unsafe reader.exchange.pointee.turned == 1)
        unsafe weft_http_resume(reader.exchange)
        reader.read(request, .request)
        #expect(unsafe reader.exchange.pointee.restart == 1)
        unsafe weft_http_resume_responses(reader.exchange, 77)
        reader.read(response, .response)
        #expect(reader.answers == [.init(status: 200)])
        #expect(reader.unparsed == 1)
    }
}

/// What route templates are compared by.
@Suite("Symbols of a request's line")
struct RequestSymbolTests {
    private func symbols(_ line: String) -> [UInt64] {
        var scan = weft_http_scan()
        unsafe withUnsafeMutableBytes(of: &scan.window) { unsafe $0.copyBytes(from: Array(line.utf8)) }
        var found: [UInt64] = []
        var place: UInt32 = 0
        while Int(place) < line.utf8.count {
            place = unsafe weft_http_symbol(&scan, place) + 1
            found.append(scan.symbol)
            if scan.symbol == 0 { break }
        }
        return found
    }

    private func symbol(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { unsafe weft_symbol_of($0.baseAddress, UInt32($0.count)) }
    }

    @Test("are those of the same bytes in memory, wherever the words are cut")
    func equal() {
        for length in 0..<64 {
            let text = String((0..<length).map { Character(UnicodeScalar(UInt8(0x61 + $0 % 26))) })
            for end in [" ", "/", "?"] {
                #expect(symbols("GET /\(text)\(end)x ").prefix(3) == [symbol("GET"), symbol(""), symbol(text)])
            }
            #expect(symbol(text) != symbol(text + "\0") && symbol(text) > 0)
        }
        #expect(symbols("\(String(repeating: "x", count: 64)) ") == [0])
        #expect(symbol(String(repeating: "x", count: 64)) == 0)
    }

    @Test("are told of once for a line that is too long, wherever it is cut, and counted with the answer")
    func longLines() {
        for cut in [0, 45, 300, 700] {
            let reader = HTTPReader()
            unsafe reader.exchange.pointee.templates = 1
            reader.route = 7
            let line = "GET /users/1?\(String(repeating: "q", count: 900)) HTTP/1.1\r\n"
            reader.read(Array("\(line)Host: a\r\n\r\n".utf8), .request, cutAt: cut == 0 ? [] : [cut])
            reader.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .response)
            #expect(reader.beginnings.count == 1)
            #expect(reader.beginnings.first?.hasPrefix("GET /users/1?") == true)
            #expect(reader.answers.map(\.status) == [200])
            #expect(unsafe reader.scan.pointee.answer.route == 7)
            // The next one has none.
            reader.read("GET / HTTP/1.1\r\n\r\n", .request)
            reader.read("HTTP/1.1 204 No\r\n\r\n", .response)
            #expect(unsafe reader.scan.pointee.answer.route == 0)
            #expect(reader.beginnings.count == 1)
        }
    }
}
