/// A Kubernetes `Service`.
/// Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
public struct ServiceResource: Sendable, Equatable {
    /// Cluster IPs, then external IPs; empty for a headless service.
    public var addresses: [IPAddress] = []
    public var ports: [Port] = []
    /// Labels of the workloads that serve it; empty selects none.
    public var selector: [String: String] = [:]
    /// `sessionAffinity: ClientIP`: seconds; nil for none.
    public var affinitySeconds: UInt32?
    /// The annotation `weft.dev/routes`.
    public var templates: [RouteTemplate] = []
    /// Endpoints count as ready whatever they say.
    public var publishesNotReady = false
    /// False when nothing of it can work, for example `type: ExternalName`.
    public var isUsable = true

    public init() {}

    public struct Port: Sendable, Equatable {
        /// Empty for the only port of a service.
        public var name: String
        public var port: UInt16
        public var transport: TransportProtocol
        public var target: TargetPort
        public var application = ApplicationProtocol.undeclared

        public init(name: String = "", port: UInt16, transport: TransportProtocol = .tcp, target: TargetPort? = nil) {
            self.name = name
            self.port = port
            self.transport = transport
            self.target = target ?? .number(port)
        }
    }

    /// The port of a selected workload: its number, or the name that the workload gives it.
    public enum TargetPort: Sendable, Equatable {
        case number(UInt16)
        case name(String)
    }
}

/// A Kubernetes `EndpointSlice`.
/// Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
public struct EndpointSliceResource: Sendable, Equatable {
    /// The label `kubernetes.io/service-name`; nil if it has none.
    public var service: String?
    public var ports: [Port] = []
    /// One entry for each address of each endpoint.
    public var endpoints: [Endpoint] = []
    /// The annotation `weft.dev/weight`: of every endpoint in the slice.
    public var weight: UInt16 = 1

    public init() {}

    public struct Port: Sendable, Equatable {
        /// Empty where unnamed; equal to the service port's.
        public var name: String
        /// nil: the service's target port.
        public var port: UInt16?
        public var transport: TransportProtocol

        public init(name: String = "", port: UInt16?, transport: TransportProtocol = .tcp) {
            self.name = name
            self.port = port
            self.transport = transport
        }
    }

    public struct Endpoint: Sendable, Equatable {
        public var address: IPAddress
        public var state: EndpointState

        public init(address: IPAddress, state: EndpointState = .ready) {
            self.address = address
            self.state = state
        }
    }
}

/// Whether an endpoint takes connections.
public enum EndpointState: Sendable, Equatable {
    case ready
    /// Terminating and still serving: keeps its open connections, gets no new one.
    case draining
    case notReady
}
