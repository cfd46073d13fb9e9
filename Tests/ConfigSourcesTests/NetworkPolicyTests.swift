import Mesh
import Testing

@testable import ConfigSources

/// Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
@Suite("NetworkPolicy")
struct NetworkPolicyTests {
    private static func text(_ spec: String) -> String {
        HTTPMesh.object("networking.k8s.io/v1", "NetworkPolicy", "np", spec)
    }

    private func policy(_ spec: String) throws -> NetworkPolicy {
        try #require(try snapshot(Self.text(spec)).networkPolicies[HTTPMesh.name("np")])
    }

    @Test("has Kubernetes' selectors, blocks and ports")
    func fields() throws {
        let policy = try policy(
            """

              podSelector:
                matchLabels: { app: web }
                matchExpressions:
                - { key: tier, operator: In, values: [front, back] }
                - { key: env, operator: NotIn, values: [test] }
                - { key: team, operator: Exists }
                - { key: old, operator: DoesNotExist }
              policyTypes: [Ingress, Egress]
              ingress:
              - from:
                - podSelector: { matchLabels: { app: api } }
                - namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ops } }
                - { namespaceSelector: {}, podSelector: { matchLabels: { app: probe } } }
                ports: [{ port: 8080 }, { protocol: UDP, port: dns }, { port: 30000, endPort: 30100 }, { protocol: TCP }]
              egress:
              - to: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.3.4/32] } }, { ipBlock: { cidr: "::/0" } }]
            """)
        #expect(
            policy.podSelector
                == LabelSelector(
                    labels: ["app": "web"],
                    requirements: [
                        .in(key: "tier", values: ["front", "back"]), .notIn(key: "env", values: ["test"]),
                        .exists(key: "team"), .doesNotExist(key: "old"),
                    ]))
        #expect(
            policy.ingress == [
                NetworkPolicy.Rule(
                    peers: [
                        .workloads(namespaces: nil, pods: LabelSelector(labels: ["app": "api"])),
                        .workloads(
                            namespaces: LabelSelector(labels: ["kubernetes.io/metadata.name": "ops"]),
                            pods: LabelSelector()),
                        .workloads(namespaces: LabelSelector(), pods: LabelSelector(labels: ["app": "probe"])),
                    ],
                    ports: [
                        .init(transport: .tcp, port: .number(8080)), .init(transport: .udp, port: .name("dns")),
                        .init(transport: .tcp, port: .number(30000), endPort: 30100), .init(transport: .tcp),
                    ])
            ])
        let blocks = try ["10.0.0.0/8", "10.1.0.0/16", "10.2.3.4", "::/0"].map { try #require(IPBlock($0)) }
        #expect(
            policy.egress == [
                NetworkPolicy.Rule(peers: [
                    .block(blocks[0], except: [blocks[1], blocks[2]]), .block(blocks[3], except: []),
                ])
            ])
    }

    static let directions: [(String, Int?, Int?)] = [
        ("{ podSelector: {} }", 0, nil), ("{ podSelector: {}, ingress: [{}] }", 1, nil),
        ("{ podSelector: {}, egress: [{}] }", 0, 1), ("{ podSelector: {}, egress: [] }", 0, nil),
        ("{ podSelector: {}, policyTypes: [] , egress: [{}] }", 0, 1),
        ("{ podSelector: {}, policyTypes: [Egress] }", nil, 0),
        ("{ podSelector: {}, policyTypes: [Egress], ingress: [{}] }", nil, 0),
        ("{ podSelector: {}, policyTypes: [Ingress], egress: [{}] }", 0, nil),
        ("{ podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}, {}] }", 2, 0),
    ]

    @Test("is for the directions that it names, or for incoming ones and those it has rules for", arguments: directions)
    func direction(_ spec: String, _ ingress: Int?, _ egress: Int?) throws {
        let policy = try policy(spec)
        #expect(policy.ingress?.count == ingress)
        #expect(policy.egress?.count == egress)
    }

    @Test("allows nothing by SCTP, and says so")
    func sctp() throws {
        let outcome = try load(
            Self.text(
                """
                { podSelector: {}, ingress: [{ ports: [{ protocol: SCTP, port: 1 }] },
                                             { ports: [{ protocol: SCTP, port: 1 }, { port: 2 }] }] }
                """))
        let policy = try #require(outcome.snapshot?.networkPolicies[HTTPMesh.name("np")])
        #expect(policy.ingress == [NetworkPolicy.Rule(ports: [.init(transport: .tcp, port: .number(2))])])
        let condition = try #require(outcome.status(.networkPolicy, "shop", "np")?[.partiallyInvalid])
        #expect(condition.reason == "UnsupportedProtocol")
        #expect(condition.message.hasPrefix("spec.ingress[0].ports[0]: protocol SCTP is not supported"))
    }

    static let wrong: [(String, String)] = [
        (
            "{ podSelector: {}, policyTypes: [In] }", "spec.policyTypes[0]: \"In\" is not one of Ingress, Egress"
        ),
        ("{ podSelector: {}, ingress: [{ to: [] }] }", "spec.ingress[0].to: unknown field"),
        (
            "{ podSelector: {}, ingress: [{ from: [{}] }] }",
            "spec.ingress[0].from[0]: names nobody: podSelector, namespaceSelector or ipBlock"
        ),
        (
            "{ podSelector: {}, ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: 10.0.0.0/8 } }] }] }",
            "spec.ingress[0].from[0]: ipBlock cannot be combined with podSelector or namespaceSelector"
        ),
        (
            "{ podSelector: {}, ingress: [{ from: [{ ipBlock: { except: [10.0.0.0/8] } }] }] }",
            "spec.ingress[0].from[0].ipBlock.cidr: required, but missing"
        ),
        (
            "{ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [11.0.0.0/16] } }] }] }",
            "spec.ingress[0].from[0].ipBlock.except[0]: 11.0.0.0/16 is not a part of 10.0.0.0/8"
        ),
        (
            "{ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.0.0.0/8] } }] }] }",
            "spec.ingress[0].from[0].ipBlock.except[0]: 10.0.0.0/8 is not a part of 10.0.0.0/8"
        ),
        (
            "{ podSelector: {}, ingress: [{ ports: [{ port: 90, endPort: 80 }] }] }",
            "spec.ingress[0].ports[0].endPort: 80 is before port 90"
        ),
        (
            "{ podSelector: {}, ingress: [{ ports: [{ port: http, endPort: 80 }] }] }",
            "spec.ingress[0].ports[0].endPort: only a port with a number has an end"
        ),
        (
            "{ podSelector: {}, ingress: [{ ports: [{ port: \"80\" }] }] }",
            "spec.ingress[0].ports[0].port: \"80\" is not a port: write the number without quotes, or the name of a port"
        ),
        (
            "{ podSelector: {}, ingress: [{ ports: [{ protocol: ICMP }] }] }",
            "spec.ingress[0].ports[0].protocol: \"ICMP\" is not one of TCP, UDP, SCTP"
        ),
        (
            "{ podSelector: { matchExpressions: [{ key: a, operator: In }] } }",
            "spec.podSelector.matchExpressions[0]: the operators In and NotIn need values"
        ),
        (
            "{ podSelector: { matchExpressions: [{ key: a, operator: Exists, values: [b] }] } }",
            "spec.podSelector.matchExpressions[0].values: the operators Exists and DoesNotExist have no values"
        ),
        (
            "{ podSelector: { matchExpressions: [{ key: a, operator: Gt }] } }",
            "spec.podSelector.matchExpressions[0].operator: \"Gt\" is not one of In, NotIn, Exists, DoesNotExist"
        ),
        ("{ podSelector: { app: web } }", "spec.podSelector.app: unknown field"),
        ("{ selector: {} }", "spec.selector: unknown field"),
    ]

    @Test("with what it cannot have is refused", arguments: wrong)
    func refused(_ spec: String, _ error: String) throws {
        #expect(try errors(of: Self.text(spec)) == [error])
    }
}
