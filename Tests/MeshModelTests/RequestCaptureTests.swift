import Testing

@testable import Mesh

@Suite("Rules about requests")
struct RequestCaptureTests {
    private let frontend = IPAddress(v4: 10, 96, 0, 1)
    private let first = IPAddress(v4: 10, 0, 0, 1)
    private let second = IPAddress(v4: 10, 0, 0, 2)
    private let web = ObjectName(namespace: "shop", name: "Workload/web")
    private var service: MeshObject { .service("web", frontend, ports: [.of(80, to: 8080)]) }

    @Test("let connections to services and to workloads themselves go through the proxy")
    func capture() throws {
        let mesh = TestMesh(service, .workload("web", [first]), .policy("get"))
        let port = try #require(mesh.service("web")?.ports.first)
        #expect(port.proxyReasons == ["AuthorizationPolicy shop/get"])
        let itself = HTTPBackend(
            target: .service(ObjectName(namespace: "shop", name: "web"), port: 80, subset: nil))
        #expect(port.http?.rules.map(\.action) == [.forward([itself])])

        let own = try #require(mesh.snapshot.services[web])
        #expect(own.addresses == [first])
        #expect(own.ports.map(\.port) == [8080])
        #expect(own.ports.first?.proxyReasons == ["AuthorizationPolicy shop/get"])
        #expect(
            own.ports.first?.endpoints == [
                MeshEndpoint(address: first, port: 8080, workload: ObjectName(namespace: "shop", name: "web"))
            ])
        #expect(own.ports.first?.http?.rules.first?.title == "Workload shop/web rule 0")
        #expect(web.workloadOfService == ObjectName(namespace: "shop", name: "web"))
        let workload = try mesh.workload("web")
        #expect(workload.requestPorts == [8080])
        #expect(workload.inboundHTTP == [8080: web])
        #expect(mesh.builder.statuses.statuses.map(\.kind) == ["AuthorizationPolicy", "Service", "Workload"])
    }

    @Test("leave everything as it is where they speak of connections only, or of somebody else")
    func others() throws {
        for policy in [
            MeshObject.policy("l4", [.aboutConnections]), .policy("db", selector: ["app": "db"]),
            .policy("elsewhere", namespace: "other"), .policy("none", []),
        ] {
            let mesh = TestMesh(service, .workload("web", [first]), policy)
            #expect(mesh.service("web")?.ports.first?.http == nil)
            #expect(mesh.snapshot.services.count == 1)
            #expect(try mesh.workload("web").requestPorts == [])
        }
    }

    @Test("of the root namespace are for every workload, tokens' as well")
    func meshWide() throws {
        var authentication = RequestAuthentication(name: ObjectName(namespace: "istio-system", name: "jwt"))
        authentication.rules = [JWTRule(issuer: "i", keys: .inline("{}"))]
        let mesh = TestMesh(
            service, .workload("web", [first]),
            .of(
                .requestAuthentication, "jwt",
                .requestAuthentication(RequestAuthenticationResource(authentication: authentication)),
                namespace: "istio-system"))
        #expect(try mesh.workload("web").requestPorts == [8080])
        #expect(mesh.service("web")?.ports.first?.proxyReasons == ["RequestAuthentication istio-system/jwt"])
        #expect(mesh.snapshot.requestAuthentications.values.first?.isMeshWide == true)
    }

    @Test("of a workload elsewhere that takes the tunnel are left to its own node")
    func remote() throws {
        for takesTunnel in [true, false] {
            let mesh = TestMesh(
                service, .workload("web", [first], node: "node-b", takesTunnel: takesTunnel), .policy("get"))
            #expect((mesh.service("web")?.ports.first?.http == nil) == takesTunnel)
            #expect((mesh.snapshot.services[web] == nil) == takesTunnel)
            let workload = try mesh.workload("web")
            #expect(workload.requestPorts == [8080])
            #expect(workload.inboundHTTP == [:])
            #expect(workload.takesTunnel == takesTunnel)
        }
    }

    @Test("are read at ports that are HTTP by their service or by the workload's own declaration")
    func ports() throws {
        let service = MeshObject.service(
            "web", frontend,
            ports: [
                .of(80, to: 8080), .of(81, to: 8081, .http), .of(82, to: 8082, .http2), .of(83, to: 8083, .tls),
                .of(84, to: 8084, .opaque),
            ])
        let declared: [(String, UInt16)] = [
            ("", 8080), ("", 8081), ("http-a", 8082), ("", 8083), ("", 8084), ("http", 9000), ("web", 9001),
            ("grpc", 9002), ("tcp-x", 9003), ("", 5432),
        ]
        let mesh = TestMesh(
            service,
            .workload(
                "web", [first], ports: declared.map { MeshWorkloadPort(name: $0.0, port: $0.1, transport: .tcp) }),
            .policy("get"))
        #expect(try mesh.workload("web").requestPorts == [8080, 8081, 9000, 9001])
        #expect(mesh.service("web")?.ports.map { $0.http != nil } == [true, true, false, false, false])
    }

    @Test("hold at a port whatever a service of another namespace calls it")
    func foreignServices() throws {
        var slice = EndpointSliceResource()
        slice.service = "door"
        slice.ports = [.init(name: "p1", port: 8080)]
        slice.endpoints = [.init(address: first)]
        let mesh = TestMesh(
            service, .workload("web", [first]), .policy("get"),
            .service(
                "door", IPAddress(v4: 10, 96, 0, 2), ports: [.of(1, to: 8080, .opaque)], selector: [:],
                namespace: "other"), .of(.endpointSlice, "door", .endpointSlice(slice), namespace: "other"))
        #expect(try mesh.workload("web").requestPorts == [8080])
        #expect(mesh.service("door", "other")?.ports.first?.proxyReasons == ["AuthorizationPolicy shop/get"])
    }

    @Test("for a service concern its HTTP ports and those who serve them")
    func targets() throws {
        let service = MeshObject.service("web", frontend, ports: [.of(80, to: 8080), .of(81, to: 8081, .opaque)])
        let other = MeshObject.service("admin", IPAddress(v4: 10, 96, 0, 2), ports: [.of(80, to: 9090)])
        let mesh = TestMesh(service, other, .workload("web", [first]), .policy("get", targets: ["web"]))
        #expect(try mesh.workload("web").requestPorts == [8080])
        #expect(mesh.service("web")?.ports.map { $0.http != nil } == [true, false])
        #expect(mesh.service("admin")?.ports.first?.http == nil)
        #expect(mesh.snapshot.services[web]?.ports.map(\.port) == [8080])
    }

    @Test("for a service hold at endpoints of which nothing is known, and not for those who enforce them themselves")
    func targetsElsewhere() throws {
        var slice = EndpointSliceResource()
        slice.service = "web"
        slice.ports = [.init(name: "p80", port: 8080)]
        slice.endpoints = [.init(address: first)]
        let objects: [MeshObject] = [
            .service("web", frontend, ports: [.of(80, to: 8080)], selector: [:]), .policy("get", targets: ["web"]),
            .of(.endpointSlice, "web", .endpointSlice(slice)),
        ]
        var mesh = TestMesh()
        mesh.apply(objects)
        #expect(mesh.service("web")?.ports.first?.http != nil)
        for takesTunnel in [true, false, true] {
            // Of another namespace: the policy does not choose it, only the service.
            mesh.apply([.workload("web", [first], node: "node-b", takesTunnel: takesTunnel, namespace: "other")])
            #expect((mesh.service("web")?.ports.first?.http == nil) == takesTunnel)
            #expect(try mesh.workload("web", "other").requestPorts == [])
        }
        mesh.apply([], removed: [ObjectKey(.workload, ObjectName(namespace: "other", name: "web"))])
        var pod = PodResource()
        (pod.addresses, pod.node) = ([first], "node-b")
        mesh.apply([.of(.pod, "web", .pod(pod), namespace: "other")])
        #expect(mesh.service("web")?.ports.first?.http != nil)
        mesh.apply([.of(.namespace, "other", .namespace(["istio.io/dataplane-mode": "ambient"]))])
        #expect(mesh.service("web")?.ports.first?.http == nil)
    }

    @Test("capture each address of a workload, except those that a service claims")
    func addresses() throws {
        var mesh = TestMesh(service, .workload("web", [first, second]), .policy("get"))
        let other = ObjectName(namespace: "shop", name: "Workload/web@10.0.0.2")
        #expect(mesh.snapshot.services[web]?.addresses == [first])
        #expect(mesh.snapshot.services[other]?.addresses == [second])
        #expect(other.workloadOfService == ObjectName(namespace: "shop", name: "web"))
        #expect(try mesh.workload("web").inboundHTTP == [8080: web])

        let claim = MeshObject.service("claim", first, ports: [.of(8080, to: 8080)])
        mesh.apply([claim])
        #expect(mesh.snapshot.services[web] == nil)
        #expect(mesh.snapshot.services[other] != nil)
        #expect(try mesh.workload("web").inboundHTTP == [8080: claim.key.name])
        #expect(mesh.service("claim")?.ports.first?.http != nil)

        mesh.apply([], removed: [claim.key])
        #expect(mesh.snapshot.services[web]?.addresses == [first])
        #expect(try mesh.workload("web").inboundHTTP == [8080: web])
    }

    @Test("go with their last policy, and leave nothing behind")
    func end() throws {
        let policy = MeshObject.policy("get")
        var mesh = TestMesh(service, .workload("web", [first]))
        let before = mesh.snapshot
        mesh.apply([policy])
        #expect(mesh.snapshot.services.count == 2)
        mesh.apply([], removed: [policy.key])
        #expect(mesh.snapshot.services == before.services)
        #expect(mesh.snapshot.workloads == before.workloads)
    }

    @Test("are not lost when a rule is written for the name of a captured address")
    func namesakes() throws {
        var rule = DestinationRuleResource()
        rule.host = "Workload/web"
        var mesh = TestMesh(service, .workload("web", [first]), .policy("get"))
        mesh.apply([.of(.destinationRule, "evil", .destinationRule(rule))])
        #expect(mesh.snapshot.services[web] != nil)
    }

    @Test("do not make routes disappear, nor their reasons")
    func routes() throws {
        let key = ObjectKey(.httpRoute, ObjectName(namespace: "shop", name: "r"))
        var route = HTTPRouteResource()
        route.parents = [ParentReference(group: "", kind: "Service", name: "web")]
        route.rules = [HTTPRule(origin: key, index: 0, action: .forward([]))]
        let mesh = TestMesh(
            service, .workload("web", [first]), .policy("get"),
            MeshObject(key: key, apiVersion: "gateway.networking.k8s.io/v1", resource: .httpRoute(route)))
        let port = try #require(mesh.service("web")?.ports.first)
        #expect(port.proxyReasons == ["HTTPRoute shop/r", "AuthorizationPolicy shop/get"])
        #expect(port.http?.rules.map(\.origin) == [key])
    }
}
