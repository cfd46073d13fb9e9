import Mesh
import Testing

@testable import ConfigSources

@Suite("ExtensionProvider")
struct ExtensionProviderTests {
    static let opa = provider(
        "opa", "{ opa: { service: opa.auth.svc.cluster.local, port: 8181, path: /v1/data/authz/allow } }")

    static func provider(_ name: String, _ spec: String) -> String {
        """
        ---
        apiVersion: weft.dev/v1alpha1
        kind: ExtensionProvider
        metadata: { name: \(name) }
        spec: \(spec)

        """
    }

    private func authorizer(_ spec: String) throws -> ExternalAuthorizer {
        try #require(try snapshot(Self.provider("ext", spec)).authorizers["ext"])
    }

    @Test("of Envoy's HTTP API has every field of Istio's")
    func http() throws {
        let authorizer = try authorizer(
            """
            { envoyExtAuthzHttp: { service: auth/ext.auth.svc.cluster.local, port: 8000, timeout: 1.5s, pathPrefix: /check/,
                failOpen: true, statusOnError: "503", clearRouteCache: true, includeRequestHeadersInCheck: [X-User, "x-a-*"],
                includeAdditionalHeadersInCheck: { X-From: mesh }, headersToUpstreamOnAllow: [X-User],
                headersToDownstreamOnAllow: ["*-id"], headersToDownstreamOnDeny: ["*"] } }
            """)
        var check = ExternalAuthorizer.HTTPCheck()
        check.pathPrefix = "/check"
        check.requestHeaders = [.exact("x-user"), .prefix("x-a-")]
        check.additionalHeaders = ["x-from": "mesh"]
        check.upstreamOnAllow = [.exact("x-user")]
        check.downstreamOnAllow = [.suffix("-id")]
        check.downstreamOnDeny = [.present]
        var expected = ExternalAuthorizer(
            name: "ext", api: .http(check), service: HTTPMesh.name("ext", "auth"), port: 8000)
        expected.timeout = 1500
        expected.failsOpen = true
        expected.statusOnError = 503
        #expect(authorizer == expected)
    }

    @Test("of Envoy's gRPC API and of OPA's, with the defaults")
    func others() throws {
        let service = HTTPMesh.name("ext", "auth")
        #expect(
            try authorizer("{ envoyExtAuthzGrpc: { service: ext.auth, port: 9000 } }")
                == ExternalAuthorizer(name: "ext", api: .grpc, service: service, port: 9000))
        #expect(
            try authorizer("{ opa: { service: ext.auth.svc, port: 8181, path: /v1/data/a } }")
                == ExternalAuthorizer(name: "ext", api: .opa(path: "/v1/data/a"), service: service, port: 8181))
    }

    @Test("says which of its fields have no effect, and whether its service is there")
    func conditions() throws {
        let text = Self.provider(
            "ext",
            "{ envoyExtAuthzGrpc: { service: web.shop, port: 80, includeRequestBodyInCheck: { maxRequestBytes: 1 } } }")
        let alone = try load(text)
        let key = ObjectKey(.extensionProvider, ObjectName(namespace: "", name: "ext"))
        #expect(alone.table.status(of: key)?[.resolvedRefs]?.message == "Service shop/web does not exist")
        #expect(
            alone.table.status(of: key)?[.partiallyInvalid]?.message
                == "spec.envoyExtAuthzGrpc.includeRequestBodyInCheck: the authorizer gets requests without their bodies"
        )
        let together = try load(HTTPMesh.services + text)
        #expect(together.table.status(of: key)?[.resolvedRefs]?.status == .yes)
        let port = try load(HTTPMesh.services + text.replacing("port: 80", with: "port: 81"))
        #expect(port.table.status(of: key)?[.resolvedRefs]?.message == "Service shop/web has no TCP port 81")
    }

    static let wrong: [(String, String)] = [
        ("{}", "spec: exactly one of envoyExtAuthzHttp, envoyExtAuthzGrpc and opa is required"),
        (
            "{ envoyExtAuthzGrpc: { service: a.b, port: 1 }, opa: { service: a.b, port: 1, path: /a } }",
            "spec: exactly one of envoyExtAuthzHttp, envoyExtAuthzGrpc and opa is required"
        ),
        ("{ envoyExtAuthzGrpc: { port: 1 } }", "spec.envoyExtAuthzGrpc.service: required, but missing"),
        ("{ envoyExtAuthzGrpc: { service: a.b } }", "spec.envoyExtAuthzGrpc.port: required, but missing"),
        (
            "{ envoyExtAuthzGrpc: { service: a, port: 1 } }",
            "spec.envoyExtAuthzGrpc.service: \"a\" is not a Service's: write NAME.NAMESPACE or "
                + "NAME.NAMESPACE.svc.cluster.local"
        ),
        (
            "{ envoyExtAuthzGrpc: { service: x/a.b, port: 1 } }",
            "spec.envoyExtAuthzGrpc.service: \"x/a.b\" is not a Service's: write NAME.NAMESPACE or "
                + "NAME.NAMESPACE.svc.cluster.local"
        ),
        (
            "{ envoyExtAuthzGrpc: { service: a.b, port: 1, pathPrefix: /a } }",
            "spec.envoyExtAuthzGrpc.pathPrefix: unknown field"
        ),
        ("{ opa: { service: a.b, port: 1 } }", "spec.opa.path: required, but missing"),
        (
            "{ opa: { service: a.b, port: 1, path: /a, statusOnError: \"200\" } }",
            "spec.opa.statusOnError: \"200\" is not the status code of an error (400...599)"
        ),
        ("{ opa: { service: a.b, port: 1, path: /a, timeout: 0s } }", "spec.opa.timeout: 0s is less than 1ms"),
        (
            "{ envoyExtAuthzHttp: { service: a.b, port: 1, headersToUpstreamOnAllow: [\"a b\"] } }",
            "spec.envoyExtAuthzHttp.headersToUpstreamOnAllow[0]: \"a b\" is not a header name (RFC 9110 §5.6.2)"
        ),
    ]

    @Test("with what it cannot have is refused", arguments: wrong)
    func refused(_ spec: String, _ error: String) throws {
        let errors = try load(Self.provider("ext", spec)).errors.map { "\($0.path): \($0.message)" }
        #expect(errors == [error])
    }

    @Test("is in no namespace")
    func namespace() throws {
        let text = Self.opa.replacing("name: opa }", with: "name: opa, namespace: shop }")
        #expect(try load(text).errors.map(\.message) == ["a ExtensionProvider is in no namespace"])
    }
}
