import CLinux
import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// What becomes of tunnels whose other end is silent, idle or does not take more.
@Suite(.serialized) struct TunnelTimingTests {
    private func quick() -> ProxyOptions {
        var options = ProxyOptions()
        options.tunnelTiming.pingInterval = 200
        options.tunnelTiming.pingTimeout = 1_500
        options.tunnelTiming.idleRelease = 1_000
        options.tunnelTiming.openTimeout = 2_000
        return options
    }

    private func echoes(_ socket: TestSocket) -> Bool {
        socket.send("x")
        return socket.receive(count: 1) == "x"
    }

    /// The client's certificate stays, and with it the client's session.
    private func trustServer(of pair: TunnelPair, hasCertificate: Bool) throws {
        var trust = TrustSnapshot()
        trust.bundles[TunnelPair.domain] = TrustBundle(roots: [unsafe pair.authority.bytes])
        if hasCertificate {
            trust.identities[TunnelPair.apiID] = try unsafe pair.authority.issue(TestLeaf(TunnelPair.apiID))
        }
        pair.server.publish(trust)
    }

    /// Whether the server has its certificate: without it, it resets connections at once.
    private func takesTunnels(_ pair: TunnelPair) -> Bool {
        var at = weft_endpoint(high: TunnelPair.address.high, low: TunnelPair.address.low, port: pair.tunnelPort)
        var isPending: CInt = 0
        let descriptor = unsafe weft_connect_stream(&at, WEFT_PATH_LOCAL, &isPending)
        defer { close(descriptor) }
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&polled, 1, 100) == 0
    }

    @Test func aPeerThatAnswersPingsKeepsItsTunnelAndOneThatDoesNotLosesIt() throws {
        let pair = try TunnelPair(clientOptions: quick())
        let relay = TunnelRelay(to: pair.tunnelPort)
        pair.publish(peer: relay.port)
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        #expect(echoes(socket))
        // Several intervals in which nothing but PINGs goes through.
        usleep(700_000)
        #expect(echoes(socket))
        #expect(TunnelPair.counter(pair.client, .tunnelKeepAliveTimeouts) == 0)

        relay.holdsAnswers.store(true, ordering: .relaxed)
        defer { relay.holdsAnswers.store(false, ordering: .relaxed) }
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelKeepAliveTimeouts) == 1 })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelSessionsActive) == 0 })
        // The application sees that the connection is broken, not that it has ended.
        var byte: UInt8 = 0
        #expect(unsafe recv(socket.descriptor, &byte, 1, 0) < 0)
        #expect(errno == ECONNRESET)
    }

    @Test func aTunnelWithoutStreamsIsClosedAfterAWhile() throws {
        let pair = try TunnelPair(clientOptions: quick())
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        #expect(echoes(socket))
        usleep(1_500_000)
        #expect(TunnelPair.counter(pair.client, .tunnelSessionsActive) == 1, "it carries a stream")
        socket.finishSending()
        #expect(socket.receiveAll().isEmpty)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelSessionsActive) == 0 })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelSessionsActive) == 0 })
        #expect(TunnelPair.counter(pair.client, .tunnelKeepAliveTimeouts) == 0)
        #expect(echoes(pair.connect(to: backend.port)), "the next stream gets a new one")
    }

    @Test func aPeerThatNeverFinishesTheHandshakeIsGivenUp() throws {
        let pair = try TunnelPair(clientOptions: quick())
        let relay = TunnelRelay(to: pair.tunnelPort)
        pair.publish(peer: relay.port)
        relay.holdsAnswers.store(true, ordering: .relaxed)
        defer { relay.holdsAnswers.store(false, ordering: .relaxed) }
        let backend = TunnelBackend.echo()
        #expect(!echoes(pair.connect(to: backend.port)))
        #expect(TunnelPair.counter(pair.client, .tunnelStreamsFailed) == 1)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelSessionsActive) == 0 })
    }

    @Test func aStreamThatIsNeverAnsweredIsGivenUpAlone() throws {
        var options = quick()
        options.tunnelTiming.pingInterval = 10_000
        let pair = try TunnelPair(clientOptions: options)
        let relay = TunnelRelay(to: pair.tunnelPort)
        pair.publish(peer: relay.port)
        let backend = TunnelBackend.echo()
        let first = pair.connect(to: backend.port)
        #expect(echoes(first))
        relay.holdsAnswers.store(true, ordering: .relaxed)
        #expect(!echoes(pair.connect(to: backend.port)))
        #expect(TunnelPair.counter(pair.client, .tunnelStreamsFailed) == 1)
        relay.holdsAnswers.store(false, ordering: .relaxed)
        #expect(echoes(first))
        #expect(TunnelPair.counter(pair.client, .tunnelSessionsActive) == 1)
    }

    /// A server that takes no further streams may meet a request that was on its way before its GOAWAY was seen: it refuses
    /// that unseen, and the client asks again in another session without the application noticing (RFC 9113 §8.7).
    @Test func aStreamThatTheServerRefusedUnseenIsAskedForAgain() throws {
        let pair = try TunnelPair()
        let relay = TunnelRelay(to: pair.tunnelPort)
        pair.publish(peer: relay.port)
        let backend = TunnelBackend.echo()
        let first = pair.connect(to: backend.port)
        #expect(echoes(first))

        relay.holdsAnswers.store(true, ordering: .relaxed)
        // Without its certificate the server retires the session, and keeps it for what it carries.
        try trustServer(of: pair, hasCertificate: false)
        #expect(TestProxy.eventually { !takesTunnels(pair) })
        let second = pair.connect(to: backend.port)
        second.send("again")
        // The refusal is on its way.
        usleep(200_000)
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsOpened) == 1)
        try trustServer(of: pair, hasCertificate: true)
        #expect(TestProxy.eventually { takesTunnels(pair) })
        relay.holdsAnswers.store(false, ordering: .relaxed)
        #expect(second.receive(count: 5) == "again")
        #expect(echoes(first))
        #expect(relay.connections.load(ordering: .relaxed) == 2)
        #expect(TunnelPair.counter(pair.client, .tunnelStreamsFailed) == 0)
        #expect(TunnelPair.counter(pair.server, .tunnelStreamsOpened) == 2)
    }
}
