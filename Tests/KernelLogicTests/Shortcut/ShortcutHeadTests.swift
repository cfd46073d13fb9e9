import Proxy
import Testing
import WeftABI

@Suite("Heads that the shortcut understands")
struct ShortcutHeadTests {
    /// As these send them; bodies in the same write.
    private static let requests: [(client: String, head: String, body: String)] = [
        (
            "curl", "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
            ""
        ),
        (
            "curl -d",
            "POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
                + "Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n", "x=1"
        ),
        ("wrk", "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\n\r\n", ""),
        (
            "h2load --h1",
            "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nuser-agent: h2load nghttp2/1.52.0\r\n\r\n", ""
        ),
        (
            "Go",
            "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: Go-http-client/1.1\r\n"
                + "Accept-Encoding: gzip\r\n\r\n", ""
        ),
        (
            "Go, with a body",
            "POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 2\r\n"
                + "Content-Type: text/plain\r\nAccept-Encoding: gzip\r\n\r\n", "hi"
        ),
        (
            "Python requests",
            "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: python-requests/2.28.1\r\n"
                + "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n", ""
        ),
        (
            "Python requests, with a body",
            "POST /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: python-requests/2.28.1\r\n"
                + "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Length: 8\r\n"
                + "Content-Type: application/json\r\n\r\n", "{\"a\": 1}"
        ),
        (
            "wget",
            "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nUser-Agent: Wget/1.21.3\r\nAccept: */*\r\n"
                + "Accept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n", ""
        ),
        ("Node, http", "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:18999\r\nConnection: keep-alive\r\n\r\n", ""),
        (
            "Node, http, with a body",
            "POST /a/b?c=d HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                + "Host: 127.0.0.1:18999\r\nConnection: keep-alive\r\n\r\n", "{}"
        ),
        (
            "Node, fetch",
            "GET /a/b?c=d HTTP/1.1\r\nhost: 127.0.0.1:18999\r\nconnection: keep-alive\r\naccept: */*\r\n"
                + "accept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n"
                + "accept-encoding: gzip, deflate\r\n\r\n", ""
        ),
    ]

    @Test("Requests of plain clients", arguments: requests.indices) func plainRequest(index: Int) {
        let (client, head, body) = Self.requests[index]
        let reader = ShortcutReader()
        let bytes = Array((head + body).utf8)
        #expect(reader.reads(bytes, .request), "\(client)")
        #expect(reader.headLength == head.utf8.count && reader.head.content_length == UInt64(body.utf8.count))
        #expect(reader.head.method == (body.isEmpty ? WEFT_SHORTCUT_GET : WEFT_SHORTCUT_POST).rawValue)
        #expect(String(decoding: reader.path, as: UTF8.self) == "/a/b" && reader.hasHost)
        #expect(String(decoding: bytes[reader.host], as: UTF8.self) == "127.0.0.1:18999")
        var proxy = ProxyReading()
        let fault = proxy.fault(bytes, ofRequest: reader)
        #expect(fault == nil)
    }

