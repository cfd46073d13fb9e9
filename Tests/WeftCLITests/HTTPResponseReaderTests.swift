import Testing

@testable import weft

@Suite struct HTTPResponseReaderTests {
    /// Feeds the text in pieces of every size; the answer must not depend on where the pieces end.
    private func read(_ text: String, ends: Bool = false) throws -> (status: Int, body: String, isComplete: Bool) {
        var answers: [(Int, String, Bool)] = []
        for size in [1, 2, 3, 7, text.utf8.count] {
            var reader = HTTPResponseReader()
            var body: [UInt8] = []
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                body += try reader.read(rest.prefix(size))
                rest = rest.dropFirst(size)
            }
            if ends { body += try reader.end() }
            answers.append((reader.status, String(decoding: body, as: UTF8.self), reader.isComplete))
        }
        #expect(answers.allSatisfy { $0 == answers[0] })
        return answers[0]
    }

    @Test func readsABodyByItsLength() throws {
        let answer = try read("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        #expect(answer == (200, "hello", true))
    }

    @Test func readsAnEmptyBody() throws {
        #expect(try read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == (200, "", true))
        #expect(try read("HTTP/1.1 204 No Content\r\n\r\n") == (204, "", true))
    }

    @Test func readsChunks() throws {
        let answer = try read(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\nTrailer: t\r\n\r\n"
        )
        #expect(answer == (200, "{\"a\":1}", true))
    }

    @Test func readsUntilTheEndOfTheConnection() throws {
        #expect(
            try read("HTTP/1.0 404 Not Found\r\n\r\n{\"error\":\"x\"}", ends: true) == (404, "{\"error\":\"x\"}", true))
    }

    @Test func isNotCompleteBeforeItsLength() throws {
        #expect(try read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello") == (200, "hello", false))
        #expect(throws: HTTPResponseReader.Malformed.self) {
            try read("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ends: true)
        }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 9000 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    ])
    func refusesWhatIsNotHTTP(_ text: String) {
        #expect(throws: HTTPResponseReader.Malformed.self) { try read(text) }
    }

    @Test func refusesAHeadWithoutEnd() {
        #expect(throws: HTTPResponseReader.Malformed.self) {
            var reader = HTTPResponseReader()
            for _ in 0..<100 { _ = try reader.read([UInt8](repeating: 65, count: 1024)[...]) }
        }
    }
}
