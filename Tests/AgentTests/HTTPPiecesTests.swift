import Foundation
import Glibc
import Testing

@testable import Agent

/// Responses that are made while they are sent.
@Suite struct HTTPPiecesTests {
    /// The body of a response in the chunked coding; nil if it is not one.
    private func unchunked(_ body: Substring.UTF8View) -> [UInt8]? {
        var rest = Array(body)[...]
        var whole: [UInt8] = []
        while let end = rest.firstIndex(of: 0x0d) {
            guard let size = Int(String(decoding: rest[rest.startIndex..<end], as: UTF8.self), radix: 16),
                rest.count >= end - rest.startIndex + 4 + size
            else { return nil }
            let start = end + 2
            whole += rest[start..<start + size]
            guard rest[start + size] == 0x0d, rest[start + size + 1] == 0x0a else { return nil }
            rest = rest[(start + size + 2)...]
            if size == 0 { return rest.isEmpty ? whole : nil }
        }
        return nil
    }

    private func split(_ response: String) -> (head: Substring, body: Substring.UTF8View) {
        guard let end = response.range(of: "\r\n\r\n") else { return (response[...], ""[...].utf8) }
        return (response[..<end.lowerBound], response[end.upperBound...].utf8)
    }

    private func exchange(_ request: String) throws -> (head: Substring, body: Substring.UTF8View) {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send(request)
        return split(client.receiveAll())
    }

    @Test func theyAreChunks() throws {
        let (head, body) = try exchange("GET /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(head.contains("transfer-encoding: chunked"))
        #expect(!head.contains("content-length"))
        #expect(unchunked(body) == Array(HTTPTestServer.pieces.joined()))
    }

    @Test func oldClientsGetThemUntilTheEndOfTheConnection() throws {
        let (head, body) = try exchange("GET /pieces HTTP/1.0\r\n\r\n")
        #expect(!head.contains("transfer-encoding"))
        #expect(Array(body) == Array(HTTPTestServer.pieces.joined()))
    }

    @Test func nothingIsMadeForHead() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send("HEAD /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(split(client.receiveAll()).body.isEmpty)
        #expect(server.counts.pieces == 0)
    }

    @Test func aBodyWithoutAnythingIsABody() throws {
        let (_, body) = try exchange("GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(unchunked(body) == [])
    }

    @Test func theConnectionGoesOnAfterThem() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let client = try RawClient(to: server.address)
        client.send(
            "GET /pieces HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n"
                + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        let all = client.receiveAll()
        #expect(all.hasSuffix("\r\n\r\nhello\n"))
        #expect(all.components(separatedBy: "HTTP/1.1 200 OK").count == 4)
    }

    /// They are made as the client takes them, and others are served meanwhile.
    @Test func aSlowReaderHasNoMoreMadeThanItTakes() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let slow = try RawClient(to: server.address, receiveBuffer: 4096)
        slow.send("GET /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        usleep(100_000)
        let other = try RawClient(to: server.address)
        other.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(other.receiveAll().hasSuffix("hello\n"))
        #expect(server.counts.pieces < HTTPTestServer.pieces.count)
        #expect(unchunked(split(slow.receiveAll()).body) == Array(HTTPTestServer.pieces.joined()))
        #expect(server.counts.pieces == HTTPTestServer.pieces.count)
    }

    @Test func aReaderThatGoesAwayEndsTheMaking() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        do {
            let client = try RawClient(to: server.address, receiveBuffer: 4096)
            client.send("GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = client.receive()
        }
        usleep(50_000)
        let made = server.counts.pieces
        usleep(50_000)
        #expect(server.counts.pieces == made)
        #expect(made < HTTPTestServer.pieces.count)
    }
}
