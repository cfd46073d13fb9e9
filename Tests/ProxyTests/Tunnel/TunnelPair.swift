import CLinux
import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// Two agents' engines: `client`, whose node has the workload `web`, and `server`, whose node has `api` at 127.96.0.10.
/// Connections to the client's port are those that its kernel has turned to it, for whatever port of `api` the test says.
final class TunnelPair: Sendable {
    let client: ProxyEngine
    let server: ProxyEngine
    // Safe: it is used by the test's own thread only.
    nonisolated(unsafe) let authority: TestAuthority
    /// Of the client's engine.
    let port: UInt16
    let tunnelPort: UInt16
    private let target: Target

    final class Target: Sendable {
        let port = Atomic<UInt16>(0)
        /// 0: the tunnel's lane.
        let service = Atomic<UInt64>(0)
    }

    /// Where the server's tunnels lead now.
    var serverTunnels: TunnelTable? { tunnels.withLock { $0 } }
    private let tunnels = Mutex<TunnelTable?>(nil)

    static let address = IPAddress(v4: 127, 96, 0, 10)
    static let domain = "cluster.local"
    static let web = ObjectName(namespace: "shop", name: "web")
    static let api = ObjectName(namespace: "shop", name: "api")
    static let webID = "spiffe://cluster.local/ns/shop/sa/web"
    static let apiID = "spiffe://cluster.local/ns/shop/sa/api"
    static let identifiers = RouteIdentifiers(workloads: [web: 1, api: 2])

    init(clientOptions: ProxyOptions = ProxyOptions(), serverOptions: ProxyOptions = ProxyOptions()) throws {
        unsafe authority = try TestAuthority("mesh")
        let target = Target()
        self.target = target
        client = try ProxyEngine(options: clientOptions) { _ in
            let port = target.port.load(ordering: .relaxed)
            var origin = ConnectionOrigin(
                destination: ClientAddress(high: 0, low: 0xffff_7f60_000a, port: port), service: 0, source: 1)
            origin.service = target.service.load(ordering: .relaxed)
            origin.lane = origin.service == 0 ? .tunnel : .proxy
            return origin
        }
        server = try ProxyEngine(options: serverOptions)
        let tunnel = Self.listen()
        tunnelPort = tunnel.port
        let captured = listenAtLoopback()
        port = captured.port
        try client.start()
        try server.start()
        publish()
        try trust()
        _ = server.addListener([tunnel.descriptor], .tunnel)
        _ = client.addListener([captured.descriptor], .captured)
    }

    deinit {
        client.stop()
        server.stop()
    }

    static func snapshot(isServer: Bool) -> MeshSnapshot {
        let web = MeshWorkload(name: web, serviceAccount: "web", isLocal: !isServer)
        var api = MeshWorkload(name: api, serviceAccount: "api", addresses: [address], isLocal: isServer)
        api.takesTunnel = true
        return MeshSnapshot(trustDomain: domain, workloads: [Self.web: web, Self.api: api])
    }

    /// - Parameter port: where the client takes tunnels of `api` to be; nil: at the server's engine.
    func publish(
        peer port: UInt16? = nil, server change: (inout MeshSnapshot) -> Void = { _ in },
        client changeClient: (inout MeshSnapshot) -> Void = { _ in }
    ) {
        for (engine, isServer) in [(server, true), (client, false)] {
            var snapshot = Self.snapshot(isServer: isServer)
            if isServer { change(&snapshot) } else { changeClient(&snapshot) }
            engine.publish(
                RouteTable(snapshot, identifiers: Self.identifiers),
                AuthorizationTable(snapshot, identifiers: Self.identifiers))
            let table = TunnelTable(
                snapshot, identifiers: Self.identifiers, tunnelPort: isServer ? tunnelPort : port ?? tunnelPort,
                ownPorts: [15_008], previous: isServer ? serverTunnels : nil)
            if isServer { tunnels.withLock { $0 = table } }
            engine.publish(table)
        }
        // For the workers to take it in.
        usleep(20_000)
    }

    func trust(
        _ change: (inout TrustSnapshot) -> Void = { _ in },
        server changeServer: (inout TrustSnapshot) -> Void = { _ in }
    ) throws {
        for (engine, id) in [(client, Self.webID), (server, Self.apiID)] {
            var trust = TrustSnapshot()
            trust.bundles[Self.domain] = TrustBundle(roots: [unsafe authority.bytes])
            trust.identities[id] = try unsafe authority.issue(TestLeaf(id))
            if engine === client { change(&trust) } else { changeServer(&trust) }
            engine.publish(trust)
        }
        usleep(20_000)
    }

    /// What the kernel says of connections from now on.
    func lane(_ lane: ConnectionOrigin.Lane, service: UInt64) {
        target.service.store(lane == .proxy ? service : 0, ordering: .relaxed)
    }

    /// A connection of `web` to a port of `api`, which the kernel has turned to the agent.
    func connect(to port: UInt16) -> TestSocket {
        target.port.store(port, ordering: .relaxed)
        let socket = TestSocket(port: self.port)
        // The origin is asked for when the connection is taken.
        usleep(2_000)
        return socket
    }

    static func counter(_ engine: ProxyEngine, _ counter: ProxyCounter) -> UInt64 {
        engine.statistics.map { $0.value(counter) }.reduce(0, &+)
    }

    static func failures(_ engine: ProxyEngine, _ failure: TLSFailure) -> UInt64 {
        engine.statistics.flatMap(\.handshakeFailures).filter { $0.cause == failure.text }.map(\.count).reduce(0, &+)
    }

    static func violations(_ engine: ProxyEngine, _ violation: HTTP2Violation) -> UInt64 {
        engine.statistics.flatMap(\.peerViolations).filter { $0.cause == violation.text }.map(\.count).reduce(0, &+)
    }

    /// Listens at a port of `api`'s address.
    static func listen() -> (descriptor: CInt, port: UInt16) {
        var at = weft_endpoint(high: address.high, low: address.low, port: 0)
        let descriptor = unsafe weft_listen_stream(&at, 512)
        _ = unsafe weft_local_endpoint(descriptor, &at)
        return (descriptor, at.port)
    }
}

/// Not the pair's own `listen`.
private func listenAtLoopback() -> (descriptor: CInt, port: UInt16) { listen() }

/// A server of `api`: a thread for each connection, which does what `serve` says.
final class TunnelBackend: Sendable {
    let port: UInt16
    private let listener: CInt

    init(_ serve: @escaping @Sendable (TestSocket) -> Void) {
        let (listener, port) = TunnelPair.listen()
        self.listener = listener
        self.port = port
        _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK)
        startThread {
            while true {
                let descriptor = weft_accept(listener, 0)
                guard descriptor >= 0 else { return }
                startThread { serve(TestSocket(descriptor)) }
            }
        }
    }

    /// Sends back what it gets, and ends when the client does.
    static func echo() -> TunnelBackend {
        TunnelBackend { socket in
            while true {
                let bytes = socket.receive()
                guard !bytes.isEmpty else { return }
                socket.send(bytes)
            }
        }
    }

    deinit {
        _ = shutdown(listener, CInt(SHUT_RDWR))
        close(listener)
    }
}
