import Mesh

/// What a cluster is to the rest of the mesh.
public struct ClusterIdentity: Sendable, Equatable {
    /// The kernel's identifier of the service's port; 0: none.
    public var service: UInt64
    /// Of the endpoints' workloads, in the order of the endpoints; 0: unknown.
    public var workloads: [UInt64]
    /// Whether connections to them are tunnelled to their nodes, which decide what they receive; in the same order.
    public var tunnelled: [Bool] = []
    /// The cluster of `traffic.fallback`, by its place in `RouteTable.clusters`.
    public var fallback: Int?
}

/// The clusters that the rules of a snapshot lead to, each once.
struct ClusterTable {
    enum Place {
        case cluster(Int32)
        /// Why it leads nowhere.
        case invalid(String)
    }

    private let snapshot: MeshSnapshot
    private let identifiers: RouteIdentifiers
    private let localities: LocalityDistances
    private var places: [ClusterKey: Int] = [:]
    private(set) var configs: [ClusterConfig] = []
    private(set) var identities: [ClusterIdentity] = []

    init(_ snapshot: MeshSnapshot, _ identifiers: RouteIdentifiers) {
        self.snapshot = snapshot
        self.identifiers = identifiers
        localities = LocalityDistances(snapshot)
    }

    /// A service's own cluster.
    mutating func place(of service: MeshService, _ port: MeshServicePort) -> Int32 {
        add(service, port, subset: nil)
    }

    /// Of a backend, a mirror or a fallback: the endpoints of the service itself, whatever routes it has.
    mutating func place(of target: HTTPBackend.Target) -> Place {
        switch target {
        case .invalid(let problem): return .invalid(problem)
        case .service(let name, let number, let subsetName):
            guard let service = snapshot.services[name] else {
                return .invalid("there is no service \(name)")
            }
            guard let port = service.ports.first(where: { $0.port == number && $0.transport == .tcp })
            else {
                return .invalid("service \(name) has no TCP port \(number)")
            }
            guard let subsetName else { return .cluster(add(service, port, subset: nil)) }
            guard let subset = service.subsets.first(where: { $0.name == subsetName }) else {
                return .invalid("service \(name) has no subset \(subsetName)")
            }
            return .cluster(add(service, port, subset: subset))
        }
    }

    private mutating func add(_ service: MeshService, _ port: MeshServicePort, subset: HTTPSubset?)
        -> Int32
    {
        let key = ClusterKey(service: service.name, port: port.port, subset: subset?.name)
        if let known = places[key] { return Int32(known) }
        let endpoints = port.endpoints.filter { endpoint in
            guard let subset else { return true }
            guard let workload = endpoint.workload.flatMap({ snapshot.workloads[$0] }) else {
                return false
            }
            return subset.labels.allSatisfy { workload.labels[$0.key] == $0.value }
        }
        let servicePort = RouteIdentifiers.ServicePort(service: service.name, port: port.port)
        let place = configs.count
        configs.append(
            ClusterConfig(
                key: key, endpoints: endpoints,
                traffic: service.traffic(port: port.port, subset: subset?.name)))
        if configs[place].traffic.balancer.prefersLocality {
            configs[place].distances = endpoints.map { endpoint in
                localities.distance(to: endpoint.workload.flatMap { snapshot.workloads[$0] })
            }
        }
        identities.append(
            ClusterIdentity(
                service: identifiers.services[servicePort]?.first ?? 0,
                workloads: endpoints.map { endpoint in
                    endpoint.workload.flatMap { identifiers.workloads[$0] } ?? 0
                }, tunnelled: endpoints.map { $0.isTunnelled(in: snapshot) }))
        // Known before its fallback is looked up: two clusters may be each other's.
        places[key] = place
        if let fallback = configs[place].traffic.fallback,
            case .cluster(let other) = self.place(of: fallback)
        {
            identities[place].fallback = Int(other)
        }
        return Int32(place)
    }
}
