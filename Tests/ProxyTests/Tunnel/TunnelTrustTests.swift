import Glibc
import Mesh
import Testing

@testable import Proxy

/// Who may connect with whom, from the beginning and later.
@Suite(.serialized) struct TunnelTrustTests {
    private func echoes(_ pair: TunnelPair, _ port: UInt16) -> Bool {
        let socket = pair.connect(to: port)
        socket.send("x")
        return socket.receive(count: 1) == "x"
    }

    @Test func serversOfAnotherIdentityAreNotTalkedTo() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        pair.publish(client: { $0.workloads[TunnelPair.api]?.serviceAccount = "other" })
        #expect(!echoes(pair, backend.port))
        #expect(TunnelPair.failures(pair.client, .unexpectedIdentity) == 1)
    }

    @Test func workloadsWithoutACertificateReachNobody() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        try pair.trust({ $0.identities = [:] })
        #expect(!echoes(pair, backend.port))
        #expect(TunnelPair.failures(pair.client, .noOwnCertificate) == 1)
    }

    @Test func clientsOfAnotherAuthorityAreRefused() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let other = try TestAuthority("other")
        let certificate = try other.issue(TestLeaf(TunnelPair.webID))
        try pair.trust({ $0.identities[TunnelPair.webID] = certificate })
        #expect(!echoes(pair, backend.port))
        #expect(TestProxy.eventually { TunnelPair.failures(pair.server, .untrusted) == 1 })
        #expect(TestProxy.eventually { TunnelPair.failures(pair.client, .certificateRefused) == 1 })
    }

    /// A policy decides by the identity that the peer has proved.
    @Test func policiesDecideWhoMayConnect() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        func allow(_ principal: String) {
            pair.publish(server: { $0.policies = Self.allowing(principal) })
        }
        allow("cluster.local/ns/shop/sa/web")
        #expect(echoes(pair, backend.port))
        allow("cluster.local/ns/shop/sa/other")
        #expect(!echoes(pair, backend.port))
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsUnauthorized) == 1)
    }

    static func allowing(_ principal: String) -> [ObjectName: AuthorizationPolicy] {
        let name = ObjectName(namespace: "shop", name: "who")
        var source = AuthorizationPolicy.Source()
        source.principals = [.exact(principal)]
        return [name: AuthorizationPolicy(name: name, rules: [AuthorizationPolicy.Rule(sources: [source])])]
    }

    @Test func openStreamsEndWithinASecondOnceNoPolicyAllowsThem() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1) == "x")
        pair.publish(server: { $0.policies = Self.allowing("cluster.local/ns/shop/sa/other") })
        let started = MonotonicClock.now()
        var byte: UInt8 = 0
        #expect(unsafe recv(socket.descriptor, &byte, 1, 0) < 0)
        #expect(errno == ECONNRESET)
        #expect(MonotonicClock.now() - started < 1_000_000_000)
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsRevoked) == 1)
    }

    @Test func connectionsOfRevokedPeersEnd() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let certificate = try unsafe pair.authority.issue(TestLeaf(TunnelPair.webID))
        try pair.trust({ $0.identities[TunnelPair.webID] = certificate })
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1) == "x")
        let list = try unsafe pair.authority.revocationList([certificate])
        try pair.trust(
            { $0.identities[TunnelPair.webID] = certificate },
            server: { $0.bundles[TunnelPair.domain]?.revocations = [list] })
        var byte: UInt8 = 0
        #expect(unsafe recv(socket.descriptor, &byte, 1, 0) < 0)
        #expect(errno == ECONNRESET)
        #expect(TunnelPair.counter(pair.server, .tunnelSessionsRevoked) == 1)
        #expect(!echoes(pair, backend.port))
    }

    /// A root that is retired lets nobody in any more; who is in stays.
    @Test func retiredRootsEndNothingThatIsOpen() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let certificate = try unsafe pair.authority.issue(TestLeaf(TunnelPair.webID))
        try pair.trust({ $0.identities[TunnelPair.webID] = certificate })
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1) == "x")
        let other = try TestAuthority("other")
        try pair.trust(
            { $0.identities[TunnelPair.webID] = certificate },
            server: { $0.bundles[TunnelPair.domain] = TrustBundle(roots: [other.bytes]) })
        socket.send("y")
        #expect(socket.receive(count: 1) == "y")
        #expect(!echoes(pair, backend.port))
        #expect(TestProxy.eventually { TunnelPair.failures(pair.server, .untrusted) == 1 })
        socket.send("z")
        #expect(socket.receive(count: 1) == "z")
        #expect(TunnelPair.counter(pair.server, .tunnelSessionsRevoked) == 0)
    }

    /// New certificates are used for new connections; what is open goes on.
    @Test func rotationBreaksNothing() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        for _ in 0..<5 {
            socket.send("x")
            #expect(socket.receive(count: 1) == "x")
            try pair.trust()
            #expect(echoes(pair, backend.port))
        }
        #expect(TunnelPair.counter(pair.client, .tunnelHandshakes) >= 5)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelSessionsActive) <= 2 })
    }

    /// Only workloads of the node are reachable, and not the agent itself.
    @Test func peersGetWhereTheyMayOnly() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        #expect(echoes(pair, backend.port))
        #expect(!echoes(pair, pair.tunnelPort))
        #expect(!echoes(pair, 15_008))
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsMalformed) == 2)
        let nobody = TunnelPair.listen()
        close(nobody.descriptor)
        #expect(!echoes(pair, nobody.port))
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsUnavailable) == 1)
        pair.publish(server: { $0.workloads[TunnelPair.api]?.addresses = [IPAddress(v4: 127, 96, 0, 11)] })
        #expect(!echoes(pair, backend.port))
    }
}
