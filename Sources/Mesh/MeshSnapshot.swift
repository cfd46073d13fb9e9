/// What the configuration means at one moment: an immutable value from which everything downstream is computed.
///
/// Collections are keyed by name and hold values whose arrays share storage between snapshots, so comparing an object
/// that did not change with its predecessor costs next to nothing.
public struct MeshSnapshot: Sendable, Equatable {
    /// Grows by one with every accepted configuration.
    public var generation: UInt64
    public var trustDomain: String
    /// This node's name: workloads of it are local.
    public var node: String
    public var services: [ObjectName: MeshService]
    public var workloads: [ObjectName: MeshWorkload]
    /// In no particular order; a policy's name is unique.
    public var policies: [ObjectName: AuthorizationPolicy]
    public var requestAuthentications: [ObjectName: RequestAuthentication] = [:]
    /// By name, as CUSTOM policies give it.
    public var authorizers: [String: ExternalAuthorizer] = [:]
    public var networkPolicies: [ObjectName: NetworkPolicy] = [:]
    /// Labels of namespaces, as far as they are configured.
    public var namespaceLabels: [String: [String: String]] = [:]

    /// The label that every namespace has: its name.
    public static let namespaceNameLabel = "kubernetes.io/metadata.name"

    /// The labels of a namespace: of one that is not configured, its name.
    public func labels(ofNamespace name: String) -> [String: String] {
        namespaceLabels[name] ?? [Self.namespaceNameLabel: name]
    }

    public init(
        generation: UInt64 = 0, trustDomain: String = "cluster.local", node: String = "",
        services: [ObjectName: MeshService] = [:], workloads: [ObjectName: MeshWorkload] = [:],
        policies: [ObjectName: AuthorizationPolicy] = [:]
    ) {
        self.generation = generation
        self.trustDomain = trustDomain
        self.node = node
        self.services = services
        self.workloads = workloads
        self.policies = policies
    }
}

/// Namespace and name of an object.
public struct ObjectName: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var namespace: String
    public var name: String

    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `namespace/name`.
    public var description: String { "\(namespace)/\(name)" }

    public static func < (a: Self, b: Self) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
}

extension ObjectName {
    private static let workloadPrefix = "Workload/"

    /// The name of the service that stands for a workload of this name at its first address, or at another one.
    func ofWorkloadService(address: IPAddress? = nil) -> ObjectName {
        ObjectName(namespace: namespace, name: Self.workloadPrefix + name + (address.map { "@\($0)" } ?? ""))
    }

    /// Of a service that nobody wrote, the workload for whose own address it stands: connections to a workload itself
    /// are captured by it where rules about requests apply to them. It has no name for clients, and no object.
    public var workloadOfService: ObjectName? {
        guard name.hasPrefix(Self.workloadPrefix) else { return nil }
        let workload = name.dropFirst(Self.workloadPrefix.count).prefix { $0 != "@" }
        return ObjectName(namespace: namespace, name: String(workload))
    }
}

/// A transport protocol that services can have.
public enum TransportProtocol: String, Sendable, Hashable, CaseIterable {
    case tcp = "TCP"
    case udp = "UDP"

    /// The number of the protocol in the IP header (IANA).
    public var number: UInt8 { self == .tcp ? 6 : 17 }
}

/// A service with its endpoints resolved.
public struct MeshService: Sendable, Equatable {
    /// Of the Service; `ServiceEntry/NAME` for that of a ServiceEntry; see `ObjectName.workloadOfService` for another kind.
    public var name: ObjectName
    /// Names by which clients look it up beside those that follow from `name` (ServiceEntry), in lower case; `*.` for a
    /// wildcard's first label. They stand for `addresses`, or for those of its endpoints where it has none.
    public var hosts: [String] = []
    /// The addresses that clients connect to (cluster IPs and external IPs); empty for a headless service.
    public var addresses: [IPAddress]
    public var ports: [MeshServicePort]
    public var balancing: Balancing
    /// For the connections that the proxy carries.
    public var traffic = HTTPTraffic()
    public var subsets: [HTTPSubset] = []
    public var failureMode = FailureMode.closed
    /// Kinds of requests that are counted apart, at most `RouteTemplate.limit`.
    public var templates: [RouteTemplate] = []

    public init(name: ObjectName, addresses: [IPAddress], ports: [MeshServicePort], balancing: Balancing) {
        self.name = name
        self.addresses = addresses
        self.ports = ports
        self.balancing = balancing
    }

    /// What holds for requests to that port and subset; of a subset that does not exist, the port's.
    public func traffic(port: UInt16, subset: String?) -> HTTPTraffic {
        if let subset = subsets.first(where: { $0.name == subset }) {
            return subset.portTraffic[port] ?? subset.traffic
        }
        return ports.first { $0.port == port && $0.transport == .tcp }?.traffic ?? traffic
    }
}

/// What is spoken at a port, as its service declares it.
public enum ApplicationProtocol: String, Sendable, Equatable {
    /// Nothing is declared: HTTP where a rule for requests applies to the port.
    case undeclared
    case http
    /// HTTP/2 without TLS, gRPC included.
    case http2
    /// TLS, whatever is in it.
    case tls
    /// Anything else: never read by the proxy.
    case opaque
}

