/// A `Service`, a `Gateway` or something else that a route names as its parent, as written.
/// Source: https://gateway-api.sigs.k8s.io/reference/spec/#parentreference
public struct ParentReference: Sendable, Equatable, Codable {
    public var group: String
    public var kind: String
    /// nil: the route's own.
    public var namespace: String?
    public var name: String
    /// For a Service: the name of its port.
    public var sectionName: String?
    public var port: UInt16?

    public init(
        group: String, kind: String, namespace: String? = nil, name: String, sectionName: String? = nil,
        port: UInt16? = nil
    ) {
        self.group = group
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.sectionName = sectionName
        self.port = port
    }

    /// The service that it names, seen from `namespace`; nil if it is something else.
    public func service(from namespace: String) -> ObjectName? {
        guard kind == "Service", group.isEmpty || group == "core" else { return nil }
        return ObjectName(namespace: self.namespace ?? namespace, name: name)
    }
}

/// The Gateway API's `HTTPRoute` in mesh form: its parents are services.
/// Source: https://gateway-api.sigs.k8s.io/reference/spec/#httproute, GEP-1426
public struct HTTPRouteResource: Sendable, Equatable {
    public var parents: [ParentReference] = []
    /// Whether the services that they name exist is not looked into here.
    public var rules: [HTTPRule] = []

    public init() {}

    /// The services that its rules name.
    var references: Set<ObjectName> { rules.reduce(into: []) { $0.formUnion($1.references) } }
}

/// Istio's `VirtualService`: its `http` part, for clients in the mesh.
/// Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/
///
/// Where an HTTPRoute has one of its hosts as parent, the HTTPRoute is in force for that service and the VirtualService
/// is not: its condition says so.
public struct VirtualServiceResource: Sendable, Equatable {
    public struct Rule: Sendable, Equatable {
        /// A destination without port has port 0: the only one of its service, or the one that the client connected to.
        public var rule: HTTPRule
        /// Of each match in turn: the port that the client connected to; nil: any.
        public var matchPorts: [UInt16?]

        public init(rule: HTTPRule, matchPorts: [UInt16?]) {
            self.rule = rule
            self.matchPorts = matchPorts
        }
    }

    /// Those of its hosts that can be services.
    public var hosts: [ObjectName] = []
    public var rules: [Rule] = []
    /// `exportTo: ["."]`: only for clients of its own namespace.
    public var isPrivate = false
    /// False when nothing of it can work, for example because it is for gateways only.
    public var isUsable = true

    public init() {}

    var references: Set<ObjectName> { rules.reduce(into: []) { $0.formUnion($1.rule.references) } }
}

extension HTTPRule {
    /// The services that its backends and mirrors name.
    var references: Set<ObjectName> {
        var names: Set<ObjectName> = []
        func add(_ target: HTTPBackend.Target) {
            if case .service(let name, _, _) = target { names.insert(name) }
        }
        for mirror in mirrors { add(mirror.target) }
        if case .forward(let backends) = action {
            for backend in backends {
                add(backend.target)
                for mirror in backend.mirrors { add(mirror.target) }
            }
        }
        return names
    }
}

/// The service that a host in Istio's APIs names.
public enum ServiceHost {
    /// `host` is short, namespace-qualified or fully qualified; nil when it cannot be a service of the cluster.
    public static func service(_ host: String, from namespace: String) -> ObjectName? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.allSatisfy({ !$0.isEmpty && $0 != "*" }) else { return nil }
        switch parts.count {
        case 1: return ObjectName(namespace: namespace, name: parts[0])
        case 2: return ObjectName(namespace: parts[1], name: parts[0])
        default:
            let domain = parts[2...].joined(separator: ".")
            guard domain == "svc" || domain == "svc.cluster.local" else { return nil }
            return ObjectName(namespace: parts[1], name: parts[0])
        }
    }
}
