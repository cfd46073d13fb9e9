import Testing

@testable import Mesh

/// Source: https://istio.io/latest/docs/reference/config/security/peer_authentication/
@Suite("PeerAuthentication in force")
struct PeerAuthenticationInForceTests {
    private let web = MeshObject.workload("web", [IPAddress(v4: 10, 0, 0, 1)])
    private let root = "istio-system"

    @Test("is the narrowest, and UNSET leaves it to the wider one")
    func narrowest() throws {
        var mesh = TestMesh(web)
        #expect(try mesh.workload("web").mutualTLS == .permissive)
        mesh.apply([.peerAuthentication("mesh", .strict, namespace: root)])
        #expect(try mesh.workload("web").mutualTLS == .strict)
        mesh.apply([.peerAuthentication("own", .disable)])
        #expect(try mesh.workload("web").mutualTLS == .disable)
        mesh.apply([.peerAuthentication("web", .permissive, selector: ["app": "web"])])
        #expect(try mesh.workload("web").mutualTLS == .permissive)
        mesh.apply([.peerAuthentication("web", nil, selector: ["app": "web"])])
        #expect(try mesh.workload("web").mutualTLS == .disable)
        mesh.apply([.peerAuthentication("own", nil)])
        #expect(try mesh.workload("web").mutualTLS == .strict)
        mesh.apply([], removed: [ObjectKey(.peerAuthentication, ObjectName(namespace: root, name: "mesh"))])
        #expect(try mesh.workload("web").mutualTLS == .permissive)
    }

    @Test("differs at ports")
    func ports() throws {
        let mesh = TestMesh(
            web, .peerAuthentication("own", .strict),
            .peerAuthentication("web", nil, selector: ["app": "web"], ports: [8080: .disable, 8081: .strict]))
        let workload = try mesh.workload("web")
        #expect(workload.portMutualTLS == [8080: .disable])
        #expect(workload.mutualTLS(port: 8080) == .disable)
        #expect(workload.mutualTLS(port: 8081) == .strict)
    }

    @Test("is the oldest of several, and the others say so")
    func oldest() throws {
        var mesh = TestMesh(
            web, .peerAuthentication("a", .disable, created: "2021-01-01T00:00:00Z"),
            .peerAuthentication("b", .strict, created: "2020-01-01T00:00:00Z"))
        #expect(try mesh.workload("web").mutualTLS == .strict)
        let (a, b) = (
            ObjectKey(.peerAuthentication, ObjectName(namespace: "shop", name: "a")),
            ObjectKey(.peerAuthentication, ObjectName(namespace: "shop", name: "b"))
        )
        #expect(mesh.issue(a, .accepted)?.message == "PeerAuthentication shop/b is in force for the same workloads")
        #expect(mesh.issue(b, .accepted)?.status == .yes)
        mesh.apply([], removed: [b])
        #expect(mesh.issue(a, .accepted)?.status == .yes)
        #expect(try mesh.workload("web").mutualTLS == .disable)
    }

    @Test("of the root namespace chooses no workload by a selector")
    func rootSelector() throws {
        let mesh = TestMesh(web, .peerAuthentication("x", .strict, selector: ["app": "web"], namespace: root))
        #expect(try mesh.workload("web").mutualTLS == .permissive)
        let key = ObjectKey(.peerAuthentication, ObjectName(namespace: root, name: "x"))
        #expect(mesh.issue(key, .accepted)?.status == .no)
    }
}

@Suite("Tunnels to workloads")
struct TakesTunnelTests {
    private func pod(_ change: (inout PodResource) -> Void) -> MeshObject {
        var pod = PodResource()
        pod.addresses = [IPAddress(v4: 10, 0, 0, 1)]
        pod.node = "node-b"
        change(&pod)
        return .of(.pod, "web", .pod(pod))
    }

    private func namespace(_ labels: [String: String]) -> MeshObject { .of(.namespace, "shop", .namespace(labels)) }

    @Test("are taken by Pods of this node, and by those that say so or whose namespace does")
    func pods() throws {
        let ambient = ["istio.io/dataplane-mode": "ambient"]
        let none = ["istio.io/dataplane-mode": "none"]
        let cases: [(MeshObject, [String: String], Bool)] = [
            (pod { _ in }, [:], false), (pod { $0.node = "node-a" }, [:], true),
            (pod { $0.isRedirected = true }, [:], true), (pod { $0.labels = ambient }, [:], true),
            (pod { _ in }, ambient, true), (pod { $0.labels = none }, ambient, false),
            (pod { $0.usesHostNetwork = true }, ambient, false),
        ]
        for (pod, labels, takesTunnel) in cases {
            var mesh = TestMesh(pod, namespace(labels))
            #expect(try mesh.workload("web").takesTunnel == takesTunnel)
            // The same in the other order.
            mesh = TestMesh(pod)
            mesh.apply([namespace(labels)])
            #expect(try mesh.workload("web").takesTunnel == takesTunnel)
        }
    }

    @Test("by a Pod end with its namespace's label")
    func change() throws {
        var mesh = TestMesh(pod { _ in }, namespace(["istio.io/dataplane-mode": "ambient"]))
        #expect(mesh.snapshot.labels(ofNamespace: "shop")["kubernetes.io/metadata.name"] == "shop")
        mesh.apply([namespace(["a": "b"])])
        #expect(try mesh.workload("web").takesTunnel == false)
        #expect(mesh.snapshot.namespaceLabels["shop"] == ["a": "b", "kubernetes.io/metadata.name": "shop"])
        mesh.apply([], removed: [namespace([:]).key])
        #expect(mesh.snapshot.namespaceLabels == [:])
        #expect(mesh.snapshot.labels(ofNamespace: "shop") == ["kubernetes.io/metadata.name": "shop"])
    }

    @Test("to named ports: a Pod's containers name them")
    func namedPorts() throws {
        let ports = [
            MeshWorkloadPort(name: "http", port: 80, transport: .tcp),
            MeshWorkloadPort(name: "", port: 81, transport: .tcp),
        ]
        let workload = try TestMesh(pod { $0.ports = ports }).workload("web")
        #expect(workload.namedPorts == [ports[0]])
        #expect(workload.ports == [])
    }
}
