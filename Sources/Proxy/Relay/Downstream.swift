/// A client's connection.
struct Downstream: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable {
        /// Between requests, or in a request's head.
        case reading
        /// `exchange` says which.
        case exchanging
        /// The last response is being written out; the connection ends with it.
        case flushing
        /// Our end is closed; what the client still sends is thrown away, so that it can read the response.
        case lingering
    }

    var descriptor: CInt
    var phase = Phase.reading
    var listener: UInt32
    /// A request's head, its body behind it, and requests that came too early.
    var input = Buffer()
    /// What could not be written of a head or of a reply of our own.
    var output = Buffer()
    var progress = HeadProgress()
    var exchange = UInt32.max
    var peer: ClientAddress
    /// Where the client connected to.
    var local: ClientAddress
    /// What the kernel's maps call the service that it is for, and the workload that opened it; 0: unknown.
    var service: UInt64 = 0
    var source: UInt64 = 0
    /// Of the peer that has authenticated itself with a certificate: a number in the worker's `peers`.
    var principal = PeerPrincipals.none
    /// The workload that is taken for the peer's, in records; 0: `source`.
    var client: UInt64 = 0
    /// When the client called connect(); 0: not known.
    var startedAt: UInt64 = 0
    /// Its requests that have ended.
    var requests = ConnectionRequests.Summary(firstClass: 0, count: 0)
    /// It comes from outside of this node, to one of its workloads.
    var isInbound = false
    /// How the kernel's programs may decide about its requests.
    var shortcut = DownstreamShortcut()
    /// The stream that it is the engine's end of.
    var tunnel = TunnelReference.none
    /// The socket may have bytes to read.
    var isReadable = false
    var isWritable = true
    /// A FIN or an error is behind the bytes that can be read: a short read does not mean that there is no more.
    var hasEnding = false
    var hasFailed = false
    /// There is no client: what would be sent is thrown away.
    var isShadow = false
    /// The exchange that waits for what an authorizer answers to this one, and its generation in the slab; `.max`: none.
    var parent = UInt32.max
    var parentGeneration: UInt32 = 0
    /// What it has answered, and whether that is more than is read.
    var answer = Buffer()
    var hasExcess = false
    /// It is in the queue of the next turn.
    var isQueued = false
    /// When the first byte of the head arrived, nanoseconds.
    var headStarted: UInt64 = 0

    init(descriptor: CInt, listener: UInt32, peer: ClientAddress, local: ClientAddress) {
        self.descriptor = descriptor
        self.listener = listener
        self.peer = peer
        self.local = local
    }

    /// No byte of a request has come.
    var isBetweenRequests: Bool { input.end == input.start }
}
