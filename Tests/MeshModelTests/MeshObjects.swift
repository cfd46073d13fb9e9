import Testing

@testable import Mesh

/// A mesh of a test's own, changed object by object.
struct TestMesh {
    var builder: MeshBuilder

    init(trustDomain: String = "cluster.local") {
        builder = MeshBuilder(options: MeshOptions(trustDomain: trustDomain, node: "node-a"))
    }

    init(_ objects: MeshObject...) {
        self.init()
        apply(objects)
    }

    var snapshot: MeshSnapshot { builder.snapshot }

    mutating func apply(_ objects: [MeshObject], removed: [ObjectKey] = []) {
        var change = MeshChange()
        change.removed = removed
        change.updated = objects.map { ($0, Mesh.SourceLocation(file: "mesh.yaml", line: 1)) }
        builder.apply(change, time: "2025-01-01T00:00:00Z")
    }

    func service(_ name: String, _ namespace: String = "shop") -> MeshService? {
        snapshot.services[ObjectName(namespace: namespace, name: name)]
    }

    func workload(_ name: String, _ namespace: String = "shop") throws -> MeshWorkload {
        try #require(snapshot.workloads[ObjectName(namespace: namespace, name: name)])
    }

    func issue(_ key: ObjectKey, _ type: Condition.Kind) -> Condition? { builder.statuses.status(of: key)?[type] }
}

extension MeshObject {
    static func of(
        _ kind: ResourceKind, _ name: String, _ resource: Resource, namespace: String = "shop", created: String? = nil
    ) -> MeshObject {
        let namespace = kind.isNamespaced ? namespace : ""
        return MeshObject(
            key: ObjectKey(kind, ObjectName(namespace: namespace, name: name)), apiVersion: kind.apiVersions[0],
            created: created, resource: resource)
    }

    static func service(
        _ name: String, _ address: IPAddress?, ports: [ServiceResource.Port],
        selector: [String: String] = ["app": "web"],
        namespace: String = "shop"
    ) -> MeshObject {
        var service = ServiceResource()
        service.addresses = address.map { [$0] } ?? []
        service.ports = ports
        service.selector = selector
        return of(.service, name, .service(service), namespace: namespace)
    }

    static func workload(
        _ name: String, _ addresses: [IPAddress], node: String = "", ports: [MeshWorkloadPort] = [],
        labels: [String: String] = ["app": "web"], takesTunnel: Bool = true, namespace: String = "shop"
    ) -> MeshObject {
        var workload = WorkloadResource()
        (workload.labels, workload.addresses, workload.ports) = (labels, addresses, ports)
        (workload.node, workload.takesTunnel) = (node, takesTunnel)
        return of(.workload, name, .workload(workload), namespace: namespace)
    }

    static func policy(
        _ name: String, _ rules: [AuthorizationPolicy.Rule] = [.aboutRequests],
        selector: [String: String] = ["app": "web"],
        targets: [String] = [], namespace: String = "shop"
    ) -> MeshObject {
        var policy = AuthorizationPolicy(
            name: ObjectName(namespace: namespace, name: name), selector: targets.isEmpty ? selector : [:], rules: rules
        )
        policy.targetServices = targets
        return of(
            .authorizationPolicy, name, .authorizationPolicy(AuthorizationPolicyResource(policy: policy)),
            namespace: namespace)
    }

    static func peerAuthentication(
        _ name: String, _ mode: MutualTLSMode?, selector: [String: String] = [:], ports: [UInt16: MutualTLSMode] = [:],
        namespace: String = "shop", created: String? = nil
    ) -> MeshObject {
        var resource = PeerAuthenticationResource()
        (resource.mode, resource.selector, resource.portModes) = (mode, selector, ports)
        return of(.peerAuthentication, name, .peerAuthentication(resource), namespace: namespace, created: created)
    }
}

extension AuthorizationPolicy.Rule {
    static let aboutRequests: Self = {
        var operation = AuthorizationPolicy.Operation()
        operation.methods = [.exact("GET")]
        return Self(operations: [operation])
    }()

    static let aboutConnections: Self = {
        var operation = AuthorizationPolicy.Operation()
        operation.ports = [8080]
        return Self(operations: [operation])
    }()
}

extension ServiceResource.Port {
    static func of(_ port: UInt16, to target: UInt16, _ application: ApplicationProtocol = .undeclared) -> Self {
        var result = Self(name: "p\(port)", port: port, target: .number(target))
        result.application = application
        return result
    }
}
