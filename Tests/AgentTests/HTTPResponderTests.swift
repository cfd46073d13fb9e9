import CLinux
import Glibc
import Testing

@testable import Agent

@Suite struct HTTPResponderTests {
    private func exchange(_ request: String, limits: HTTPResponder.Limits = .init()) throws -> String {
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send(request)
        return client.receiveAll()
    }

    private func status(_ response: String) -> Int { Int(response.split(separator: " ").dropFirst().first ?? "") ?? 0 }

    @Test func getsAreAnsweredWithTheirLength() throws {
        let response = try exchange("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(response.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(response.contains("content-length: 6\r\n"))
        #expect(response.contains("connection: close\r\n"))
        #expect(response.hasSuffix("\r\n\r\nhello\n"))
    }

    @Test func headHasTheLengthAndNoBody() throws {
        let response = try exchange("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(response.contains("content-length: 6\r\n"))
        #expect(response.hasSuffix("\r\n\r\n"))
    }

    @Test func queriesAreDecoded() throws {
        let response = try exchange("GET /ec%68o?a=1&b=%2F+x&c HTTP/1.0\r\n\r\n")
        #expect(response.hasSuffix("a=1|b=/ x|c=\n"))
    }

    @Test func absoluteTargetsAreServed() throws {
        #expect(status(try exchange("GET http://a.example/ HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")) == 200)
    }

    @Test func bodiesComeByTheirLength() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nab")
        usleep(20000)
        client.send("cde")
        #expect(client.receiveAll().hasSuffix("5 bytes\n"))
        #expect(server.counts.bodies == [Array("abcde".utf8)])
    }

    @Test func aBodyThatIsExpectedToBeAskedForIsAskedFor() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send(
            "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        client.send("abc")
        #expect(client.receiveAll().hasSuffix("3 bytes\n"))
    }

    @Test(arguments: [
        (404, "GET /nowhere HTTP/1.0\r\n\r\n"),
        (405, "POST / HTTP/1.0\r\n\r\n"),
        (405, "PUT / HTTP/1.0\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\n\r\n"),  // no Host
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: x\r\nA: b\u{1}c\r\n\r\n"),
        (400, "GET / HTTP/1.1\nHost: x\r\n\r\n"),
        (400, "GET /%zz HTTP/1.0\r\n\r\n"),
        (400, "GET /%00 HTTP/1.0\r\n\r\n"),
        (400, "GET /%ff%fe HTTP/1.0\r\n\r\n"),
        (400, "GET /% HTTP/1.0\r\n\r\n"),
        (400, "GET nowhere HTTP/1.0\r\n\r\n"),
        (400, "\u{16}\u{3}\u{1}\u{2}\r\n\r\n"),
        (400, "no request at all\r\n\r\n"),
        (400, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
        (400, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n"),
        (400, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
        (400, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (411, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (413, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"),
        (413, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        (417, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: more\r\n\r\n"),
        (505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
        (403, "POST /body HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n"),
    ])
    func requestsThatCannotBeServedAreRefused(expected: Int, request: String) throws {
        let response = try exchange(request)
        #expect(status(response) == expected, "\(response)")
        #expect(response.contains("connection: close\r\n"))
    }

    @Test func theMethodsOfAPathAreNamed() throws {
        #expect(try exchange("DELETE / HTTP/1.0\r\n\r\n").contains("allow: GET, HEAD\r\n"))
    }

    @Test func anOversizeHeadIsRefusedEvenWhileItIsStillBeingSent() throws {
        #expect(
            status(try exchange("GET / HTTP/1.1\r\nHost: x\r\nA: \(String(repeating: "a", count: 200_000))")) == 431)
    }

    @Test func tooManyFieldsAreRefused() throws {
        let fields = (0..<101).map { "a\($0): b\r\n" }.joined()
        #expect(status(try exchange("GET / HTTP/1.1\r\n\(fields)\r\n")) == 431)
    }

    @Test func garbageNeverStopsTheServer() throws {
        var limits = HTTPResponder.Limits()
        limits.headDeadline = .milliseconds(200)
        limits.lingerDeadline = .milliseconds(50)
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        var generator = SystemRandomNumberGenerator()
        let seeds = ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /body HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"]
        for round in 0..<300 {
            let client = try RawClient(to: server.address)
            var bytes: [UInt8]
            if round % 3 == 0 {
                bytes = (0..<Int.random(in: 0..<3000)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            } else {
                bytes = Array(seeds[round % 2].utf8)
                for _ in 0..<4 { bytes[Int.random(in: bytes.indices)] = UInt8.random(in: .min ... .max) }
                if round % 5 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count)) }
            }
            client.send(bytes)
            if round % 2 == 0 { client.finishSending() }
        }
        let client = try RawClient(to: server.address)
        client.send("GET / HTTP/1.0\r\n\r\n")
        #expect(client.receiveAll().hasSuffix("hello\n"))
    }

    @Test func aClientThatSendsItsHeadByteByByteIsEndedAtTheDeadline() throws {
        var limits = HTTPResponder.Limits()
        limits.headDeadline = .milliseconds(100)
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        let started = Reactor.now()
        var sent = 0
        while Reactor.now() - started < 300_000_000, client.send("G") {
            sent += 1
            usleep(20000)
            if sent >= 8 { break }
        }
        #expect(status(client.receiveAll()) == 408)
        #expect(Reactor.now() - started < 3_000_000_000)
    }

    @Test func aSilentClientIsEndedWithoutAWord() throws {
        var limits = HTTPResponder.Limits()
        limits.headDeadline = .milliseconds(50)
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        #expect(try RawClient(to: server.address).receiveAll() == "")
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        let count = 500
        client.send((0..<count).map { "GET /echo?n=\($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined())
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        // By bytes: CR LF is one Character.
        let numbers = client.receiveAll().utf8.split(separator: 0x0a).map { String($0) ?? "" }
            .filter { $0.hasPrefix("n=") }.map { $0.prefix { $0 != "H" } }
        let expected = (0..<count).map { "n=\($0)" }
        #expect(numbers.elementsEqual(expected[...]) { $0 == $1 })
    }

    @Test func pipelinedBigResponsesAreAllSent() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send(String(repeating: "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", count: 3))
        client.finishSending()
        #expect(client.receiveAll().utf8.filter { $0 == UInt8(ascii: "x") }.count >= 3 * HTTPTestServer.bigBody)
    }

    @Test func aClientThatOnlyFinishedSendingGetsItsAnswer() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT")
        client.finishSending()
        let response = client.receiveAll()
        #expect(response.components(of: "hello\n") == 2)
    }

    @Test func connectionsAreKeptAlive() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        for _ in 0..<3 {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(client.receive(until: "hello\n").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func anIdleConnectionEnds() throws {
        var limits = HTTPResponder.Limits()
        limits.idleDeadline = .milliseconds(50)
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(client.receiveAll().hasSuffix("hello\n"))
    }

    @Test func aReaderThatTakesNothingIsEndedAndOthersAreServedMeanwhile() throws {
        var limits = HTTPResponder.Limits()
        limits.writeDeadline = .milliseconds(300)
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        let stuck = try RawClient(to: server.address, receiveBuffer: 4096)
        stuck.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        let client = try RawClient(to: server.address)
        client.send("GET / HTTP/1.0\r\n\r\n")
        #expect(client.receiveAll().hasSuffix("hello\n"))
        usleep(600_000)
        // What was in flight arrives, the rest does not.
        #expect(stuck.receiveAll().utf8.count < HTTPTestServer.bigBody)
    }

    @Test func moreConnectionsThanAllowedAreTurnedAwayWith503() throws {
        var limits = HTTPResponder.Limits()
        limits.maxConnections = 4
        let server = try HTTPTestServer(limits: limits)
        defer { server.stop() }
        var held = try (0..<4).map { _ in try RawClient(to: server.address) }
        for client in held {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = client.receive(until: "hello\n")
        }
        let refused = try RawClient(to: server.address)
        refused.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        let response = refused.receiveAll()
        #expect(status(response) == 503)
        #expect(response.contains("retry-after: 1\r\n"))
        held.removeFirst()
        usleep(50000)
        let accepted = try RawClient(to: server.address)
        accepted.send("GET / HTTP/1.0\r\n\r\n")
        #expect(status(accepted.receiveAll()) == 200)
    }

    @Test func streamsArriveLineByLineAndEnd() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(client.receiveAll().hasSuffix("\r\n\r\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n"))
        #expect(server.counts.streamsClosed == 1)
    }

    @Test func aStreamLearnsThatItsReaderHasGone() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        do {
            let client = try RawClient(to: server.address)
            client.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = client.receive()
        }
        for _ in 0..<200 where server.counts.streamsClosed == 0 { usleep(5000) }
        #expect(server.counts.streamsClosed == 1)
    }

    @Test func aStreamsReaderThatLagsIsToldAndDropped() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in 0..<400 where server.counts.streamsClosed == 0 { usleep(5000) }
        #expect(server.counts.streamsClosed == 1)
        let lines = client.receiveAll().split(separator: "\n")
        #expect(lines.last?.hasPrefix(#"{"error":"the reader is too slow"#) == true)
    }

    @Test func streamsHaveNoBodyForHead() throws {
        let response = try exchange("HEAD /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(status(response) == 200)
        #expect(response.hasSuffix("\r\n\r\n"))
    }
}

extension String {
    /// How often `text` is in this.
    fileprivate func components(of text: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: text) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
