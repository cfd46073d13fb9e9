import Mesh
import Testing

@testable import ConfigSources

@Suite("Kinds that are known and not served")
struct UnservedTests {
    private static func object(_ kind: String, _ version: String, _ spec: String, namespace: String = "shop") -> String
    {
        """
        ---
        apiVersion: gateway.networking.k8s.io/\(version)
        kind: \(kind)
        metadata: { name: edge\(namespace.isEmpty ? "" : ", namespace: \(namespace)") }
        spec: \(spec)

        """
    }

    private static let listeners = "{ gatewayClassName: weft, listeners: [{ name: http, port: 80, protocol: HTTP }] }"

    @Test("say so in a condition, and everything else works")
    func conditions() throws {
        let outcome = try load(
            HTTPMesh.services + HTTPMesh.route("{ backendRefs: [{ name: web-v1, port: 80 }] }")
                + Self.object("Gateway", "v1", Self.listeners)
                + Self.object("GRPCRoute", "v1", "{ parentRefs: [{ name: edge }] }")
                + Self.object("TCPRoute", "v1alpha2", "{ parentRefs: [{ name: edge }] }")
                + Self.object("TLSRoute", "v1alpha2", "{ parentRefs: [{ name: edge }] }")
                + Self.object("BackendTLSPolicy", "v1alpha3", "{ targetRefs: [] }")
                + Self.object("ReferenceGrant", "v1beta1", "{ from: [], to: [] }")
                + Self.object(
                    "GatewayClass", "v1", "{ controllerName: weft.dev/gateway-controller }", namespace: ""))
        #expect(outcome.errors.map(\.description) == [])
        #expect(try outcome.snapshot?.routing().rules.count == 1)
        for kind: ResourceKind in [.gateway, .grpcRoute, .tcpRoute, .tlsRoute, .backendTLSPolicy] {
            let accepted = outcome.status(kind, "shop", "edge")?[.accepted]
            #expect(accepted?.status == .no && accepted?.reason == "UnsupportedValue", "\(kind)")
            #expect(accepted?.message == "\(kind.rawValue) is not supported in this version: it has no effect")
        }
        #expect(outcome.status(.gatewayClass, "", "edge")?[.accepted]?.status == .no)
        #expect(outcome.status(.referenceGrant, "shop", "edge")?[.accepted]?.status == .yes)
    }

    @Test("of another controller are none of Weft's business")
    func foreign() throws {
        let outcome = try load(
            HTTPMesh.services + Self.object("GatewayClass", "v1", "{ controllerName: istio.io/x }", namespace: ""))
        #expect(outcome.status(.gatewayClass, "", "edge")?[.accepted]?.status == .yes)
    }
}
