import CLinux

/// A connection to a backend.
struct Upstream: BitwiseCopyable {
    var descriptor: CInt
    /// The pool that it belongs to.
    var pool: UInt32
    /// `.max` while it is idle in the pool.
    var exchange = UInt32.max
    /// Its neighbours among the pool's idle connections, the one used last in front.
    var next = UInt32.max
    var previous = UInt32.max
    var input = Buffer()
    /// What could not be written of a request's head.
    var output = Buffer()
    var progress = HeadProgress()
    /// What it is bound to; nil: not asked for yet.
    var local: ClientAddress?
    var isConnecting: Bool
    /// The workload whose identity its tunnel shows: only requests of that one are sent on it. 0: it is no tunnel.
    var tunnelSource: UInt64 = 0
    var tunnelOutcome = TunnelOutcome.none
    var isReadable = false
    var isWritable = true
    var hasEnding = false
    /// A write has taken the error: what reads as an end is none.
    var wasReset = false
    var isIdle = false
    /// The client's connection that it is a leg of (see `DownstreamShortcut`), and which; `.max`: of none.
    var client = UInt32.max
    var leg: UInt8 = 0
    /// Of its socket; 0: not asked for yet.
    var cookie: UInt64 = 0
    /// Bytes received, modulo 2^32.
    var taken: UInt32 = 0
    /// The standby process has its socket too.
    var isHeld = false
    /// Responses that went straight over it, as far as the balancer knows of them.
    var straightResponses: UInt64 = 0
    /// In the circuit breaker of its pool's cluster.
    var isCounted = false
    var isQueued = false
    /// Requests that it has carried before.
    var served: UInt32 = 0

    init(descriptor: CInt, pool: UInt32, isConnecting: Bool) {
        self.descriptor = descriptor
        self.pool = pool
        self.isConnecting = isConnecting
    }
}

/// The connections of a worker to one endpoint of a cluster.
struct UpstreamPool: BitwiseCopyable {
    var endpoint: weft_endpoint
    /// `Cluster.Endpoint.identity`.
    var identity: UInt64
    /// In the current generation; -1: there is no such cluster any more.
    var cluster: Int
    /// The current generation does not have the endpoint: nothing is parked.
    var isRetired = false
    var firstIdle = UInt32.max
    var lastIdle = UInt32.max
    var idleCount: UInt32 = 0
    var openCount: UInt32 = 0

    init(endpoint: weft_endpoint, identity: UInt64, cluster: Int) {
        self.endpoint = endpoint
        self.identity = identity
        self.cluster = cluster
    }
}