    @Test(
        "Responses of plain servers",
        arguments: [
            "Server: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 04:20:02 GMT\r\nContent-Type: text/plain\r\n"
                + "Content-Length: 12\r\nConnection: keep-alive\r\n",
            "Date: Sun, 22 Nov 2026 04:20:02 GMT\r\nContent-Length: 12\r\nContent-Type: text/plain; charset=utf-8\r\n",
            "X-Powered-By: Express\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 12\r\n"
                + "ETag: W/\"c-Lve95gjOVATpfV8EL5X4nxwjKHE\"\r\nDate: Sun, 22 Nov 2026 04:20:02 GMT\r\n"
                + "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        ]
    ) func plainResponse(fields: String) {
        let reader = ShortcutReader()
        let bytes = Array("HTTP/1.1 200 OK\r\n\(fields)\r\nhello, world".utf8)
        #expect(reader.reads(bytes, .response))
        #expect(reader.head.status == 200 && reader.hasLength && reader.head.content_length == 12)
        #expect(reader.headLength == bytes.count - 12)
        var proxy = ProxyReading()
        let fault = proxy.fault(bytes, ofResponse: reader, to: .get)
        #expect(fault == nil)
    }

    @Test(
        "Fields that are the agent's to understand",
        arguments: [
            "Transfer-Encoding: chunked", "transfer-encoding: gzip", "TE: trailers", "Trailer: x",
            "Expect: 100-continue",
            "Upgrade: websocket", "Connection: close", "Connection: upgrade", "Connection: x",
            "Connection: keep-alive, x",
            "Connection:", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "X-Envoy-Max-Retries: 3",
            "x-envoy-upstream-rq-timeout-ms: 5", "grpc-timeout: 1S", "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: 12345678901", "Content-Length: +3", "Content-Length:", "Host: web",
            " X: folded", "X : y", "X: y ", "X:  y", "X:\ty", "X_Y: z", "X: \u{e4}", "X: y\nZ: a", "X: y\rZ: a",
        ]
    ) func agentsField(field: String) {
        let reader = ShortcutReader()
        #expect(reader.reads("GET / HTTP/1.1\r\nHost: web\r\nX-A: b\r\n\r\n", .request))
        #expect(!reader.reads("GET / HTTP/1.1\r\nHost: web\r\n\(field)\r\n\r\n", .request))
        #expect(!reader.reads("GET / HTTP/1.1\r\n\(field)\r\nHost: web\r\n\r\n", .request))
    }

    @Test(
        "Responses that are the agent's to understand",
        arguments: [
            "HTTP/1.1 100 Continue\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n", "HTTP/1.0 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunkec\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encodinh: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTrailer: a\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "HTTP/1.1 200\r\n", "HTTP/1.1 600 OK\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n",
        ]
    ) func agentsResponse(head: String) {
        #expect(!ShortcutReader().reads(head + "\r\n", .response))
    }

    /// As Node and Go send them, in one write.
    @Test("Responses in chunks") func chunkedResponse() {
        let reader = ShortcutReader()
        let head = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 04:20:02 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
        let long = String(repeating: "y", count: 3000)
        for (chunks, content) in [
            ("0\r\n\r\n", 0), ("5\r\nhello\r\n0\r\n\r\n", 5), ("bb8\r\n\(long)\r\n2\r\nab\r\n0\r\n\r\n", 3002),
            ("00003\r\nabc\r\n000\r\n\r\n", 3),
        ] {
            let bytes = Array((head + chunks).utf8)
            #expect(reader.reads(bytes, .response) && reader.isChunked && !reader.hasLength)
            var proxy = ProxyReading()
            let fault = proxy.fault(bytes, ofResponse: reader, to: .get)
            #expect(fault == nil)
            let start = reader.headLength
            #expect(start == head.utf8.count && reader.content(ofChunks: bytes, from: start) == content)
            for count in start..<bytes.count {
                #expect(reader.content(ofChunks: Array(bytes[..<count]), from: start) == nil)
            }
            #expect(reader.content(ofChunks: bytes + [13], from: start) == nil)
        }
        for chunks in [
            "5;a\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: y\r\n\r\n", "\r\n0\r\n\r\n",
            "5\r\nhello\r\n00000000\r\n\r\n", "-0\r\n\r\n", "0x0\r\n\r\n", " 0\r\n\r\n", "ffffffff\r\n0\r\n\r\n",
        ] { #expect(reader.content(ofChunks: Array(chunks.utf8), from: 0) == nil, "\(chunks.debugDescription)") }
        let one = Array("1\r\na\r\n".utf8)
        let most = Int(WEFT_SHORTCUT_CHUNKS) - 1
        func many(_ count: Int) -> [UInt8] {
            Array([[UInt8]](repeating: one, count: count).joined()) + Array("0\r\n\r\n".utf8)
        }
        #expect(reader.content(ofChunks: many(most), from: 0) == most)
        #expect(reader.content(ofChunks: many(most + 1), from: 0) == nil)
    }

    @Test("A head of exactly the window's size, and one byte more") func windowSize() {
        let reader = ShortcutReader()
        let room = Int(WEFT_HTTP_ROOM)
        func head(_ count: Int) -> [UInt8] {
            let start = "GET / HTTP/1.1\r\nHost: web\r\nX: \(String(repeating: "x", count: 500))\r\nY: "
            return Array((start + String(repeating: "y", count: count - start.utf8.count - 4) + "\r\n\r\n").utf8)
        }
        var proxy = ProxyReading()
        for count in room - 9...room {
            #expect(reader.reads(head(count), .request) && reader.headLength == count)
            let fault = proxy.fault(head(count), ofRequest: reader)
            #expect(fault == nil)
        }
        for count in room + 1...room + 80 { #expect(!reader.reads(head(count), .request)) }
        // A longer message whose head fits.
        #expect(reader.reads(head(room) + head(room), .request) && reader.headLength == room)
    }

    @Test("Lines are as many as are read, and no more") func lines() {
        let reader = ShortcutReader()
        func head(_ fields: Int) -> String {
            "GET / HTTP/1.1\r\nHost: web\r\n" + String(repeating: "X: y\r\n", count: fields - 1) + "\r\n"
        }
        #expect(reader.reads(head(Int(WEFT_SHORTCUT_LINES) - 1), .request))
        #expect(!reader.reads(head(Int(WEFT_SHORTCUT_LINES)), .request))
    }
}
