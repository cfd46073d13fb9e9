/// How tunnels behave in time, milliseconds. The first four are HBONE's.
public struct TunnelTiming: Sendable {
    /// Without a byte from the peer: a PING is sent.
    public var pingInterval: UInt64 = 10_000
    /// Without an answer to it: the connection is dead.
    public var pingTimeout: UInt64 = 20_000
    /// Without a stream, a client's connection is closed.
    public var idleRelease: UInt64 = 300_000
    /// For TCP, TLS and the answer to a request, each.
    public var openTimeout: UInt64 = 10_000
    /// After a failure to connect; doubled with each that follows, up to the longest.
    public var shortestBackoff: UInt64 = 20
    public var longestBackoff: UInt64 = 1_000
    /// For the last frames of a connection that is ended.
    public var endTimeout: UInt64 = 2_000

    public init() {}
}
