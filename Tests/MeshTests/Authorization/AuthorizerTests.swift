import Foundation
import Testing

extension NodeTests {
    /// CUSTOM policies: what real authorizers say is done.
    @Suite("External authorizers")
    struct AuthorizerTests {
        /// How an authorizer is asked.
        enum Kind: String, CaseIterable {
            case http, opa, grpc

            /// The members of its provider beside those that every one has.
            var provider: (field: String, members: String) {
                switch self {
                case .http:
                    (
                        "envoyExtAuthzHttp",
                        ", pathPrefix: /check, includeRequestHeadersInCheck: [x-ask], headersToUpstreamOnAllow: [x-checked], "
                            + "headersToDownstreamOnDeny: [x-denied-by]"
                    )
                case .opa: ("opa", ", path: /v1/data/shop/authz")
                case .grpc: ("envoyExtAuthzGrpc", "")
                }
            }

            var port: Int { self == .grpc ? 9000 : 8000 }
        }

        private func provider(_ kind: Kind, _ members: String = "") -> String {
            """
            apiVersion: weft.dev/v1alpha1
            kind: ExtensionProvider
            metadata: { name: ext }
            spec: { \(kind.provider.field): { service: ext.shop.svc.cluster.local, port: \(kind.port), timeout: 400ms\
            \(kind.provider.members)\(members) } }

            """
        }

        private func service(_ kind: Kind, _ mesh: HTTPMesh) -> String {
            Manifest.service(
                "ext", address: "127.96.0.30", port: kind.port, targetPort: kind.port,
                endpoints: [mesh.sandbox.address(7)])
        }

        private let custom = """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: { name: ask, namespace: shop }
            spec:
              selector: { matchLabels: { app: web } }
              action: CUSTOM
              provider: { name: ext }
              rules: [{ to: [{ operation: { notPaths: [/free] } }] }]

            """

        private func start(_ kind: Kind, _ mesh: HTTPMesh) throws -> Command {
            let interpreter = kind == .grpc ? ["/usr/bin/python3", "-S"] : [Host.python]
            let server = try mesh.sandbox.start(
                interpreter + [Host.script("authorizer.py"), kind.rawValue, mesh.sandbox.address(7), "\(kind.port)"],
                environment: kind == .grpc ? ["PYTHONPATH": Host.pythonPackages()] : [:])
            try server.waitForOutput("listening", within: 20) { $0.contains("ready\n") }
            return server
        }

        @Test(
            "Allowed, refused with its own answer, late, broken, and down: closed, or open when it is to be",
            arguments: Kind.allCases)
        func decisions(_ kind: Kind) throws {
            try HTTPMesh.run { mesh in
                try mesh.apply(service(kind, mesh), provider(kind), custom)
                let server = try start(kind, mesh)
                let allowed = try mesh.get("/items?x=1", headers: ["x-ask": "me", "x-checked": "spoofed"])
                #expect(allowed.status == 200, "\(allowed.reason ?? "")")
                let principal = " spiffe://cluster.local/ns/shop/sa/client"
                #expect(allowed.received("x-checked") == kind.rawValue + (kind == .http ? "" : principal))
                let check = try #require(server.lines.last.map { try JSON(String($0)) })
                #expect(check["method"].string == "GET")
                #expect(check["path"].string == "/items?x=1")
                #expect(check["headers"]["x-ask"].string == "me")

                let denied = try mesh.get("/deny")
                #expect(denied.status == 402)
                #expect(denied.header("x-denied-by") == kind.rawValue)
                #expect(denied.header("x-secret") == nil)
                #expect(denied.body == "refused by \(kind.rawValue)\n")
                #expect(denied.pod == nil)
                let before = server.lines.count
                #expect(try mesh.get("/free").status == 200)
                #expect(server.lines.count == before, "it is not asked about what no rule names")

                func refusals(_ location: SourceLocation = #_sourceLocation) throws {
                    for path in ["/slow", "/break"] {
                        let reply = try mesh.get(path)
                        #expect(reply.status == 403, "\(path)", sourceLocation: location)
                        #expect(reply.reason == "ext_authz_error", "\(path)", sourceLocation: location)
                    }
                }
                try refusals()
                try mesh.node.waitForMetrics("what it said is counted") { metrics in
                    ["allowed": 1, "denied": 1, "timeout": 1, "error": 1].allSatisfy { result, count in
                        metrics.sum("weft_authorizer_checks_total", ["provider": "ext", "result": result])
                            == Double(count)
                    }
                }
                try mesh.apply(service(kind, mesh), provider(kind, ", statusOnError: \"503\""), custom)
                #expect(try mesh.get("/break").status == 503)
                server.stop()
                #expect(try mesh.get("/items").status == 503)
                try mesh.apply(service(kind, mesh), provider(kind, ", failOpen: true"), custom)
                #expect(try mesh.get("/items").status == 200)
                // It is up again: it is asked again.
                let second = try start(kind, mesh)
                try eventually("it decides again", within: 10) { try mesh.get("/deny").status == 402 }
                #expect(try mesh.get("/slow").status == 200)
                #expect(second.isRunning)
            }
        }
    }
}
