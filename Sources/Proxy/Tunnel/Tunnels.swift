import CLinux
import Glibc

/// One worker's tunnels: HBONE connections to other agents and the streams in them.
struct Tunnels: ~Copyable {
    // In front of the port that nghttp2's callbacks work on: sessions are gone before it.
    var sessions: Slots<TunnelSession>
    var streams: Slab<TunnelStream>
    let port: HTTP2Port
    var chunks: BacklogChunks
    /// nil: no identity has been heard of yet.
    var contexts: TLSContexts?
    var material: TrustMaterial?
    var fields = HTTP2Fields()
    var table: TunnelTable?
    var pools: [TunnelPool] = []
    var poolPlaces: [TunnelPoolKey: UInt32] = [:]
    var freePools: [UInt32] = []
    /// Parts of the input for one socket, which one call sends.
    var gathered = SocketVector()
    var gatheredStream = UInt32.max
    var random: RandomBits
    var requests: TunnelRequests
    /// A socket has got a message small enough that an answer to it may come at once.
    var expectsAnswer = false

    /// Bytes of the largest such message.
    static let smallMessage = 4 << 10

    init(_ options: ProxyOptions) {
        sessions = Slots(capacity: options.tunnelsPerWorker)
        streams = Slab(capacity: options.connectionsPerWorker)
        port = HTTP2Port(sources: options.connectionsPerWorker)
        chunks = BacklogChunks(capacity: options.smallBuffersPerWorker + options.largeBuffersPerWorker)
        random = RandomBits(seed: UInt64.random(in: .min ... .max))
        requests = TunnelRequests(capacity: options.connectionsPerWorker)
    }
}
