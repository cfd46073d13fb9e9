/// What the identifiers of the kernel plane stand for. The agent has one of the snapshot that is in force.
public protocol NameDirectory {
    /// Changes whenever an answer may have changed.
    var generation: UInt64 { get }

    func workload(_ id: UInt64) -> WorkloadLabels?
    func service(_ id: UInt64) -> ServiceLabels?
    /// `namespace/policy[rule]`.
    func rule(_ id: UInt64) -> String?
    /// A rule of HTTP requests, by `HTTPRule.identifier`: `HTTPRoute shop/web rule 0`.
    func route(_ id: UInt64) -> String?
    /// A route template of a service, by its number from 1 on: `GET /users/{id}`.
    func template(_ number: UInt8, of service: UInt64) -> String?
}

extension NameDirectory {
    /// The kernel's maps know nothing of rules of HTTP requests.
    public func route(_ id: UInt64) -> String? { nil }

    /// Nor what templates are called.
    public func template(_ number: UInt8, of service: UInt64) -> String? { nil }
}

/// A workload as Istio's metrics name it.
public struct WorkloadLabels: Sendable, Equatable {
    public var workload: String
    public var namespace: String
    /// SPIFFE id.
    public var principal: String
    /// The label `app`, and what follows from the labels for a canonical service (Istio's rules are the directory's
    /// business); nil is `unknown`.
    public var app: String?
    public var version: String?
    public var canonicalService: String?
    public var canonicalRevision: String?
    /// Whether it runs on this node.
    public var isLocal = false

    public init(
        workload: String, namespace: String, principal: String, app: String? = nil, version: String? = nil,
        canonicalService: String? = nil, canonicalRevision: String? = nil
    ) {
        self.workload = workload
        self.namespace = namespace
        self.principal = principal
        self.app = app
        self.version = version
        self.canonicalService = canonicalService
        self.canonicalRevision = canonicalRevision
    }

    /// With Istio's labels taken from the workload's own: the canonical service is that of
    /// `service.istio.io/canonical-name`, `app.kubernetes.io/name` or `app`, else the workload's name; the revision that of
    /// `service.istio.io/canonical-revision`, `app.kubernetes.io/version` or `version`, else `latest`.
    public init(workload: String, namespace: String, principal: String, labels: [String: String]) {
        self.init(
            workload: workload, namespace: namespace, principal: principal, app: labels["app"],
            version: labels["version"],
            canonicalService: labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"]
                ?? labels["app"] ?? workload,
            canonicalRevision: labels["service.istio.io/canonical-revision"] ?? labels["app.kubernetes.io/version"]
                ?? labels["version"] ?? "latest")
    }

    /// `namespace/workload`.
    public var fullName: String { "\(namespace)/\(workload)" }
}

/// A service port as the metrics name it.
public struct ServiceLabels: Sendable, Equatable {
    /// `name.namespace.svc.cluster.local`.
    public var host: String
    public var name: String
    public var namespace: String
    public var port: UInt16

    public init(host: String, name: String, namespace: String, port: UInt16) {
        self.host = host
        self.name = name
        self.namespace = namespace
        self.port = port
    }

    /// `namespace/name:port`.
    public var fullName: String { "\(namespace)/\(name):\(port)" }
}
