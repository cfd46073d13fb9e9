/// Kubernetes' `NetworkPolicy`: which connections pods may take and open, whatever their requests are about. Policies
/// only allow; a workload that one of them selects for a direction is closed to everything else in that direction.
/// AuthorizationPolicies apply as well: both have to agree. A port by SCTP allows nothing.
/// Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
public struct NetworkPolicy: Sendable, Equatable {
    public var name: ObjectName
    /// Workloads of its namespace that it applies to.
    public var podSelector: LabelSelector
    /// nil: it says nothing of that direction. Empty: nothing is allowed.
    public var ingress: [Rule]?
    public var egress: [Rule]?

    public init(name: ObjectName, podSelector: LabelSelector, ingress: [Rule]? = nil, egress: [Rule]? = nil) {
        self.name = name
        self.podSelector = podSelector
        self.ingress = ingress
        self.egress = egress
    }

    /// Allows what comes from (goes to) any of the peers at any of the ports; an empty list stands for all.
    public struct Rule: Sendable, Equatable {
        public var peers: [Peer]
        public var ports: [Port]

        public init(peers: [Peer] = [], ports: [Port] = []) {
            self.peers = peers
            self.ports = ports
        }
    }

    public enum Peer: Sendable, Equatable {
        /// Workloads whose namespace and labels match; no namespace selector: of the policy's own namespace.
        case workloads(namespaces: LabelSelector?, pods: LabelSelector)
        case block(IPBlock, except: [IPBlock])
    }

    public struct Port: Sendable, Equatable {
        public var transport: TransportProtocol
        public var port: Number?
        /// The end of a range that begins at `port`, inclusive.
        public var endPort: UInt16?

        public enum Number: Sendable, Equatable {
            case number(UInt16)
            /// A port of the destination workload by its name.
            case name(String)
        }

        public init(transport: TransportProtocol, port: Number? = nil, endPort: UInt16? = nil) {
            self.transport = transport
            self.port = port
            self.endPort = endPort
        }
    }
}

/// Kubernetes' label selector; an empty one selects everything.
public struct LabelSelector: Sendable, Equatable, Hashable {
    public enum Requirement: Sendable, Equatable, Hashable {
        case `in`(key: String, values: [String])
        case notIn(key: String, values: [String])
        case exists(key: String)
        case doesNotExist(key: String)
    }

    public var labels: [String: String]
    public var requirements: [Requirement]

    public init(labels: [String: String] = [:], requirements: [Requirement] = []) {
        self.labels = labels
        self.requirements = requirements
    }

    public func matches(_ given: [String: String]) -> Bool {
        labels.allSatisfy { given[$0.key] == $0.value }
            && requirements.allSatisfy { requirement in
                switch requirement {
                case .in(let key, let values): given[key].map(values.contains) ?? false
                case .notIn(let key, let values): !(given[key].map(values.contains) ?? false)
                case .exists(let key): given[key] != nil
                case .doesNotExist(let key): given[key] == nil
                }
            }
    }
}
