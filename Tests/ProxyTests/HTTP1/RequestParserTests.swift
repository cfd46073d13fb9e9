import Proxy
import Testing

@Suite struct RequestParserTests {
    @Test func aPlainRequestIsRead() {
        let request = parseRequest(
            "GET /a/b?c=d?e HTTP/1.1\r\nHost: Shop.example.:8080\r\nX-Empty:\r\nAccept: \t a, b \t\r\n\r\nrest")
        #expect(request.result == .complete)
        #expect(request.method == "GET")
        #expect(request.path == "/a/b")
        #expect(request.query == "c=d?e")
        #expect(request.authority == "Shop.example.:8080")
        #expect(request.host == "Shop.example")
        #expect(request.head?.port == 8080)
        #expect(request.head?.hostHasUppercase == true)
        #expect(request.head?.framing == BodyFraming.none)
        #expect(request.head?.isPersistent == true)
        #expect(request.head?.needsNormalization == false)
        #expect(request.fields == ["Host: Shop.example.:8080 [host]", "X-Empty:  [other]", "Accept: a, b [other]"])
    }

    @Test func whatFollowsTheHeadIsLeftAlone() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
        let request = parseRequest(head + "\0\n\r\n")
        #expect(request.head.map { Int($0.byteCount) } == head.utf8.count)
        #expect(request.head?.framing == .length(4))
    }
}
