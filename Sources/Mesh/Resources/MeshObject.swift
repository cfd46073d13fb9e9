/// The kinds of objects that a configuration holds.
public enum ResourceKind: String, Sendable, Hashable, CaseIterable, Codable {
    case service = "Service"
    case endpointSlice = "EndpointSlice"
    case pod = "Pod"
    case namespace = "Namespace"
    case workload = "Workload"
    case trafficPolicy = "TrafficPolicy"
    case authorizationPolicy = "AuthorizationPolicy"
    case destinationRule = "DestinationRule"
    case httpRoute = "HTTPRoute"
    case virtualService = "VirtualService"
    case serviceEntry = "ServiceEntry"
    case peerAuthentication = "PeerAuthentication"
    case requestAuthentication = "RequestAuthentication"
    case extensionProvider = "ExtensionProvider"
    case networkPolicy = "NetworkPolicy"
    // Known, and not served yet: see `Resource.unserved`.
    case gatewayClass = "GatewayClass"
    case gateway = "Gateway"
    case grpcRoute = "GRPCRoute"
    case tcpRoute = "TCPRoute"
    case tlsRoute = "TLSRoute"
    case referenceGrant = "ReferenceGrant"
    case backendTLSPolicy = "BackendTLSPolicy"

    /// The apiVersions under which it is read; all have the same fields.
    public var apiVersions: [String] {
        switch self {
        case .service, .pod, .namespace: ["v1"]
        case .endpointSlice: ["discovery.k8s.io/v1"]
        case .workload, .trafficPolicy, .extensionProvider: ["weft.dev/v1alpha1"]
        case .authorizationPolicy, .peerAuthentication, .requestAuthentication:
            ["security.istio.io/v1", "security.istio.io/v1beta1"]
        case .networkPolicy: ["networking.k8s.io/v1"]
        case .httpRoute, .gateway, .gatewayClass:
            ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
        case .grpcRoute: ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]
        case .tcpRoute: ["gateway.networking.k8s.io/v1alpha2"]
        case .tlsRoute:
            [
                "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3",
                "gateway.networking.k8s.io/v1alpha2",
            ]
        case .referenceGrant:
            [
                "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1",
                "gateway.networking.k8s.io/v1alpha2",
            ]
        case .backendTLSPolicy: ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3"]
        case .destinationRule, .virtualService, .serviceEntry:
            ["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"]
        }
    }

    /// Whether its objects live in namespaces.
    public var isNamespaced: Bool { self != .namespace && self != .extensionProvider && self != .gatewayClass }
}

/// What an object is found by: no two objects of a configuration have the same.
public struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var kind: ResourceKind
    /// The namespace is empty for cluster-scoped kinds.
    public var name: ObjectName

    public init(_ kind: ResourceKind, _ name: ObjectName) {
        self.kind = kind
        self.name = name
    }

    /// `Kind namespace/name`, or `Kind name` for a cluster-scoped object.
    public var description: String {
        name.namespace.isEmpty ? "\(kind.rawValue) \(name.name)" : "\(kind.rawValue) \(name)"
    }

    public static func < (a: Self, b: Self) -> Bool { (a.kind.rawValue, a.name) < (b.kind.rawValue, b.name) }
}

/// One object of the configuration, as parsed: only what Weft reads of it.
public struct MeshObject: Sendable, Equatable {
    public var key: ObjectKey
    public var apiVersion: String
    /// `metadata.generation`; 0 where the writer gave none.
    public var generation: Int64
    /// `metadata.creationTimestamp` (RFC 3339, UTC): the older of two conflicting objects wins.
    public var created: String?
    public var resource: Resource
    /// What could be said about it from its own text alone.
    public var issues: [ConditionIssue]

    public init(
        key: ObjectKey, apiVersion: String, generation: Int64 = 0, created: String? = nil, resource: Resource,
        issues: [ConditionIssue] = []
    ) {
        self.key = key
        self.apiVersion = apiVersion
        self.generation = generation
        self.created = created
        self.resource = resource
        self.issues = issues
    }
}

/// Where an object is written.
public struct SourceLocation: Sendable, Equatable, CustomStringConvertible {
    /// Relative to the configuration directory.
    public var file: String
    /// Counted from 1.
    public var line: Int

    public init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    public var description: String { "\(file):\(line)" }
}

/// The kind-specific part of an object.
public enum Resource: Sendable, Equatable {
    case service(ServiceResource)
    case endpointSlice(EndpointSliceResource)
    case pod(PodResource)
    /// Its labels.
    case namespace([String: String])
    case workload(WorkloadResource)
    case trafficPolicy(TrafficPolicyResource)
    case authorizationPolicy(AuthorizationPolicyResource)
    case destinationRule(DestinationRuleResource)
    case httpRoute(HTTPRouteResource)
    case virtualService(VirtualServiceResource)
    case serviceEntry(ServiceEntryResource)
    case peerAuthentication(PeerAuthenticationResource)
    case requestAuthentication(RequestAuthenticationResource)
    case extensionProvider(ExternalAuthorizer)
    case networkPolicy(NetworkPolicy)
    /// Of a kind that has no effect yet, which its condition says.
    case unserved
}
