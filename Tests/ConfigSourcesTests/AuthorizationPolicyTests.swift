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

    static let foreign = [
        "to: [{ operation: { methods: [GET], ports: [\"80\"] } }]",
        "to: [{ operation: { paths: [\"/\"] } }]",
        "to: [{ operation: { hosts: [a] } }]",
        "from: [{ source: { requestPrincipals: [\"*\"] } }]",
        "when: [{ key: \"request.headers[x]\", values: [a] }]",
        "when: [{ key: request.auth.claims, values: [a] }]",
        "when: [{ key: connection.sni, values: [a] }]",
    ]

    @Test("with HTTP attributes: an ALLOW rule never matches, and the object says so", arguments: foreign)
    func allowWithHTTP(_ rule: String) throws {
        let outcome = try load(
            text("{ action: ALLOW, rules: [{ \(rule) }, { to: [{ operation: { ports: [\"1\"] } }] }] }"))
        let policy = try #require(outcome.snapshot).policy("shop", "web")
        #expect(policy.rules.count == 1)
        #expect(policy.rules.first?.operations.first?.ports == [1])
        let accepted = try #require(outcome.status(.authorizationPolicy, "shop", "web")?[.accepted])
        #expect(accepted.status == .no)
        #expect(accepted.reason == "UnsupportedValue")
        #expect(accepted.message.contains("spec.rules[0]"))
    }

    @Test("with HTTP attributes: a DENY rule takes them as matching", arguments: foreign)
    func denyWithHTTP(_ rule: String) throws {
        let outcome = try load(text("{ action: DENY, rules: [{ \(rule) }] }"))
        let policy = try #require(outcome.snapshot).policy("shop", "web")
        let compiled = try #require(policy.rules.first)
        #expect(compiled.conditions == [])
        #expect(compiled.sources.allSatisfy { $0 == AuthorizationPolicy.Source() })
        #expect(compiled.operations.allSatisfy { $0.notPorts.isEmpty && ($0.ports.isEmpty || $0.ports == [80]) })
        #expect(outcome.status(.authorizationPolicy, "shop", "web")?[.accepted]?.status == .no)
    }

    @Test("CUSTOM denies what it matches and says so")
    func custom() throws {
        let outcome = try load(text("{ action: CUSTOM, provider: { name: opa }, rules: [{}] }"))
        #expect(try #require(outcome.snapshot).policy("shop", "web").action == .deny)
        let accepted = try #require(outcome.status(.authorizationPolicy, "shop", "web")?[.accepted])
        #expect(accepted.reason == "UnsupportedValue")
        #expect(accepted.message == "action CUSTOM is not supported: connections that its rules match are denied")
    }

    @Test("with targetRefs is not in force and says so")
    func targetRefs() throws {
        let outcome = try load(text("{ targetRefs: [{ kind: Service, name: web }], rules: [{}] }"))
        #expect(outcome.snapshot?.policies.isEmpty == true)
        #expect(outcome.status(.authorizationPolicy, "shop", "web")?[.accepted]?.status == .no)
    }
}
