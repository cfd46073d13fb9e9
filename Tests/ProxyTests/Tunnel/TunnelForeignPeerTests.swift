import Testing

@testable import Proxy

/// Python's `h2` over `ssl` as the other agent: one that does as HBONE says, and one that does not.
@Suite(.serialized) struct TunnelForeignPeerTests {
    /// Runs `peer.py` as `web` and gives the lines that it prints.
    private func peer(_ pair: TunnelPair, _ arguments: String...) throws -> [String] {
        let files = try unsafe PeerFiles(TunnelPair.webID, of: pair.authority)
        let run = try PeerFiles.python(
            "peer.py", ["127.96.0.10:\(pair.tunnelPort)", files.path] + arguments)
        #expect(run.status == 0)
        return run.output.split(separator: "\n").map(String.init)
    }

    @Test func anotherImplementationTalksThroughTheTunnel() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        #expect(try peer(pair, "echo", "127.96.0.10:\(backend.port)") == ["status 200", "data hello"])
    }

    @Test func requestsThatLeadNowhereAreMalformed() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let port = backend.port
        let refused = [
            "127.96.0.11:\(port)", "127.96.0.10", "127.96.0.10:", "127.96.0.10:0", "127.96.0.10:070", "api:\(port)",
            "127.96.0.10:65536", "127.96.10:\(port)", "127.96.0.010:\(port)", "[::1]:\(port)", "127.96.0.10:15008",
            "[::ffff:127.96.0.11]:\(port)", "127.96.0.10:\(pair.tunnelPort)", "user@127.96.0.10:\(port)",
            "127.96.0.10:\(port) ", String(repeating: "1", count: 200),
        ]
        let lines = try peer(
            pair, "statuses", refused[0], refused[1], refused[2], refused[3], refused[4], refused[5], refused[6],
            refused[7], refused[8], refused[9], refused[10], refused[11], refused[12], refused[13], refused[15],
            "[::ffff:127.96.0.10]:\(port)", "127.96.0.10:\(port)")
        for (line, authority) in zip(lines, refused[..<14] + [refused[15]]) { #expect(line == "\(authority) 400") }
        // The mapped form is the same address.
        #expect(lines.suffix(2).allSatisfy { $0.hasSuffix(" 200") })
        #expect(lines.count == 17)
        #expect(try peer(pair, "get", "127.96.0.10:\(port)") == ["status 400"])
    }

    @Test(arguments: [("150", "10"), ("90", "1000")])
    func largeHeadersAreRefusedAndTheConnectionStays(_ count: String, _ size: String) throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        #expect(try peer(pair, "headers", "127.96.0.10:\(backend.port)", count, size) == ["status 431"])
    }

    @Test func peersThatTakeNothingGetNothing() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend { socket in
            socket.send([UInt8](repeating: 7, count: 900_000))
            socket.finishSending()
            _ = socket.receiveAll()
        }
        let lines = try peer(pair, "window", "127.96.0.10:\(backend.port)", "900000")
        #expect(lines == ["early 0", "data 900000"])
    }

    @Test(arguments: [
        ("alpn", TLSFailure.noALPN), ("none", .noALPN), ("old", .protocolVersion), ("bare", .noCertificate),
    ])
    func handshakesThatAreNotHBONEsAreRefused(_ kind: String, _ failure: TLSFailure) throws {
        let pair = try TunnelPair()
        #expect(try peer(pair, "handshake", kind) == ["refused"])
        #expect(TestProxy.eventually { TunnelPair.failures(pair.server, failure) == 1 })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelSessionsActive) == 0 })
    }

    @Test(arguments: [
        ("ping", HTTP2Violation.controlFrames), ("settings", .controlFrames),
        ("empty", .emptyFrames), ("priority", .priorities), ("window", .windowUpdates), ("reset", .resets),
        ("malformed", .resets), ("continuation", .protocolError),
    ])
    func floodsEndTheConnection(_ kind: String, _ violation: HTTP2Violation) throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        #expect(try peer(pair, "flood", kind, "127.96.0.10:\(backend.port)") == ["ended"])
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelSessionsActive) == 0 })
        #expect(TunnelPair.violations(pair.server, violation) == 1)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelStreamsActive) == 0 })
        // Whoever behaves is served as before.
        #expect(try peer(pair, "echo", "127.96.0.10:\(backend.port)") == ["status 200", "data hello"])
    }

    @Test func whatIsNotHTTP2IsRefused() throws {
        let pair = try TunnelPair()
        #expect(try peer(pair, "garbage") == ["ended"])
        #expect(TunnelPair.violations(pair.server, .protocolError) == 1)
    }
}
