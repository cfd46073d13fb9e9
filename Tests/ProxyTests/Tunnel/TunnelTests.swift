import Glibc
import Mesh
import Testing

@testable import Proxy

/// Bytes through two agents: client, tunnel, server.
@Suite(.serialized) struct TunnelTests {
    @Test func echoes() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("hello")
        #expect(socket.receive(count: 5) == "hello")
        socket.finishSending()
        #expect(socket.receiveAll().isEmpty)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelStreamsActive) == 0 })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelStreamsActive) == 0 })
        #expect(TunnelPair.counter(pair.client, .tunnelHandshakes) == 1)
        #expect(TunnelPair.counter(pair.server, .tunnelBytesReceived) == 5)
    }
}
