import Mesh
import Proxy
import Synchronization
import Testing

/// One request through the relay: what the client sends, what the backend says, and what each of them gets.
struct RelayCase: Sendable, CustomTestStringConvertible {
    var name: String
    var request: String
    var response: String
    var backendGets: [String] = []
    var backendDoesNotGet: [String] = []
    var clientGets: String
    var testDescription: String { name }
}

private let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

@Suite struct RelayTests {
    static let cases: [RelayCase] = [
        RelayCase(
            name: "http1_removes_connection_headers",
            request:
                "GET / HTTP/1.1\r\nHost: web\r\nX-Keep: Me\r\nX-Foo: bar\r\nKeep-Alive: 1\r\nProxy-Connection: close\r\nConnection: x-foo, close\r\n\r\n",
            response:
                "HTTP/1.1 200 OK\r\nX-Bar: 1\r\nConnection: x-bar\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
            backendGets: ["GET / HTTP/1.1\r\n", "Host: web\r\n", "X-Keep: Me\r\n"],
            backendDoesNotGet: ["X-Foo", "Keep-Alive", "Proxy-Connection", "onnection:"],
            clientGets: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http10_with_host", request: "GET /a HTTP/1.0\r\nHost: web.shop\r\n\r\n", response: ok,
            backendGets: ["GET /a HTTP/1.1\r\n", "Host: web.shop\r\n"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http10_without_host", request: "GET /a HTTP/1.0\r\n\r\n", response: ok,
            backendGets: ["host: web.shop"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http10_gets_chunks_without_framing", request: "GET / HTTP/1.0\r\nHost: web\r\n\r\n",
            response:
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n",
            clientGets: "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcdefg"),
        RelayCase(
            name: "http11_absolute_uri_differs_from_host",
            request: "GET http://web.other/x?y=1 HTTP/1.1\r\nHost: foo\r\nConnection: close\r\n\r\n", response: ok,
            backendGets: ["GET /x?y=1 HTTP/1.1\r\n", "Host: web.other\r\n"], backendDoesNotGet: ["foo"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http1_request_with_body_content_length",
            request: "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            response: ok,
            backendGets: ["Content-Length: 5\r\n", "\r\n\r\nhello"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http1_request_with_body_chunked",
            request:
                "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            response: ok, backendGets: ["Transfer-Encoding: chunked\r\n", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http1_requests_without_body_doesnt_add_transfer_encoding",
            request: "POST / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", response: ok,
            backendGets: ["POST / HTTP/1.1\r\n"], backendDoesNotGet: ["ransfer-", "ontent-"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "http1_content_length_zero_is_preserved",
            request: "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", backendGets: ["Content-Length: 0\r\n"],
            clientGets: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: close\r\n\r\n"),
        RelayCase(
            name: "http1_bodyless_responses",
            request: "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
            response: "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: x\r\n\r\n",
            clientGets: "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\nETag: x\r\nconnection: close\r\n\r\n"),
        RelayCase(
            name: "http1_head_responses",
            request: "HEAD / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
            response: "HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n",
            clientGets: "HTTP/1.1 200 OK\r\nContent-Length: 55\r\nconnection: close\r\n\r\n"),
        RelayCase(
            name: "http1_response_end_of_file",
            request: "GET / HTTP/1.1\r\nHost: web\r\n\r\n",
            response: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
            clientGets: "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end"),
        RelayCase(
            name: "chunked_response_with_trailers",
            request: "GET / HTTP/1.1\r\nHost: web\r\nTE: trailers\r\nConnection: close, te\r\n\r\n",
            response:
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
            backendGets: ["te: trailers\r\n"],
            clientGets:
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"
        ),
        RelayCase(
            name: "interim_responses_are_passed_on",
            request: "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
            response: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok,
            clientGets:
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        ),
        RelayCase(
            name: "interim_responses_are_not_for_http10", request: "GET / HTTP/1.0\r\nHost: web\r\n\r\n",
            response: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok,
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "a_200_to_an_upgrade_is_a_normal_response",
            request:
                "GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            response: ok, backendGets: ["pgrade: websocket\r\n"], backendDoesNotGet: ["smuggled"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        RelayCase(
            name: "path_is_normalized",
            request: "GET //a/./b/../c%41?q=//x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", response: ok,
            backendGets: ["GET /a/cA?q=//x HTTP/1.1\r\n"],
            clientGets: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
    ]

    @Test(arguments: cases)
    func relay(_ example: RelayCase) throws {
        let seen = Mutex("")
        let backend = TestBackend(answering: { [example] request in
            seen.withLock { $0 += request }
            return example.response
        })
        let proxy = try TestProxy(to: [backend.port])
        let got = proxy.exchange(example.request)
        #expect(got == example.clientGets)
        let request = seen.withLock { $0 }
        for part in example.backendGets { #expect(request.contains(part), "\(request)") }
        for part in example.backendDoesNotGet { #expect(!request.contains(part), "\(request)") }
    }

    @Test func keepAliveAndPipelining() throws {
        let backend = TestBackend(answering: { request in
            let path = request.split(separator: " ")[1]
            return "HTTP/1.1 200 OK\r\nContent-Length: \(path.utf8.count)\r\n\r\n\(path)"
        })
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        for number in 0..<50 {
            client.send("GET /\(number) HTTP/1.1\r\nHost: web\r\n\r\n")
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 OK"))
            #expect(client.receive(count: "/\(number)".utf8.count) == "/\(number)")
        }
        var burst = ""
        for number in 0..<200 { burst += "GET /p\(number) HTTP/1.1\r\nHost: web\r\n\r\n" }
        client.send(burst + "GET /last HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        let answers = client.receiveAll()
        var position = answers.startIndex
        for number in 0..<200 {
            guard let found = answers[position...].firstRange(of: "\r\n\r\n/p\(number)") else {
                Issue.record("no answer to request \(number), or not in order")
                return
            }
            position = found.upperBound
        }
        #expect(answers.hasSuffix("/last"))
        #expect(backend.connections == 1)
    }

    @Test func expectContinueGoesBothWays() throws {
        let backend = TestBackend { socket, _ in
            let head = socket.receive(until: "\r\n\r\n")
            guard head.contains("xpect: 100-continue") else { return }
            socket.send("HTTP/1.1 100 Continue\r\n\r\n")
            let body = socket.receive(count: 4)
            socket.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\(body)")
        }
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        client.send("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        client.send("body")
        #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 OK"))
        #expect(client.receive(count: 4) == "body")
    }

    @Test func http11Upgrades() throws {
        let backend = TestBackend { socket, _ in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ")
            let bytes = socket.receive(until: "!")
            socket.send("<\(bytes)>")
            // The client's end arrives as an end, and this end still can be sent.
            guard socket.receive().isEmpty else { return }
            socket.send("bye")
        }
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        client.send("GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        let head = client.receive(until: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        #expect(head.lowercased().contains("upgrade: websocket\r\n"))
        #expect(client.receive(count: 6) == "hello ")
        client.send("there!")
        #expect(client.receive(until: ">") == "<there!>")
        client.finishSending()
        #expect(client.receiveAll() == "bye")
        #expect(TestProxy.eventually { proxy.counter(.upstreamActive) == 0 && proxy.counter(.downstreamActive) == 0 })
    }

    @Test func connectIsRefused() throws {
        let proxy = try TestProxy(to: [1])
        let answer = proxy.exchange("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\n"))
        #expect(answer.contains("x-weft-reason: connect_rejected\r\n"))
    }

    /// A request that was malformed, or that an answer did not wait for, ends its connection: nothing behind it is read
    /// as a request (CVE-2025-4366).
    @Test(arguments: [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
    ])
    func malformedRequestsEndTheConnection(_ bytes: String) throws {
        let paths = Mutex<[String]>([])
        let backend = TestBackend(answering: { request in
            paths.withLock { $0.append(String(request.split(separator: " ")[1])) }
            return ok
        })
        let proxy = try TestProxy(to: [backend.port])
        let answer = proxy.exchange(bytes)
        #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"), "\(answer)")
        #expect(answer.contains("x-weft-reason: http1.codec_error\r\n"))
        #expect(!paths.withLock { $0.contains("/b") })
    }

    /// What follows a response that nobody asked for makes the connection useless (pingora 0.8).
    @Test func extraBytesEndTheBackendConnection() throws {
        let backend = TestBackend(answering: { _ in ok + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" })
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        for _ in 0..<3 {
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200"))
            #expect(client.receive(count: 2) == "ok")
        }
        #expect(TestProxy.eventually { backend.connections == 3 })
    }

    @Test func malformedResponsesAre502() throws {
        let backend = TestBackend(answering: { _ in
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
        })
        let proxy = try TestProxy(to: [backend.port])
        let answer = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
        #expect(answer.contains("x-weft-reason: upstream_protocol_error\r\n"))
        #expect(proxy.requests(status: 502).flags == .upstreamProtocolError)
    }

    /// A truncated response must not look complete.
    @Test func truncatedResponsesBreakTheConnection() throws {
        let backend = TestBackend { socket, _ in
            _ = readRequest(socket)
            socket.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        }
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        _ = client.receiveAll()
        #expect(TestProxy.eventually { proxy.requests(status: 200).flags.contains(.upstreamTermination) })
    }
}
