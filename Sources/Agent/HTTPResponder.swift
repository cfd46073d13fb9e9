import CLinux
import Glibc

/// A small HTTP/1.1 server on the reactor for the agent's own surface: the admin API, metrics and readiness.
///
/// It reads requests whole (bounded), asks `routes` and writes the answer without ever blocking the reactor.
public final class HTTPResponder {
    /// Bounds that no client can exceed.
    public struct Limits: Sendable {
        /// Bytes of a head: the request line and all header fields.
        public var maxHead = 8192
        /// Bytes of a body.
        public var maxBody = 65536
        /// Connections of one listener at the same time; more are answered with 503.
        public var maxConnections = 64
        /// Bytes that a stream's reader may lag behind.
        public var maxStreamLag = 1 << 20
        /// Bytes that are read and dropped after a refusal.
        public var maxLinger = 1 << 18
        /// From the first byte of a head, or from the connection, to its end.
        public var headDeadline = Duration.seconds(5)
        public var bodyDeadline = Duration.seconds(30)
        /// Between two requests.
        public var idleDeadline = Duration.seconds(30)
        /// Without any byte taken by the client.
        public var writeDeadline = Duration.seconds(30)
        public var lingerDeadline = Duration.seconds(2)

        public init() {}
    }

    let reactor: Reactor
    let limits: Limits
    let checksHosts: Bool
    let routes: (HTTPRequest) -> HTTPResponse
    private var listeners: [HTTPListener] = []

    /// - Parameters:
    ///   - checksHosts: answers on IP addresses only to the names and addresses of this machine in the Host header, with 421
    ///     to all others: what a browser may be made to ask for by a foreign page wants this.
    ///   - routes: called on the reactor's thread for every complete request; it must not block.
    public init(
        reactor: Reactor, limits: Limits = Limits(), checksHosts: Bool = false,
        routes: @escaping (HTTPRequest) -> HTTPResponse
    ) {
        self.reactor = reactor
        self.limits = limits
        self.checksHosts = checksHosts
        self.routes = routes
    }

    /// Listens on `address` and returns the address with the port that the kernel chose if it was 0.
    ///
    /// A Unix socket is for its owner alone (0600); one that an ended process left behind is replaced, one that
    /// somebody listens on is an error.
    @discardableResult
    public func listen(on address: HTTPListenAddress) throws(SystemError) -> HTTPListenAddress {
        let listener = try HTTPListener(address: address, responder: self)
        listeners.append(listener)
        return listener.address
    }

    /// Connections that are open now.
    public var connectionCount: Int { listeners.reduce(0) { $0 + $1.connectionCount } }

    /// Ends every connection and listener.
    public func close() {
        for listener in listeners { listener.close() }
        listeners = []
    }
}
