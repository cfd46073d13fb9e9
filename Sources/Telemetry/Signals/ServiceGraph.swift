import WeftABI

/// Who has talked to whom in a window.
public struct ServiceGraph: Sendable {
    /// One end of an edge.
    public struct Node: Hashable, Sendable, Comparable {
        public enum Kind: String, Sendable {
            case workload
            /// A service of whose endpoints it is not known which one served, or that is no workload.
            case service
            /// Not in the mesh.
            case outside
        }

        public let kind: Kind
        /// Empty for what is outside.
        public let namespace: String
        /// Of a destination outside of the mesh the class of its address, such as `public`.
        public let name: String
        /// Whether it is a workload of this node.
        public let isLocal: Bool
        /// `workload/shop/web-1`, `service/shop/web`, `outside` or `outside/public`.
        public let id: String

        init(_ kind: Kind, _ name: ServiceName, isLocal: Bool = false) {
            self.kind = kind
            namespace = name.namespace
            self.name = name.name
            self.isLocal = isLocal
            id = "\(kind.rawValue)/\(name.namespace)/\(name.name)"
        }

        private init(outside name: String, id: String) {
            kind = .outside
            namespace = ""
            self.name = name
            isLocal = false
            self.id = id
        }

        /// Whoever is not known to the mesh.
        static let clients = Node(outside: "outside", id: "outside")

        /// By number of the kernel's enumeration.
        static let classes = (0..<UInt8(6)).map { number in
            let name = Terms.addressClass(number)
            return Node(outside: name, id: "outside/\(name)")
        }

        public static func == (a: Self, b: Self) -> Bool { a.id == b.id }
        public func hash(into hasher: inout Hasher) { hasher.combine(id) }
        public static func < (a: Self, b: Self) -> Bool { a.id < b.id }
    }

    public struct Edge: Sendable {
        public var from: Node
        public var to: Node
        /// nil for connections to a workload's own address, and out of the mesh.
        public var service: ServiceName?
        public var totals: SignalTotals
        /// Whether the connections are this edge's: those that the proxy carries are between the client and the agent, and
        /// belong to none of several workloads that have served their requests.
        public var hasConnections = true

        /// `mutual_tls` through tunnels between nodes, `kernel` within the node, else `none`.
        public var security: String {
            if totals.tunnelled > 0 && totals.plain == 0 { return Terms.mutualTLS }
            return from.isLocal && to.isLocal ? "kernel" : "none"
        }
    }

    /// The time that the numbers stand for.
    public var seconds: Double
    /// Sorted by their ends' ids and the service.
    public var edges: [Edge]

    /// What an edge is told apart by.
    struct Pair: Hashable {
        var from: Node
        var to: Node
        var service: ServiceName?

        init?(_ key: SignalKey, _ names: SignalNames) {
            from = names.workload(key.source)?.node ?? .clients
            let named = names.service(key.service)
            service = named?.name
            if key.isPassthrough {
                to = Node.classes[min(Int(key.addressClass), Node.classes.count - 1)]
            } else if let workload = names.workload(key.destination) {
                to = workload.node
            } else if let named {
                to = named.node
            } else {
                return nil
            }
        }
    }

    init(seconds: Double, _ totals: [Pair: SignalTotals]) {
        self.seconds = seconds
        var edges = totals.filter { $0.value.isWorthAnEdge }.map {
            Edge(from: $0.key.from, to: $0.key.to, service: $0.key.service, totals: $0.value)
        }
        Self.attributeCaptured(&edges)
        let order = edges.indices.sorted { a, b in
            (edges[a].from, edges[a].to, edges[a].service ?? .none)
                < (edges[b].from, edges[b].to, edges[b].service ?? .none)
        }
        self.edges = order.map { edges[$0] }
    }

    /// The connections that the proxy has captured go to the only workload that has served their requests.
    private static func attributeCaptured(_ edges: inout [Edge]) {
        struct Clients: Hashable {
            var from: Node
            var service: ServiceName
        }
        let proxy = Int(WEFT_LANE_PROXY.rawValue)
        var servers: [Clients: [Int]] = [:]
        for (index, edge) in edges.enumerated() where edge.to.kind == .workload {
            guard let service = edge.service, edge.totals.requestLanes[proxy] > 0 else { continue }
            servers[Clients(from: edge.from, service: service), default: []].append(index)
        }
        var gone: [Int] = []
        for index in edges.indices where edges[index].to.kind == .service {
            guard let service = edges[index].service, edges[index].totals.connectionLanes[proxy] > 0,
                let found = servers[Clients(from: edges[index].from, service: service)]
            else { continue }
            var rest = edges[index].totals
            if found.count == 1, let server = found.first, rest.requests == 0 {
                edges[server].totals.add(rest)
                gone.append(index)
                continue
            }
            for server in found { edges[server].hasConnections = false }
            rest.forgetCarried()
            edges[index].totals = rest
            if !rest.isWorthAnEdge { gone.append(index) }
        }
        for index in gone.reversed() { edges.remove(at: index) }
    }

    /// What each node has served, with the nodes that have served nothing; sorted.
    public var nodes: [(node: Node, totals: SignalTotals)] {
        var served: [Node: SignalTotals] = [:]
        for edge in edges {
            if served[edge.from] == nil { served[edge.from] = SignalTotals() }
            served[edge.to, default: SignalTotals()].add(edge.totals)
        }
        return served.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

extension ServiceName {
    fileprivate static let none = ServiceName(namespace: "", name: "")
}

extension SignalTotals {
    fileprivate var isWorthAnEdge: Bool {
        requests | opened | connectionsFailed | denied | noBackend | sentBytes | receivedBytes > 0 || open > 0
    }

    /// Leaves what became of connections that nobody has served.
    fileprivate mutating func forgetCarried() {
        opened = 0
        open = 0
        sentBytes = 0
        receivedBytes = 0
        retransmits = 0
        rttCount = 0
        windowLimited = 0
        rttSum = 0
        connectionLanes = InlineArray(repeating: 0)
        tunnelled = 0
        plain = 0
    }
}
