import Mesh
import Testing

@testable import ConfigSources

/// Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/
@Suite("AuthorizationPolicy")
struct AuthorizationPolicyTests {
    private func text(_ spec: String, namespace: String = "shop", annotations: String = "{}") -> String {
        """
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: { name: web, namespace: \(namespace), annotations: \(annotations) }
        spec: \(spec)
        """
    }

    @Test("has every L4 attribute of Istio's")
    func attributes() throws {
        let policy = try snapshot(
            text(
                """

                  selector: { matchLabels: { app: web } }
                  action: DENY
                  rules:
                  - from:
                    - source:
                        principals: ["cluster.local/ns/shop/sa/*", "*/sa/web", "*"]
                        notPrincipals: ["cluster.local/ns/shop/sa/evil"]
                        namespaces: [shop]
                        notNamespaces: [test]
                        ipBlocks: [10.1.0.0/16, "2001:db8::/32"]
                        notIpBlocks: [10.1.2.3]
                    to:
                    - operation: { ports: ["80", "443"], notPorts: ["81"] }
                    when:
                    - { key: source.ip, values: [10.0.0.0/8] }
                    - { key: source.principal, notValues: ["*"] }
                    - { key: source.namespace, values: [shop] }
                    - { key: destination.ip, values: [10.2.0.0/16] }
                    - { key: destination.port, values: ["80"] }
                """)
        ).policy("shop", "web")
        var source = AuthorizationPolicy.Source()
        source.principals = [.prefix("cluster.local/ns/shop/sa/"), .suffix("/sa/web"), .present]
        source.notPrincipals = [.exact("cluster.local/ns/shop/sa/evil")]
        source.namespaces = [.exact("shop")]
        source.notNamespaces = [.exact("test")]
        source.ipBlocks = ["10.1.0.0/16", "2001:db8::/32"].compactMap { IPBlock($0) }
        source.notIPBlocks = [IPBlock("10.1.2.3/32")].compactMap { $0 }
        var operation = AuthorizationPolicy.Operation()
        operation.ports = [80, 443]
        operation.notPorts = [81]
        let ten = try #require(IPBlock("10.0.0.0/8"))
        let tenTwo = try #require(IPBlock("10.2.0.0/16"))
        #expect(policy.action == .deny)
        #expect(policy.selector == ["app": "web"])
        #expect(!policy.isMeshWide && !policy.isShadow)
        #expect(
            policy.rules == [
                AuthorizationPolicy.Rule(
                    sources: [source], operations: [operation],
                    conditions: [
                        .sourceIP(values: [ten], notValues: []),
                        .sourcePrincipal(values: [], notValues: [.present]),
                        .sourceNamespace(values: [.exact("shop")], notValues: []),
                        .destinationIP(values: [tenTwo], notValues: []),
                        .destinationPort(values: [80], notValues: []),
                    ])
            ])
    }

    @Test("without a spec, or with an empty one, allows nothing", arguments: ["{}", "{ action: ALLOW }", ""])
    func empty(_ spec: String) throws {
        let policy = try snapshot(text(spec)).policy("shop", "web")
        #expect(policy.action == .allow)
        #expect(policy.rules == [])
    }

    @Test("with one empty rule matches everything")
    func emptyRule() throws {
        #expect(try snapshot(text("{ rules: [{}] }")).policy("shop", "web").rules == [AuthorizationPolicy.Rule()])
    }

    @Test("of the root namespace is for the whole mesh")
    func rootNamespace() throws {
        #expect(try snapshot(text("{}", namespace: "istio-system")).policy("istio-system", "web").isMeshWide)
        let other = MeshOptions(node: "n", rootNamespace: "mesh-root")
        #expect(try snapshot(text("{}", namespace: "mesh-root"), options: other).policy("mesh-root", "web").isMeshWide)
    }

    @Test("with the dry-run annotation is shadow")
    func dryRun() throws {
        let annotations = "{ istio.io/dry-run: \"true\" }"
        #expect(try snapshot(text("{}", annotations: annotations)).policy("shop", "web").isShadow)
    }

    @Test("of the versions v1 and v1beta1 is the same")
    func versions() throws {
        let beta = text("{ action: AUDIT }").replacing("io/v1", with: "io/v1beta1")
        #expect(try snapshot(beta).policy("shop", "web").action == .audit)
    }

    @Test("means the mesh's own trust domain by cluster.local")
    func trustDomain() throws {
        let spec = "{ rules: [{ from: [{ source: { principals: [cluster.local/ns/a/sa/b, other/ns/a/sa/b] } }] }] }"
        let options = MeshOptions(trustDomain: "example.org", node: "n")
        let policy = try snapshot(text(spec), options: options).policy("shop", "web")
        #expect(
            policy.rules.first?.sources.first?.principals == [
                .exact("example.org/ns/a/sa/b"), .exact("other/ns/a/sa/b"),
            ])
    }

    @Test("names service accounts of its own namespace by their names alone")
    func serviceAccounts() throws {
        let spec = "{ rules: [{ from: [{ source: { serviceAccounts: [web, other/api] } }] }] }"
        let policy = try snapshot(text(spec)).policy("shop", "web")
        #expect(
            policy.rules.first?.sources.first?.principals == [
                .exact("cluster.local/ns/shop/sa/web"), .exact("cluster.local/ns/other/sa/api"),
            ])
    }

    // MARK: - Attributes of requests

    @Test("has every attribute of requests of Istio's")
    func requestAttributes() throws {
        let policy = try snapshot(
            text(
                """

                  rules:
                  - from:
                    - source: { requestPrincipals: ["https://idp/*", "*"], notRequestPrincipals: [idp/eve],
                                remoteIpBlocks: [10.0.0.0/8], notRemoteIpBlocks: [10.1.0.0/16] }
                    to:
                    - operation: { hosts: ["*.Example.com", "web:8080"], notHosts: [evil.com], methods: [GET, "P*"],
                                   notMethods: [PUT], paths: [/a, "/b/*", "*.html", "/c/{*}/{**}"], notPaths: ["/d/{**}/"] }
                    when:
                    - { key: "request.headers[X-Plan]", values: [free], notValues: ["*-trial"] }
                    - { key: remote.ip, values: [192.0.2.1] }
                    - { key: connection.sni, values: ["*.example.com"] }
                    - { key: request.auth.principal, values: [idp/ann] }
                    - { key: request.auth.audiences, values: [shop] }
                    - { key: request.auth.presenter, notValues: [app] }
                    - { key: "request.auth.claims[realm][role]", values: [admin] }
                """)
        ).policy("shop", "web")
        var source = AuthorizationPolicy.Source()
        source.requestPrincipals = [.prefix("https://idp/"), .present]
        source.notRequestPrincipals = [.exact("idp/eve")]
        source.remoteIPBlocks = [try #require(IPBlock("10.0.0.0/8"))]
        source.notRemoteIPBlocks = [try #require(IPBlock("10.1.0.0/16"))]
        var operation = AuthorizationPolicy.Operation()
        operation.hosts = [.suffix(".example.com"), .exact("web:8080")]
        operation.notHosts = [.exact("evil.com")]
        operation.methods = [.exact("GET"), .prefix("P")]
        operation.notMethods = [.exact("PUT")]
        operation.paths = [
            .text(.exact("/a")), .text(.prefix("/b/")), .text(.suffix(".html")),
            .template([.literal("c"), .one, .any]),
        ]
        operation.notPaths = [.template([.literal("d"), .any, .literal("")])]
        let address = try #require(IPBlock("192.0.2.1"))
        let conditions: [AuthorizationPolicy.Condition] = [
            .requestHeader(name: "x-plan", values: [.exact("free")], notValues: [.suffix("-trial")]),
            .remoteIP(values: [address], notValues: []),
            .connectionSNI(values: [.suffix(".example.com")], notValues: []),
            .requestPrincipal(values: [.exact("idp/ann")], notValues: []),
            .requestAudiences(values: [.exact("shop")], notValues: []),
            .requestPresenter(values: [], notValues: [.exact("app")]),
            .requestClaim(path: ["realm", "role"], values: [.exact("admin")], notValues: []),
        ]
        let rule = try #require(policy.rules.first)
        #expect(rule.sources == [source])
        #expect(rule.operations == [operation])
        #expect(rule.conditions == conditions)
        #expect(policy.concernsRequests)
    }

    @Test("takes principals with and without the scheme of SPIFFE ids")
    func schemes() throws {
        let principals = "[\"spiffe://cluster.local/ns/a/sa/b\", \"spiffe://*\", \"cluster.local*\"]"
        let spec = """
            { rules: [{ from: [{ source: { principals: \(principals) } }],
                        when: [{ key: source.principal, values: ["spiffe://cluster.local/ns/a/*"] }] }] }
            """
        let options = MeshOptions(trustDomain: "example.org", node: "n")
        let rule = try #require(try snapshot(text(spec), options: options).policy("shop", "web").rules.first)
        #expect(
            rule.sources.first?.principals == [.exact("example.org/ns/a/sa/b"), .present, .prefix("example.org")])
        #expect(rule.conditions == [.sourcePrincipal(values: [.prefix("example.org/ns/a/")], notValues: [])])
    }

    @Test("CUSTOM names who decides, and says so if there is nobody of that name")
    func custom() throws {
        let policy = text("{ action: CUSTOM, provider: { name: opa }, rules: [{}] }")
        let alone = try load(policy)
        let compiled = try #require(alone.snapshot).policy("shop", "web")
        #expect(compiled.action == .custom)
        #expect(compiled.provider == "opa")
        let condition = try #require(alone.status(.authorizationPolicy, "shop", "web")?[.resolvedRefs])
        #expect(condition.status == .no)
        #expect(
            condition.message == "ExtensionProvider opa does not exist: what the policy's rules match is denied")

        let together = try load(policy + "\n" + ExtensionProviderTests.opa)
        #expect(together.errors.map(\.description) == [])
        #expect(together.status(.authorizationPolicy, "shop", "web")?[.resolvedRefs]?.status == .yes)
    }

    @Test(
        "applies to the requests of services that it names",
        arguments: [
            "targetRefs: [{ kind: Service, group: \"\", name: web }, { kind: Service, group: core, name: api }]",
            "targetRef: { kind: Service, name: web }",
        ])
    func targets(_ field: String) throws {
        let outcome = try load(HTTPMesh.services + "---\n" + text("{ \(field), rules: [{}] }"))
        let policy = try #require(outcome.snapshot).policy("shop", "web")
        #expect(policy.targetServices.first == "web")
        #expect(policy.concernsRequests)
        let condition = try #require(outcome.status(.authorizationPolicy, "shop", "web")?[.resolvedRefs])
        #expect(condition.status == (field.contains("api") ? .no : .yes))
        #expect(condition.message == (field.contains("api") ? "Service shop/api does not exist" : ""))
    }

    @Test("for a service without HTTP says which of its ports it does not reach")
    func targetWithoutHTTP() throws {
        let outcome = try load(
            HTTPMesh.services + "---\n" + text("{ targetRefs: [{ kind: Service, name: rpc }], rules: [{}] }"))
        let condition = try #require(outcome.status(.authorizationPolicy, "shop", "web")?[.partiallyInvalid])
        #expect(condition.reason == "UnsupportedProtocol")
        #expect(condition.message.hasPrefix("port 80 of Service shop/rpc speaks HTTP/2"))
    }

    @Test("for gateways only is not in force and says so")
    func gateways() throws {
        let target = "{ kind: Gateway, group: gateway.networking.k8s.io, name: in }"
        let outcome = try load(text("{ targetRefs: [\(target)], rules: [{}] }"))
        #expect(outcome.snapshot?.policies.isEmpty == true)
        let accepted = try #require(outcome.status(.authorizationPolicy, "shop", "web")?[.accepted])
        #expect(
            accepted.message
                == "Gateway.gateway.networking.k8s.io in cannot be a target, so it is not in force: only Service can")
    }

    static let wrong: [(String, String)] = [
        ("rules: [{ to: [{ operation: { paths: [\"/a{*}\"] } }] }]", "braces are for {*} and {**}"),
        ("rules: [{ to: [{ operation: { paths: [\"/{**}/{*}\"] } }] }]", "{**} has to be its last operator"),
        ("rules: [{ to: [{ operation: { paths: [\"/{**}/{**}\"] } }] }]", "{**} has to be its last operator"),
        ("rules: [{ to: [{ operation: { paths: [\"a/{*}\"] } }] }]", "it has to begin with"),
        ("rules: [{ to: [{ operation: { paths: [\"/a//{*}\"] } }] }]", "it has an empty path element"),
        ("rules: [{ to: [{ operation: { paths: [\"/a b/{*}\"] } }] }]", "has characters other than"),
        ("rules: [{ to: [{ operation: { paths: [\"/{*}/x*\"] } }] }]", "has characters other than"),
        ("rules: [{ to: [{ operation: { paths: [\"/{id}\"] } }] }]", "braces are for {*} and {**}"),
        (
            "rules: [{ to: [{ operation: { paths: [\"/{*}/{*}/{*}/{*}/{*}/{*}\"] } }] }]",
            "at most 5 operators are allowed"
        ),
        ("rules: [{ to: [{ operation: { paths: [\"\"] } }] }]", "an empty string matches nothing"),
        ("rules: [{ to: [{ operation: { methods: [] } }] }]", "an empty list matches nothing"),
        ("rules: [{ from: [{ source: { requestPrincipals: [] } }] }]", "an empty list matches nothing"),
        ("rules: [{ from: [{ source: { remoteIpBlocks: [a] } }] }]", "is not an address block"),
        ("rules: [{ from: [{ source: { principals: [\"spiffe://\"] } }] }]", "names nobody"),
        ("rules: [{ when: [{ key: request.headers, values: [a] }] }]", "write request.headers[NAME]"),
        ("rules: [{ when: [{ key: \"request.headers[a][b]\", values: [a] }] }]", "write request.headers[NAME]"),
        ("rules: [{ when: [{ key: \"request.headers[a b]\", values: [a] }] }]", "write request.headers[NAME]"),
        ("rules: [{ when: [{ key: \"request.auth.claims[a\", values: [a] }] }]", "write request.auth.claims[NAME]"),
        ("rules: [{ when: [{ key: \"request.auth.claims[]\", values: [a] }] }]", "write request.auth.claims[NAME]"),
        ("rules: [{ when: [{ key: request.auth.claim, values: [a] }] }]", "unknown key"),
        ("rules: [{ when: [{ key: experimental.envoy.filters.a.b, values: [a] }] }]", "unknown key"),
        ("rules: [{ when: [{ key: source.ip, values: [] }] }]", "an empty list matches nothing"),
        ("rules: [{ when: [{ key: source.ip }] }]", "spec.rules[0].when[0].values: required, but missing"),
        ("action: CUSTOM, rules: [{}]", "spec.provider: required, but missing"),
        ("action: CUSTOM, provider: {}, rules: [{}]", "spec.provider.name: required, but missing"),
        ("action: DENY, provider: { name: opa }, rules: [{}]", "only the action CUSTOM has a provider"),
        (
            "action: CUSTOM, provider: { name: a }, rules: [{ when: [{ key: request.auth.principal, values: [a] }] }]",
            "decided before tokens are read"
        ),
        (
            "action: CUSTOM, provider: { name: a }, rules: [{ from: [{ source: { requestPrincipals: [a] } }] }]",
            "decided before tokens are read"
        ),
        ("selector: {}, targetRefs: [{ kind: Service, name: web }]", "exclude each other"),
        ("targetRef: { kind: Service, name: a }, targetRefs: [{ kind: Service, name: b }]", "exclude each other"),
        ("targetRefs: [{ kind: Service }]", "spec.targetRefs[0].name: required, but missing"),
        (
            "targetRefs: [{ kind: Service, name: web, namespace: other }]",
            "spec.targetRefs[0].namespace: a target is in the policy's namespace"
        ),
    ]

    @Test("with what it cannot have is refused, with a reason", arguments: wrong)
    func refused(_ spec: String, _ reason: String) throws {
        let outcome = try load(text("{ \(spec) }"))
        #expect(outcome.snapshot == nil)
        #expect(outcome.errors.count == 1)
        #expect(outcome.errors.first?.description.contains(reason) == true, "\(outcome.errors)")
        #expect(outcome.errors.first?.line == 4)
    }
}
