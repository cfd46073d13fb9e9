import Mesh
import Testing

@testable import ConfigSources

@Suite("Workload")
struct WorkloadTests {
    static let shop = """
        apiVersion: weft.dev/v1alpha1
        kind: Workload
        metadata: { name: web-1, namespace: shop, labels: { app: web, version: v2 } }
        spec:
          serviceAccount: web
          addresses: [10.0.0.7]
          node: node-a
          match: { cgroup: /system.slice/web.service }
          ports: [{ name: http, port: 8080 }]
          acceleration: On
        ---
        apiVersion: weft.dev/v1alpha1
        kind: Workload
        metadata: { name: web-2, namespace: shop, labels: { app: web } }
        spec:
          addresses: [10.0.0.8]
          node: node-b
          match: { systemdUnit: web@2.service }
          ports: [{ name: http, port: 9090 }, { name: dns, port: 53, protocol: UDP }]
          weight: 9
        ---
        apiVersion: v1
        kind: Service
        metadata: { name: web, namespace: shop }
        spec:
          clusterIP: 127.96.0.10
          selector: { app: web }
          ports: [{ port: 80, targetPort: http }]
        """

    @Test("binds local processes to a name, labels and a service account")
    func local() throws {
        let workload = try snapshot(Self.shop).workload("shop", "web-1")
        #expect(workload.serviceAccount == "web")
        #expect(workload.labels == ["app": "web", "version": "v2"])
        #expect(workload.addresses.map(\.description) == ["10.0.0.7"])
        #expect(workload.ports == [MeshWorkloadPort(name: "http", port: 8080, transport: .tcp)])
        #expect(workload.isLocal)
        #expect(workload.cgroup == "/system.slice/web.service")
        #expect(workload.spiffeID(trustDomain: "cluster.local") == "spiffe://cluster.local/ns/shop/sa/web")
    }

    @Test("of another node has no processes here")
    func remote() throws {
        let workload = try snapshot(Self.shop).workload("shop", "web-2")
        #expect(!workload.isLocal)
        #expect(workload.node == "node-b")
        #expect(workload.cgroup == nil)
        #expect(workload.serviceAccount == "default")
    }

    @Test("by systemd unit is where systemd puts the unit")
    func systemdUnit() throws {
        let path = try snapshot(Self.shop, options: MeshOptions(node: "node-b")).workload("shop", "web-2").cgroup
        #expect(path == "/system.slice/system-web.slice/web@2.service")
    }

    @Test("without a node is of this node")
    func noNode() throws {
        let text = Self.shop.replacing("  node: node-a\n", with: "")
        let workload = try snapshot(text).workload("shop", "web-1")
        #expect(workload.isLocal)
        #expect(workload.node == "node-a")
    }

    @Test("is an endpoint of the services that select it, with its weight and its own port")
    func endpoints() throws {
        let service = try snapshot(Self.shop).service("shop", "web")
        let port = try #require(service.ports.first)
        #expect(service.addresses.map(\.description) == ["127.96.0.10"])
        #expect(places(port.endpoints) == ["10.0.0.7:8080", "10.0.0.8:9090"])
        #expect(port.endpoints.map(\.weight) == [1, 9])
        #expect(port.endpoints.map { $0.workload?.name } == ["web-1", "web-2"])
    }

    @Test("takes HBONE unless it says that it does not", arguments: [("HBONE", true), ("None", false)])
    func tunnel(_ tunnel: String, _ takesTunnel: Bool) throws {
        #expect(try snapshot(Self.shop).workload("shop", "web-2").takesTunnel)
        let text = Self.shop.replacing("  node: node-", with: "  tunnel: \(tunnel)\n  node: node-")
        for name in ["web-1", "web-2"] {
            #expect(try snapshot(text).workload("shop", name).takesTunnel == takesTunnel)
        }
        #expect(try load(text.replacing(tunnel, with: "mTLS")).errors.map(\.path) == ["spec.tunnel", "spec.tunnel"])
    }
}
