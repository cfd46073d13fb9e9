import CLinux
import Glibc
import Mesh
import Testing

@testable import Proxy

/// Peers that send anything but TLS, part of it, or TLS that was changed on its way.
@Suite struct TLSHostilePeerTests {
    let snapshot: TrustSnapshot

    init() throws {
        let root = try TestAuthority("root")
        snapshot = TrustSnapshot(
            [try root.issue(TestLeaf(webID)), try root.issue(TestLeaf(cartID))],
            ["cluster.local": TrustBundle(roots: [root.bytes])])
    }

    static let garbage: [(TLSFailure, [UInt8])] = [
        (.protocolVersion, Array("GET / HTTP/1.1\r\nHost: web\r\n\r\n".utf8)),
        (.protocolVersion, Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)),
        (.protocolVersion, [UInt8](repeating: 0xff, count: 70_000)),
        // An alert, application data and a change of cipher before any handshake.
        (.protocolError, [21, 3, 3, 0, 2, 2, 40]),
        (.protocolError, [23, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
        // Longer than a record may be; a message that is longer than any ClientHello.
        (.protocolError, [22, 3, 1, 0xff, 0xff] + [UInt8](repeating: 1, count: 70_000)),
        (.protocolError, [22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff] + [UInt8](repeating: 0, count: 16_380)),
        (.peerClosed, []),
        (.peerClosed, [22]),
        (.peerClosed, [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ]

    @Test(arguments: garbage.indices) func whatIsNoHandshakeIsRefused(index: Int) throws {
        let (failure, bytes) = Self.garbage[index]
        for role in [TLSRole.server, .client] {
            let (ours, theirs) = socketPair()
            let end = try TLSEnd(snapshot, identity: webID, role: role, descriptor: ours)
            end.step()
            _ = unsafe send(theirs, bytes, bytes.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
            shutdown(theirs, CInt(SHUT_WR))
            end.complete()
            close(theirs)
            let reason = try #require(end.failure)
            #expect(role == .client || reason == failure, "\(reason)")
            #expect(!end.isComplete)
        }
    }

    /// Carries a handshake between two ends, record by record, and lets a test change what is carried.
    private func carry(
        _ change: (_ record: inout [UInt8], _ isFromClient: Bool) -> Bool
    ) throws -> (client: TLSEnd, server: TLSEnd) {
        _ = signal(SIGPIPE, SIG_IGN)
        let (client, clientWire) = socketPair()
        let (server, serverWire) = socketPair()
        defer {
            close(clientWire)
            close(serverWire)
        }
        let ends = (
            client: try TLSEnd(snapshot, identity: webID, role: .client, descriptor: client),
            server: try TLSEnd(snapshot, identity: cartID, role: .server, descriptor: server)
        )
        for _ in 0..<6 {
            ends.client.step()
            ends.server.step()
            for (from, to, isFromClient) in [(clientWire, serverWire, true), (serverWire, clientWire, false)] {
                var bytes = [UInt8](repeating: 0, count: 65_536)
                let count = unsafe recv(from, &bytes, bytes.count, CInt(MSG_DONTWAIT))
                var rest = bytes.prefix(max(0, count))
                while rest.count >= 5 {
                    let start = rest.startIndex
                    let length = 5 + Int(rest[start + 3]) << 8 + Int(rest[start + 4])
                    var record = Array(rest.prefix(length))
                    rest = rest.dropFirst(length)
                    if change(&record, isFromClient) {
                        _ = unsafe send(to, record, record.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
                    } else {
                        shutdown(to, CInt(SHUT_WR))
                        rest = []
                    }
                }
            }
        }
        ends.client.step()
        ends.server.step()
        return ends
    }

    @Test func anUnchangedHandshakeIsCarried() throws {
        let ends = try carry { _, _ in true }
        #expect(ends.client.isComplete && ends.server.isComplete)
        #expect(ends.client.failure == nil && ends.server.failure == nil)
    }

    @Test func changedHandshakesFail() throws {
        var random = SystemRandomNumberGenerator()
        for round in 0..<300 {
            let target = Int.random(in: 0..<8, using: &random)
            var number = -1
            var changed: (kind: UInt8, position: Int)?
            let ends = try carry { record, _ in
                // Those that only pretend a change of cipher are thrown away by whoever gets them (RFC 8446 §5).
                if record[0] != 20 { number += 1 }
                guard number == target, changed == nil, record[0] != 20, record.count > 5 else { return true }
                let position = Int.random(in: 5..<record.count, using: &random)
                record[position] ^= UInt8.random(in: 1...255, using: &random)
                changed = (record[0], position)
                return true
            }
            let failed = ends.client.failure != nil || ends.server.failure != nil
            let stalled = !ends.client.isComplete || !ends.server.isComplete
            #expect(changed == nil || failed || stalled, "round \(round): \(String(describing: changed))")
        }
    }

    @Test func handshakesThatBreakOffFail() throws {
        for length in stride(from: 0, to: 1_600, by: 37) {
            for fromClient in [true, false] {
                var left = length
                let ends = try carry { record, isFromClient in
                    guard isFromClient == fromClient else { return true }
                    record = Array(record.prefix(left))
                    left -= record.count
                    return !record.isEmpty && left > 0
                }
                if left <= 0 {
                    let waiting = fromClient ? ends.server : ends.client
                    #expect(!waiting.isComplete || waiting.failure != nil, "after \(length) bytes")
                }
            }
        }
    }
}
