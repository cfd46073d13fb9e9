import CLinux

/// A connection to another agent, which carries streams: TCP, TLS and HTTP/2.
struct TunnelSession: ~Copyable {
    enum Phase: UInt8, BitwiseCopyable {
        /// TCP's handshake.
        case connecting
        /// TLS's.
        case securing
        case open
    }

    let descriptor: CInt
    let isServer: Bool
    var tls: TLSConnection
    var http: HTTP2Session
    var phase: Phase
    /// Of a server's: where it was accepted. `.max`: it is a client's.
    var listener = UInt32.max
    /// Of a client's: where it belongs. `.max`: it is a server's.
    var pool = UInt32.max
    /// The other end, and ours.
    var peer: ClientAddress
    var local: ClientAddress
    /// The SPIFFE id that it shows, and the one that the peer has proved, which has a number in the worker's `peers`.
    let identity: String
    var peerIdentity = ""
    var principal = PeerPrincipals.none
    /// Frames that were made and that the socket has not taken.
    var output = Buffer()
    /// Its streams: a list through `TunnelStream.next`.
    var firstStream = UInt32.max
    var streams = 0
    /// The next session of its pool.
    var nextOfPool = UInt32.max
    /// It takes no further streams, and ends with its last.
    var isRetired = false
    /// GOAWAY was sent or received with an error: it ends once that is out.
    var isEnding = false
    var isQueued = false
    /// The socket, or TLS, may have bytes to read; the socket takes bytes.
    var isReadable = false
    var isWritable = false
    /// When something was received last, a PING was sent that has not come back (0: none), and the last stream ended.
    var lastReceived: UInt64
    var pingSent: UInt64 = 0
    var idleSince: UInt64

    init(
        descriptor: CInt, isServer: Bool, tls: consuming TLSConnection, http: consuming HTTP2Session, identity: String,
        peer: ClientAddress, local: ClientAddress, tick: UInt64
    ) {
        self.descriptor = descriptor
        self.isServer = isServer
        self.tls = tls
        self.http = http
        self.identity = identity
        self.peer = peer
        self.local = local
        phase = isServer ? .securing : .connecting
        lastReceived = tick
        idleSince = tick
    }
}

/// The sessions of a worker from one identity to one agent.
struct TunnelPool {
    let identity: String
    /// Where the other agent takes tunnels.
    let endpoint: ClientAddress
    var firstSession = UInt32.max
    /// Attempts to connect that have failed since one succeeded, and when the next may begin.
    var failures: UInt32 = 0
    var retryAt: UInt64 = 0
}

struct TunnelPoolKey: Hashable {
    var identity: String
    var high: UInt64
    var low: UInt64
    var port: UInt16
}
