/// How the engine works; the defaults suit a node's agent. Times are in milliseconds.
public struct ProxyOptions: Sendable {
    /// Threads, each with an event loop of its own.
    public var workers = 1
    /// What the threads are called, with a number behind it.
    public var threadName = "proxy"
    /// Clients' connections of one worker; beyond it new ones are refused.
    public var connectionsPerWorker: UInt32 = 65_536
    /// Connections to other agents of one worker, in both directions; each carries many clients' connections.
    public var tunnelsPerWorker: UInt32 = 8_192
    public var tunnelTiming = TunnelTiming()
    /// What the kernel does of the records of tunnels.
    public var kernelTLS = KernelTLS.none
    /// Bytes in flight of one worker, in chunks of 8 KiB and of 64 KiB.
    public var smallBuffersPerWorker: UInt32 = 32_768
    public var largeBuffersPerWorker: UInt32 = 4_096
    /// How often a request that waits for an endpoint looks for one by itself, milliseconds: what this worker frees it is
    /// told at once.
    public var endpointPoll: UInt64 = 50
    /// From the first byte of a request's head to its last.
    public var headTimeout: UInt64 = 10_000
    /// Between two requests of a client's connection.
    public var keepAliveTimeout: UInt64 = 3_600_000
    /// Without a byte in either direction within a request (Envoy's stream_idle_timeout), and within a tunnel.
    public var streamIdleTimeout: UInt64 = 300_000
    public var connectTimeout: UInt64 = 5_000
    /// Idle connections to backends.
    public var upstreamIdleTimeout: UInt64 = 60_000
    public var idleUpstreamsPerEndpoint: UInt32 = 256
    /// For a client to read the last response of a connection that is closed with bytes unread.
    public var lingerTimeout: UInt64 = 2_000

    /// HTTP/1 in tunnels whose bytes are only passed on is read and counted.
    public var readsTunnels = true

    /// Requests without an `x-request-id` get one.
    public var generatesRequestIDs = true
    /// Which requests are traced; nil: whatever they say of traces is passed on as it is.
    public var tracing: TracingOptions?

    /// Where the quotas of days and months are kept; nil: they begin anew with every start.
    public var quotaPath: String?

    /// Refusals by a policy name it to the client (`x-weft-reason`); the access log names it in any case.
    public var namesPolicies = true

    public init() {}
}
