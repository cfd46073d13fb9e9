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

    init(_ options: ProxyOptions) {
        sessions = Slots(capacity: options.tunnelsPerWorker)
        streams = Slab(capacity: options.connectionsPerWorker)
        port = HTTP2Port(sources: options.connectionsPerWorker)
        chunks = BacklogChunks(capacity: options.smallBuffersPerWorker + options.largeBuffersPerWorker)
        random = RandomBits(seed: UInt64.random(in: .min ... .max))
        requests = TunnelRequests(capacity: options.connectionsPerWorker)
    }
}

/// How tunnels behave in time, milliseconds. The first four are HBONE's.
enum TunnelTiming {
    /// Without a byte from the peer: a PING is sent.
    static let pingInterval: UInt64 = 10_000
    /// Without an answer to it: the connection is dead.
    static let pingTimeout: UInt64 = 20_000
    /// Without a stream, a client's connection is closed.
    static let idleRelease: UInt64 = 300_000
    /// For TCP, TLS and the answer to a request, each.
    static let openTimeout: UInt64 = 10_000
    /// After a failure to connect; doubled with each that follows, up to the longest.
    static let shortestBackoff: UInt64 = 20
    static let longestBackoff: UInt64 = 1_000
    /// For the last frames of a connection that is ended.
    static let endTimeout: UInt64 = 2_000
}
