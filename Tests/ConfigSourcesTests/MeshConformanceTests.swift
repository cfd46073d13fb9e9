import Mesh
import Testing

@testable import ConfigSources

/// Routes in the shapes of the Gateway API's conformance tests of the mesh profile, on their `echo` services.
@Suite("Gateway API conformance, mesh profile")
struct MeshConformanceTests {
    private static let services =
        HTTPMesh.service("echo", ip: 1, ports: ports, namespace: namespace)
        + HTTPMesh.service("echo-v1", ip: 2, ports: ports, namespace: namespace)
        + HTTPMesh.service("echo-v2", ip: 3, ports: ports, namespace: namespace)
    private static let namespace = "gateway-conformance-mesh"
    private static let ports = """
        [{ name: http, port: 80, appProtocol: http, targetPort: 80 }, { name: http-alt, port: 8080, appProtocol: http },
         { name: https, port: 443, targetPort: 8443 }, { name: tcp, port: 9090, appProtocol: tcp },
         { name: grpc, port: 7070, appProtocol: grpc }]
        """

    private static func split(_ parent: String, _ backend: String) -> String {
        "{ parentRefs: [\(parent)], rules: [{ backendRefs: [\(backend)] }] }"
    }

    private static let echo = "{ group: \"\", kind: Service, name: echo }"
    private static let v1 = "{ name: echo-v1, port: 80 }"

    private static let shapes: [(String, String, [UInt16])] = [
        ("MeshPorts: without a port, every HTTP port", split(echo, v1), [80, 8080]),
        ("MeshPorts: port 80", split("{ group: \"\", kind: Service, name: echo, port: 80 }", v1), [80]),
        (
            "MeshPorts: two references with a port each",
            split(
                "{ group: \"\", kind: Service, name: echo, port: 80 }, { group: \"\", kind: Service, name: echo, port: 8080 }",
                v1), [80, 8080]
        ),
        (
            "MeshTrafficSplit",
            split(echo, "{ name: echo-v1, port: 80, weight: 50 }, { name: echo-v2, port: 80, weight: 50 }"), [80, 8080]
        ),
        (
            "MeshHTTPRouteMatching",
            """
            { parentRefs: [\(echo)], rules: [
              { matches: [{ path: { type: PathPrefix, value: / } }, { headers: [{ name: version, value: one }] }], backendRefs: [\(v1)] },
              { matches: [{ path: { type: PathPrefix, value: /v2 } }, { headers: [{ name: version, value: two }] }],
                backendRefs: [{ name: echo-v2, port: 80 }] }] }
            """, [80, 8080]
        ),
        (
            "MeshHTTPRouteRequestHeaderModifier",
            """
            { parentRefs: [\(echo)], rules: [{ matches: [{ path: { type: PathPrefix, value: /multiple } }],
              filters: [{ type: RequestHeaderModifier, requestHeaderModifier: {
                set: [{ name: X-Header-Set-1, value: header-set-1 }], add: [{ name: X-Header-Add-1, value: header-add-1 }],
                remove: [X-Header-Remove-1] } }], backendRefs: [\(v1)] }] }
            """, [80, 8080]
        ),
        (
            "MeshHTTPRouteRewritePath",
            """
            { parentRefs: [\(echo)], rules: [
              { matches: [{ path: { type: PathPrefix, value: /strip-prefix } }], backendRefs: [\(v1)],
                filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: / } } }] },
              { matches: [{ path: { type: PathPrefix, value: /full/one } }], backendRefs: [\(v1)],
                filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: /one } } }] }] }
            """, [80, 8080]
        ),
        (
            "MeshHTTPRouteRedirectHostAndStatus",
            """
            { parentRefs: [\(echo)], rules: [
              { matches: [{ path: { type: PathPrefix, value: /hostname-redirect } }],
                filters: [{ type: RequestRedirect, requestRedirect: { hostname: example.org } }] },
              { matches: [{ path: { type: PathPrefix, value: /host-and-status } }],
                filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 301, hostname: example.org } }] }] }
            """, [80, 8080]
        ),
        (
            "MeshHTTPRouteSchemeRedirect and RedirectPort",
            """
            { parentRefs: [\(echo)], rules: [
              { matches: [{ path: { type: PathPrefix, value: /scheme } }],
                filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }] },
              { matches: [{ path: { type: PathPrefix, value: /port-and-host-and-status } }],
                filters: [{ type: RequestRedirect, requestRedirect: { port: 8083, hostname: example.org, statusCode: 301 } }] }] }
            """, [80, 8080]
        ),
        (
            "MeshHTTPRouteNamedRule",
            """
            { parentRefs: [\(echo)], rules: [{ name: named-rule, matches: [{ path: { value: /named } }], backendRefs: [\(v1)] },
                                             { backendRefs: [\(v1)] }] }
            """, [80, 8080]
        ),
        (
            "MeshHTTPRouteBackendRequestHeaderModifier",
            split(
                echo,
                """
                { name: echo-v1, port: 80, filters: [{ type: RequestHeaderModifier,
                                                       requestHeaderModifier: { set: [{ name: X-A, value: b }] } }] }
                """), [80, 8080]
        ),
    ]

    @Test("manifests are accepted at the ports that they speak of", arguments: shapes)
    func accepted(_ name: String, _ spec: String, _ ports: [UInt16]) throws {
        let text = HTTPMesh.object(
            "gateway.networking.k8s.io/v1", "HTTPRoute", "mesh", spec, namespace: Self.namespace)
        let outcome = try load(Self.services + text)
        #expect(outcome.errors.map(\.description) == [])
        let status = try #require(outcome.status(.httpRoute, Self.namespace, "mesh"))
        #expect(!status.parents.isEmpty)
        for parent in status.parents {
            #expect(parent.conditions.map(\.type) == [.accepted, .resolvedRefs])
            #expect(parent.conditions.allSatisfy { $0.status == .yes && $0.reason == $0.type.rawValue })
        }
        let service = try #require(outcome.snapshot).service(Self.namespace, "echo")
        #expect(service.ports.filter { $0.http != nil }.map(\.port) == ports)
    }

    @Test("MeshConsumerRoute: the consumer's namespace alone sees its route")
    func consumerRoute() throws {
        let spec = """
            { parentRefs: [{ group: "", kind: Service, name: echo, namespace: \(Self.namespace), port: 80 }], rules: [
              { filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: X-A, value: b }] } }],
                backendRefs: [{ name: echo, namespace: \(Self.namespace), port: 80 }] }] }
            """
        let consumer = "gateway-conformance-mesh-consumer"
        let outcome = try load(
            Self.services
                + HTTPMesh.object("gateway.networking.k8s.io/v1", "HTTPRoute", "mesh", spec, namespace: consumer))
        #expect(outcome.status(.httpRoute, consumer, "mesh")?[.accepted]?.status == .yes)
        let service = try #require(outcome.snapshot).service(Self.namespace, "echo")
        let routing = try #require(service.ports.first?.http)
        #expect(routing.consumers.keys.sorted() == [consumer])
        #expect(routing.rules.map(\.responseHeaders) == [HeaderModification()])
        #expect(routing.consumers[consumer]?.rules.map(\.responseHeaders.set.count) == [1])
    }
}
