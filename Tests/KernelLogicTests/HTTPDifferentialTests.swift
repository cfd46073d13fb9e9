import Proxy
import Testing
import WeftABI

/// bpf/lib/http1.h against the proxy's own parsers: whatever these accept is read as they read it. What they refuse may be
/// read or given up, but ends.
@Suite("HTTP/1 read in the kernel and by the proxy")
struct HTTPDifferentialTests {
    /// Repeats the same numbers for the same seed.
    struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return mixed ^ mixed >> 31
        }
    }

    // MARK: - Heads

    private static let methods = [
        "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PURGE", "get",
        "M-SEARCH", "H",
        "HEADS", "HEA", "GETT", "C", "*",
    ]
    private static let targets = [
        "/", "/", "/a/b?c=d", "*", "http://a/b", "HTTP://a", "a:80", "/%41", "//", "/", "x", "",
    ]
    private static let versions = [
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", "",
    ]
    private static let fields = [
        "Content-Length: 5", "Content-Length: 0", "Host: a", "content-length:17", "CONTENT-LENGTH: 3 ",
        "Content-Length: 5, 5", "Content-Length: 5x", "Content-Length: ", "Content-Length : 5", "Content-Length",
        "Content-Lengt: 4", "Content-Type: text/plain", "Content-Length: 000000000000000012", "X-Content-Length: 4",
        "Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Transfer-Encoding: \tchunked \t",
        "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked", "Transfer-Encoding:", "Transfer-Encodin: x", "Transfer-Encoding : chunked",
        "Connection: close", "Connection: keep-alive, upgrade", "Upgrade: websocket", "Expect: 100-continue",
        "Cookie: \(String(repeating: "c", count: 700))", "X: \(String(repeating: "x", count: 90))", " folded", "X:",
        ": y", "Content-Length: 12345678901234567", "C: d", "T: u", "Content-Length: 7",
    ]
    private static let lineEnds = Array(repeating: "\r\n", count: 20) + ["\n", "\r", "\r\r\n"]

    private static func requestHead(_ numbers: inout Numbers) -> [UInt8] {
        func pick(_ list: [String]) -> String {
            let isUsual = list[0] == list[1] && Int.random(in: 0..<8, using: &numbers) > 0
            return isUsual ? list[0] : list.randomElement(using: &numbers) ?? ""
        }
        var text = Int.random(in: 0..<20, using: &numbers) == 0 ? "\r\n" : ""
        text += "\(pick(methods)) \(pick(targets)) \(pick(versions))\(pick(lineEnds))"
        if Int.random(in: 0..<8, using: &numbers) > 0 { text += "Host: a\r\n" }
        for _ in 0..<Int.random(in: 0..<4, using: &numbers) { text += pick(fields) + pick(lineEnds) }
        return mutated(Array((text + "\r\n").utf8), &numbers)
    }

    private static func responseHead(_ numbers: inout Numbers) -> [UInt8] {
        func pick(_ list: [String]) -> String {
            let isUsual = list[0] == list[1] && Int.random(in: 0..<8, using: &numbers) > 0
            return isUsual ? list[0] : list.randomElement(using: &numbers) ?? ""
        }
        let status = ["200", "200", "204", "304", "404", "503", "100", "103", "101", "999", "099", "20", "2000", "2x0"]
        let reason = [" OK", " OK", " ", "", " \(String(repeating: "r", count: 80))", "OK", "\t"]
        var text = "\(pick(versions)) \(pick(status))\(pick(reason))\(pick(lineEnds))"
        for _ in 0..<Int.random(in: 0..<4, using: &numbers) { text += pick(fields) + pick(lineEnds) }
        return mutated(Array((text + "\r\n").utf8), &numbers)
    }

    private static func mutated(_ bytes: [UInt8], _ numbers: inout Numbers) -> [UInt8] {
        var bytes = bytes
        guard Int.random(in: 0..<6, using: &numbers) == 0, !bytes.isEmpty else { return bytes }
        let place = Int.random(in: 0..<bytes.count, using: &numbers)
        switch Int.random(in: 0..<3, using: &numbers) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &numbers)
        case 1: bytes.remove(at: place)
        default: bytes.insert(UInt8.random(in: 0...255, using: &numbers), at: place)
        }
        return bytes
    }

    private static func cuts(of length: Int, _ numbers: inout Numbers) -> [Int] {
        (0..<Int.random(in: 0..<6, using: &numbers)).map { _ in Int.random(in: 0...length, using: &numbers) }.sorted()
    }

    /// The length of a response's head and its framing, as the proxy says; nil if it refuses it.
    private static func parse(response bytes: [UInt8], method: HTTPMethod) -> ResponseHead? {
        var head = ResponseHead()
        var table = FieldTable()
        var progress = HeadProgress()
        let result = unsafe bytes.withUnsafeBytes {
            unsafe ResponseParser.parse(
                RawSpan(_unsafeBytes: $0), method: method, progress: &progress, head: &head, fields: &table)
        }
        return result == .complete ? head : nil
    }

    private static func parse(request bytes: [UInt8]) -> RequestHead? {
        var head = RequestHead()
        var table = FieldTable()
        var progress = HeadProgress()
        let result = unsafe bytes.withUnsafeBytes {
            unsafe RequestParser.parse(RawSpan(_unsafeBytes: $0), progress: &progress, head: &head, fields: &table)
        }
        return result == .complete ? head : nil
    }

    @Test("Requests' heads", arguments: [1, 2, 3])
    func requestHeads(seed: UInt64) {
        var numbers = Numbers(state: seed)
        var accepted = 0
        for _ in 0..<4_000 {
            let bytes = Self.requestHead(&numbers)
            let reader = HTTPReader()
            let head = Self.parse(request: bytes)
            let length = head.map { Int($0.byteCount) } ?? bytes.count
            reader.read(Array(bytes[..<length]), .request, cutAt: Self.cuts(of: length, &numbers))
            guard let head else { continue }
            accepted += 1
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(reader.isFollowed, "\(text)")
            #expect(reader.recognised == 1, "\(text)")
            let (isHead, isConnect) = unsafe (reader.exchange.pointee.heads & 1, reader.exchange.pointee.connects & 1)
            #expect((isHead == 1) == (head.method == .head), "\(text)")
            #expect((isConnect == 1) == (head.method == .connect), "\(text)")
            let remaining = unsafe reader.exchange.pointee.request.remaining
            switch head.framing {
            case .none, .length(0):
                #expect(reader.requestState == (isConnect == 1 ? WEFT_HTTP_HELD : WEFT_HTTP_START), "\(text)")
            case .length(let length):
                #expect(reader.requestState == WEFT_HTTP_BODY && remaining == length, "\(text)")
            case .chunked: #expect(reader.requestState == WEFT_HTTP_CHUNK, "\(text)")
            case .untilClose: Issue.record("no request has such a body")
            }
        }
        #expect(accepted > 1000)
    }

    @Test("Responses' heads", arguments: [4, 5, 6])
    func responseHeads(seed: UInt64) {
        var numbers = Numbers(state: seed)
        var accepted = 0
        for _ in 0..<4_000 {
            let bytes = Self.responseHead(&numbers)
            let method: HTTPMethod = Int.random(in: 0..<5, using: &numbers) == 0 ? .head : .get
            let reader = HTTPReader()
            reader.read("\(method == .head ? "HEAD" : "GET") / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            let head = Self.parse(response: bytes, method: method)
            let length = head.map { Int($0.byteCount) } ?? bytes.count
            reader.read(Array(bytes[..<length]), .response, cutAt: Self.cuts(of: length, &numbers))
            guard let head else { continue }
            accepted += 1
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(reader.unparsed == 0, "\(text)")
            let remaining = unsafe reader.exchange.pointee.response.remaining
            switch head.framing {
            case .none where head.status < 200 && head.status != 101:
                #expect(reader.answers.isEmpty && reader.responseState == WEFT_HTTP_START, "\(text)")
            case .none, .length(0): #expect(reader.answers == [.init(status: head.status)], "\(text)")
            case .length(let length):
                #expect(reader.responseState == WEFT_HTTP_BODY && remaining == length, "\(text)")
            case .chunked: #expect(reader.responseState == WEFT_HTTP_CHUNK, "\(text)")
            case .untilClose: #expect(reader.responseState == WEFT_HTTP_UNTIL_CLOSE, "\(text)")
            }
        }
        #expect(accepted > 1000)
    }

    // MARK: - Chunked bodies

    private static func chunkedBody(_ numbers: inout Numbers) -> [UInt8] {
        var bytes: [UInt8] = []
        func random(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &numbers) }
        for _ in 0..<random(6) {
            let size = random(3) == 0 ? random(2000) : 1 + random(20)
            guard size > 0 else { continue }
            bytes += Array((random(2) == 0 ? String(size, radix: 16) : "0" + String(size, radix: 16).uppercased()).utf8)
            if random(4) == 0 { bytes += Array(";name=\(String(repeating: "v", count: random(60)))".utf8) }
            bytes += Array("\r\n".utf8)
            bytes += (0..<size).map { _ in UInt8.random(in: 0...255, using: &numbers) }
            bytes += Array("\r\n".utf8)
        }
        bytes += Array((random(5) == 0 ? "000" : "0").utf8) + Array("\r\n".utf8)
        for _ in 0..<random(3) { bytes += Array("X-T: \(String(repeating: "t", count: random(70)))\r\n".utf8) }
        bytes += Array("\r\n".utf8)
        return mutated(bytes, &numbers)
    }

    @Test("Chunked bodies", arguments: [7, 8, 9])
    func chunkedBodies(seed: UInt64) {
        var numbers = Numbers(state: seed)
        var accepted = 0
        for _ in 0..<1_500 {
            let body = Self.chunkedBody(&numbers)
            var decoder = ChunkedDecoder()
            var (position, content, isComplete) = (0, 0, false)
            unsafe body.withUnsafeBytes { buffer in
                let span = unsafe RawSpan(_unsafeBytes: buffer)
                while true {
                    switch decoder.next(in: span, at: &position) {
                    case .data(let range): content += range.count
                    case .end:
                        isComplete = true
                        return
                    case .needMore, .failed: return
                    }
                }
            }
            let reader = HTTPReader()
            reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            reader.read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .response)
            let bytes = isComplete ? Array(body[..<position]) : body
            reader.read(bytes, .response, cutAt: Self.cuts(of: bytes.count, &numbers))
            guard isComplete else { continue }
            accepted += 1
            #expect(reader.answers == [.init(status: 200, responseBody: UInt64(content))])
            #expect(reader.responseState == WEFT_HTTP_START)
        }
        #expect(accepted > 500)
    }

    // MARK: - Conversations

    /// A request with its body, or a response to it.
    private static func message(_ isResponse: Bool, _ number: Int, _ numbers: inout Numbers) -> (
        bytes: [UInt8], body: Int
    ) {
        func random(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &numbers) }
        var text = isResponse ? "HTTP/1.1 \(210 + number % 50) OK\r\n" : "POST /\(number) HTTP/1.1\r\nHost: a\r\n"
        for _ in 0..<random(4) { text += "X-\(random(100)): \(String(repeating: "y", count: random(120)))\r\n" }
        let body = random(4) == 0 ? random(5000) : random(100)
        let content = (0..<body).map { _ in UInt8.random(in: 0...255, using: &numbers) }
        if random(2) == 0 {
            return (Array("\(text)Content-Length: \(body)\r\n\r\n".utf8) + content, body)
        }
        var bytes = Array("\(text)Transfer-Encoding: chunked\r\n\r\n".utf8)
        var start = 0
        while start < body {
            let size = min(body - start, 1 + random(600))
            bytes += Array("\(String(size, radix: 16))\r\n".utf8) + content[start..<start + size] + Array("\r\n".utf8)
            start += size
        }
        return (bytes + Array("0\r\n\r\n".utf8), body)
    }

    /// Requests are sent ahead of their responses by at most eight, and each side's bytes in pieces; some pieces come twice.
    @Test("Pipelined conversations in random pieces", arguments: [10, 11, 12, 13])
    func conversations(seed: UInt64) {
        var numbers = Numbers(state: seed)
        for _ in 0..<40 {
            let count = Int.random(in: 1...30, using: &numbers)
            var expected: [HTTPReader.Answer] = []
            var (requests, responses): ([UInt8], [UInt8]) = ([], [])
            var (requestEnds, responseEnds): ([Int], [Int]) = ([], [])
            for number in 0..<count {
                let request = Self.message(false, number, &numbers)
                let response = Self.message(true, number, &numbers)
                requests += request.bytes
                responses += response.bytes
                requestEnds.append(requests.count)
                responseEnds.append(responses.count)
                expected.append(
                    .init(
                        status: UInt16(210 + number % 50), requestBody: UInt64(request.body),
                        responseBody: UInt64(response.body)))
            }
            let reader = HTTPReader()
            var (sent, answered) = (0, 0)
            while answered < responses.count {
                let answers = reader.answers.count
                // As far as eight are waiting; and no answer before its request.
                let mayAsk = answers + 8 <= count ? requestEnds[answers + 7] : requests.count
                let asked = requestEnds.firstIndex { $0 > sent } ?? count
                let mayAnswer = asked == 0 ? 0 : responseEnds[asked - 1]
                if sent < mayAsk && (answered == mayAnswer || Bool.random(using: &numbers)) {
                    let size = Int.random(in: 1...min(mayAsk - sent, 2000), using: &numbers)
                    _ = reader.segment(Array(requests[sent..<sent + size]), .request, offset: UInt32(sent))
                    sent += size
                } else {
                    let size = Int.random(in: 1...min(mayAnswer - answered, 2000), using: &numbers)
                    let start = max(0, answered - Int.random(in: 0...3, using: &numbers) * 50)
                    _ = reader.segment(
                        Array(responses[start..<answered + size]), .response, offset: UInt32(start))
                    answered += size
                }
            }
            #expect(reader.answers == expected)
            #expect(reader.unparsed == 0)
            #expect(reader.isFollowed)
        }
    }

    @Test("Random bytes end", arguments: [14, 15])
    func randomBytes(seed: UInt64) {
        var numbers = Numbers(state: seed)
        for _ in 0..<500 {
            let reader = HTTPReader()
            reader.read("GET / HTTP/1.1\r\nHost: a\r\n\r\n", .request)
            for side in HTTPReader.Side.allCases {
                let bytes = (0..<Int.random(in: 1..<900, using: &numbers)).map { _ in
                    UInt8.random(in: 0..<64, using: &numbers) &+ 10
                }
                reader.read(bytes, side, cutAt: Self.cuts(of: bytes.count, &numbers))
            }
            #expect(!reader.isFollowed)
        }
    }
}
