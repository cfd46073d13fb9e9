public import Mesh

/// What tunnels need of the configuration: whose certificate a connection is made with, where it goes, what a peer may
/// reach here. An immutable value that workers share; made from a snapshot with `init(_:identifiers:ports:backend:)`.
public final class TunnelTable: Sendable {
    /// An address, with a port or 0 for all that are not named.
    struct Place: Hashable, Sendable, BitwiseCopyable {
        var high: UInt64
        var low: UInt64
        var port: UInt16

        init(_ address: IPAddress, _ port: UInt16 = 0) {
            high = address.high
            low = address.low
            self.port = port
        }

        init(_ address: ClientAddress, port: UInt16) {
            high = address.high.bigEndian
            low = address.low.bigEndian
            self.port = port
        }
    }

    /// A backend of a service, which a connection that the kernel balances is for.
    struct Backend: Sendable {
        var address: ClientAddress
        /// Its identifier in the kernel's maps.
        var service: UInt64
    }

    /// A service of which a connection may be.
    struct Service: Sendable {
        var host: [UInt8]
        /// Its identifier in the kernel's maps.
        var identifier: UInt64
    }

    /// A workload of this node at one of its ports.
    struct Inbound: Sendable, BitwiseCopyable {
        var workload: UInt64
        /// The service whose rules its requests meet; 0: they are not read.
        var service: UInt64 = 0
    }

    /// A workload that may be a peer's.
    struct Client: Sendable {
        var workload: UInt64
        /// Empty: it has none that are known.
        var addresses: Set<Place>
    }

    /// Stands for the agent itself where a workload is named that connects to others: no identifier of a workload.
    static let agent = UInt64.max

    /// The identities of this node's workloads, by their identifiers, and the agent's.
    let sources: [UInt64: String]
    let addresses: [UInt64: [IPAddress]]
    /// Baggage of those, as HBONE's header has it.
    let baggage: [UInt64: [UInt8]]
    let backends: [UInt64: Backend]
    /// Identities at an address of another node, in order; a connection may meet any of them.
    let remotes: [Place: [String]]
    /// Ports that the tunnel is not used for, where it is for others, and the other way round.
    let exceptions: [Place: Bool]
    /// Host names, by the service's identifier.
    let hosts: [UInt64: [UInt8]]
    /// Services that lead to an address and port of this node, with the names that peers know them by.
    let services: [Place: [Service]]
    /// The identity that is shown to a peer which has connected to an address.
    let servers: [Place: String]
    let inbound: [Place: Inbound]
    let templates: RouteTemplateTable
    let ingress: TunnelIngress
    /// Those of the other nodes, by their identities.
    let clients: [String: [Client]]
    /// Where peers take tunnels, and the ports of this agent, to which no tunnel leads.
    public let tunnelPort: UInt16
    let ownPorts: Set<UInt16>

    /// - Parameters:
    ///   - identifiers: how the kernel names services and workloads.
    ///   - tunnelPort: of the agents, 15008 in HBONE.
    ///   - ownPorts: of this agent. Tunnels to them are refused, since they would lead in a circle.
    ///   - previous: the one before, whose counters go on.
    ///   - backend: the kernel's identifier of a service's endpoint.
    public init(
        _ snapshot: MeshSnapshot, identifiers: RouteIdentifiers, tunnelPort: UInt16 = 15_008,
        ownPorts: Set<UInt16> = TunnelTable.standardPorts, previous: TunnelTable? = nil,
        backend: (_ service: UInt64, _ address: IPAddress, _ port: UInt16) -> UInt64 = { _, _, _ in 0 }
    ) {
        let builder = TunnelTableBuilder(snapshot, identifiers)
        self.tunnelPort = tunnelPort
        self.ownPorts = ownPorts.union([tunnelPort])
        sources = builder.sources()
        addresses = builder.addresses()
        baggage = builder.baggage()
        (remotes, exceptions) = builder.remotes()
        hosts = builder.hosts()
        services = builder.services()
        templates = RouteTemplateTable(snapshot, identifiers)
        servers = builder.servers()
        inbound = builder.inbound()
        ingress = TunnelIngress(snapshot, identifiers, previous: previous?.ingress)
        clients = builder.clients()
        backends = builder.backends(backend)
    }

    /// How often NetworkPolicies have refused what came in through tunnels.
    public var networkDenials: [(key: PolicyCounts.Key, count: UInt64)] { ingress.denials.readings }

    /// Ports of Istio's node agent and of Weft's.
    public static let standardPorts: Set<UInt16> = [
        15_000, 15_001, 15_006, 15_008, 15_020, 15_021, 15_053, 15_080,
    ]

    /// Whether connections to an address and port go through the tunnel.
    func isTunnelled(_ address: ClientAddress) -> Bool {
        if let exception = exceptions[Place(address, port: address.port)] { return exception }
        if let all = exceptions[Place(address, port: 0)] { return all }
        return remotes[Place(address, port: 0)] != nil
    }

    /// What is at an address and port of this node.
    func inbound(at address: ClientAddress) -> Inbound? {
        inbound[Place(address, port: address.port)] ?? inbound[Place(address, port: 0)]
    }

    /// The service that a peer says it has connected to, if that leads to this address; 0: none. This is for records,
    /// nothing is decided by it.
    func service(_ forwarded: HTTP2Text, at address: ClientAddress) -> UInt64 {
        guard let services = services[Place(address, port: address.port)] else { return 0 }
        return services.first { TunnelAddress.isHost(forwarded, $0.host) }?.identifier ?? 0
    }

    /// Where a connection of one of this node's workloads comes from: what the kernel has turned to the agent comes from a
    /// loopback address.
    func clientAddress(_ client: ClientAddress, of source: UInt64, to target: ClientAddress) -> ClientAddress {
        guard client.isLoopback, !target.isLoopback,
            let known = addresses[source]?.first(where: { $0.isIPv4 == target.isIPv4 })
        else { return client }
        return ClientAddress(address: known, port: client.port)
    }

    /// Which workload a peer's connection comes from: that of its identity at its address; 0: none that is known. This is
    /// for records, nothing is decided by it.
    func client(_ identity: String, at address: ClientAddress) -> UInt64 {
        guard let clients = clients[identity] else { return 0 }
        let place = Place(address, port: 0)
        let there = clients.filter { $0.addresses.contains(place) }
        if there.count == 1 { return there[0].workload }
        return there.isEmpty && clients.count == 1 && clients[0].addresses.isEmpty ? clients[0].workload : 0
    }

    func server(at address: ClientAddress) -> String? { servers[Place(address, port: 0)] }
    func expected(at address: ClientAddress) -> [String]? { remotes[Place(address, port: 0)] }
}