public struct MeshServicePort: Sendable, Equatable {
    /// Empty for the only port of a service.
    public var name: String
    public var port: UInt16
    public var transport: TransportProtocol
    /// Sorted by address and port, so that equal sets are equal arrays.
    public var endpoints: [MeshEndpoint]
    public var application = ApplicationProtocol.undeclared
    /// In place of the service's; see `MeshService.traffic(port:subset:)`.
    public var traffic: HTTPTraffic?
    /// nil: no rule needs the proxy, and the kernel balances.
    public var http: HTTPRouting?
    /// Why the proxy is needed, for people: the objects whose rules need it. Empty exactly when `http` is nil.
    public var proxyReasons: [String] = []

    public init(name: String, port: UInt16, transport: TransportProtocol, endpoints: [MeshEndpoint]) {
        self.name = name
        self.port = port
        self.transport = transport
        self.endpoints = endpoints
    }
}

public struct MeshEndpoint: Sendable, Equatable, Hashable {
    public var address: IPAddress
    public var port: UInt16
    /// Relative; 1 unless configured. 0 takes no traffic.
    public var weight: UInt16
    /// Whether new connections are given to it; a draining endpoint keeps its open ones.
    public var isDraining: Bool
    /// The workload that listens there, where it is known.
    public var workload: ObjectName?

    public init(
        address: IPAddress, port: UInt16, weight: UInt16 = 1, isDraining: Bool = false, workload: ObjectName? = nil
    ) {
        self.address = address
        self.port = port
        self.weight = weight
        self.isDraining = isDraining
        self.workload = workload
    }
}

/// How a service chooses among its endpoints.
public struct Balancing: Sendable, Equatable {
    public enum Algorithm: String, Sendable, CaseIterable {
        case random, roundRobin, leastConnections, maglev
    }

    public var algorithm: Algorithm
    /// Session affinity by client: seconds since its last connection; nil for none.
    public var affinitySeconds: UInt32?

    public init(algorithm: Algorithm = .random, affinitySeconds: UInt32? = nil) {
        self.algorithm = algorithm
        self.affinitySeconds = affinitySeconds
    }
}

/// A workload: what has an identity and is subject to policies.
public struct MeshWorkload: Sendable, Equatable {
    public var name: ObjectName
    public var serviceAccount: String
    public var labels: [String: String]
    public var addresses: [IPAddress]
    /// Its own ports of these addresses; empty: every port that no other workload declares.
    public var ports: [MeshWorkloadPort]
    /// The ports to which it gives a name (those of a Pod's containers), whether or not others are its own too:
    /// NetworkPolicies can name them.
    public var namedPorts: [MeshWorkloadPort] = []
    /// The node it runs on; empty if unknown.
    public var node: String
    public var isLocal: Bool
    /// The cgroup of its processes, as a path below the cgroup v2 root; nil for a remote workload.
    public var cgroup: String?
    /// Its TCP ports at which connections that do not come through the mesh (from another node, or from a process of this
    /// one that is not in the mesh) are carried by this node's proxy, each with the service whose rules their requests
    /// meet. Connections that come through the mesh have met the rules at their client's end.
    public var inboundHTTP: [UInt16: ObjectName] = [:]
    /// Whether connections from outside of its node have to be mutually authenticated; by port where that differs.
    public var mutualTLS = MutualTLSMode.permissive
    public var portMutualTLS: [UInt16: MutualTLSMode] = [:]
    /// Whether an agent takes HBONE for it: connections to it from other nodes are tunnelled, unless its `mutualTLS` is
    /// `disable`.
    public var takesTunnel = false
    /// Whether it opted in to connections that go around the TCP stack, by itself or by its namespace's TrafficPolicy. Such
    /// connections have two local ends that both opted in, and each is certified.
    public var isAccelerated = false
    /// Its TCP ports at which requests are read for rules about requests (policies, tokens). Where such a rule applies to
    /// other ports, it is decided as for plain TCP, as in Istio: ALLOW never matches, DENY does.
    public var requestPorts: Set<UInt16> = []

    public init(
        name: ObjectName, serviceAccount: String, labels: [String: String] = [:], addresses: [IPAddress] = [],
        ports: [MeshWorkloadPort] = [], node: String = "", isLocal: Bool = true, cgroup: String? = nil
    ) {
        self.name = name
        self.serviceAccount = serviceAccount
        self.labels = labels
        self.addresses = addresses
        self.ports = ports
        self.node = node
        self.isLocal = isLocal
        self.cgroup = cgroup
    }

    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` (Istio's form of the SPIFFE id).
    public func spiffeID(trustDomain: String) -> String {
        "spiffe://\(principal(trustDomain: trustDomain))"
    }

    /// What holds at one of its ports.
    public func mutualTLS(port: UInt16) -> MutualTLSMode { portMutualTLS[port] ?? mutualTLS }

    /// What the principals of policies are compared with: the SPIFFE id without its scheme.
    public func principal(trustDomain: String) -> String {
        "\(trustDomain)/ns/\(name.namespace)/sa/\(serviceAccount)"
    }
}

public struct MeshWorkloadPort: Sendable, Equatable {
    public var name: String
    public var port: UInt16
    public var transport: TransportProtocol

    public init(name: String, port: UInt16, transport: TransportProtocol) {
        self.name = name
        self.port = port
        self.transport = transport
    }
}
