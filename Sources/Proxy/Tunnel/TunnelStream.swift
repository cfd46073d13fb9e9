/// A socket of this node and the stream of a session that carries its bytes. What is read from the socket is in the
/// stream's `HTTP2Source`, which has the same number.
struct TunnelStream: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable {
        /// A client's: the request is on its way, or its session is being made.
        case requested
        /// A server's: the application's connection is being made.
        case dialling
        /// Bytes go both ways.
        case open
        /// HTTP/2 is done with it: what is left are bytes for the socket.
        case draining
    }

    var descriptor: CInt
    var phase: Phase
    let isServer: Bool
    /// `.max`: it has ended, and this stream outlives it.
    var session: UInt32
    /// HTTP/2's number.
    var number: Int32 = 0
    /// The neighbours in its session.
    var next = UInt32.max
    var previous = UInt32.max
    var backlog = Backlog()
    var isWritable = false
    /// END_STREAM has come; it has been passed on to the socket.
    var hasRemoteEnded = false
    var isShutDown = false
    /// The engine has closed its end of the socket pair.
    var hasEngineLeft = false
    /// It was refused unseen once, and has been asked for again.
    var isRepeated = false
    /// An agent asks whether the workload takes connections, and nothing else.
    var isProbe = false
    /// The engine's end of the socket pair, if the other end of `descriptor` is the engine's.
    var owner = Owner.none
    /// Who is connected with whom: identifiers as in the kernel's maps, 0: unknown.
    var source: UInt64 = 0
    var service: UInt64 = 0
    var destination: UInt64 = 0
    /// What it leads to, and where the client is.
    var target: ClientAddress
    var client: ClientAddress
    /// Of a server's: the peer's number in the worker's `peers`.
    var peer = PeerPrincipals.none
    /// Bytes that came through the tunnel and were passed on.
    var delivered: UInt64 = 0
    /// Of a server's, for its record: what will be said of its end, errno of an application that cannot be reached, and
    /// the rule in force that has allowed it; -1: none.
    var event = TunnelFlow.Event.failed
    var error: CInt = 0
    var rule: Int32 = -1
    /// Where it counts, -1 for nowhere, and what has been counted of its bytes.
    var counters = -1
    var countedSent: UInt64 = 0
    var countedDelivered: UInt64 = 0
    /// Of a server's whose bytes are passed on: its place in the worker's `TunnelRequests`; and what came of it.
    var requests = TunnelRequests.none
    var summary = ConnectionRequests.Summary(firstClass: 0, count: 0)
    /// When it began, nanoseconds.
    var started: UInt64

    var isOfEngine: Bool {
        if case .none = owner { false } else { true }
    }

    /// It speaks HTTP/1.
    var isRead: Bool { requests < TunnelRequests.undecided }

    enum Owner: BitwiseCopyable {
        case none
        case downstream(UInt32, generation: UInt32)
        case upstream(UInt32, generation: UInt32)
        /// Another thread of the agent, which is told by one byte that the tunnel stands: see `TunnelDialer`.
        case caller
    }

    init(
        descriptor: CInt, phase: Phase, isServer: Bool, session: UInt32, target: ClientAddress, client: ClientAddress,
        started: UInt64
    ) {
        self.descriptor = descriptor
        self.phase = phase
        self.isServer = isServer
        self.session = session
        self.target = target
        self.client = client
        self.started = started
    }
}
