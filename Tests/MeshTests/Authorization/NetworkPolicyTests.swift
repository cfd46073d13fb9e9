import Foundation
import Testing

extension NodeTests {
    /// Kubernetes' NetworkPolicies on real connections, beside AuthorizationPolicies.
    @Suite("Network policies")
    struct NetworkPolicyTests {
        private func policy(_ name: String, app: String, _ spec: String) -> String {
            """
            apiVersion: networking.k8s.io/v1
            kind: NetworkPolicy
            metadata: { name: \(name), namespace: shop }
            spec: { podSelector: { matchLabels: { app: \(app) } }, \(spec) }

            """
        }

        @Test("Ingress by labels, blocks and ports; the AuthorizationPolicies have to agree")
        func ingress() throws {
            let fromAlice = policy(
                "web", app: "web",
                "policyTypes: [Ingress], ingress: [{ from: [{ podSelector: { matchLabels: { app: alice } } }], ports: [{ port: 8080 }] }]"
            )
            try Shop.run(fromAlice) { shop in
                let own = shop.webAddress
                func results(_ workload: String?) throws -> [String] {
                    try [(Shop.service, 80), (own, 8080)].map {
                        try shop.sandbox.connect($0.0, $0.1, in: workload).result
                    }
                }
                #expect(try results("alice") == ["connected", "connected"])
                #expect(try results("mallory") == ["EPERM", "EPERM"])
                #expect(try results("stranger") == ["EPERM", "EPERM"])
                #expect(try shop.sandbox.connect(own, 8080, in: nil).result == "ECONNREFUSED")
                try eventually("the refusals name the policy") {
                    try shop.node.run(["flows", "--denied", "-o", "json"]).output.contains("shop/web")
                }
                // Both layers have to agree: neither allows what the other forbids.
                try shop.apply(
                    fromAlice, Manifest.policy("no-alice", action: "DENY", app: "web", rules: Manifest.from("alice")))
                #expect(try results("alice") == ["EPERM", "EPERM"])
                try shop.apply(
                    fromAlice,
                    Manifest.policy("allow", action: "ALLOW", app: "web", rules: Manifest.from("alice", "mallory")))
                #expect(try results("alice") == ["connected", "connected"])
                #expect(try results("mallory") == ["EPERM", "EPERM"])
                // Other ports than the one that is allowed.
                try shop.apply(policy("web", app: "web", "ingress: [{ ports: [{ port: 8081, endPort: 8090 }] }]"))
                #expect(try results("alice") == ["EPERM", "EPERM"])
                try shop.apply(policy("web", app: "web", "ingress: [{ ports: [{ port: 8000, endPort: 8090 }] }]"))
                #expect(try results("mallory") == ["connected", "connected"])

                let blocks = "ingress: [{ from: [{ ipBlock: { cidr: 127.0.0.0/8, except: [127.98.0.0/16] } }] }]"
                try shop.apply(policy("web", app: "web", blocks))
                let picks = try shop.sandbox.pick(
                    own, 8080, count: 4, binds: ["127.99.0.1", "127.98.0.1"], in: "mallory")
                #expect(picks.names == ["web": 2])
                #expect(picks.errors == ["EPERM": 2])
                let outside = try shop.sandbox.pick(own, 8080, count: 4, binds: ["127.99.0.1", "127.98.0.1"], in: nil)
                #expect(outside.names == ["web": 2])
                #expect(outside.errors == ["ECONNREFUSED": 2])
                try shop.apply(policy("web", app: "web", "policyTypes: [Ingress]"))
                #expect(try results("alice") == ["EPERM", "EPERM"])
                try shop.apply()
                #expect(try results("mallory") == ["connected", "connected"])
            }
        }

        @Test("Egress by labels, blocks and ports; open connections that lose their leave end")
        func egress() throws {
            try Shop.run { shop in
                let elsewhere = shop.sandbox.address(8)
                try shop.sandbox.serve(["else,tcp,\(elsewhere),8080"], in: "other")
                func results(_ workload: String) throws -> [String] {
                    try [(Shop.service, 80), (shop.webAddress, 8080), (elsewhere, 8080)].map {
                        try shop.connect(from: workload, to: $0.0, port: $0.1).result
                    }
                }
                let held = try shop.sandbox.hold(Shop.service, 80, count: 2, in: "mallory")
                let kept = try shop.sandbox.hold(Shop.service, 80, count: 2, in: "alice")
                let before = Date.now.timeIntervalSince1970
                try shop.apply(
                    policy(
                        "mallory", app: "mallory",
                        "policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { app: alice } } }] }]"))
                #expect(try results("mallory") == ["EPERM", "EPERM", "connected"], "loopback of nobody is one's own")
                #expect(try results("alice") == ["connected", "connected", "connected"])
                try eventually("what is not allowed any more ends", within: 5) { held.ended.count == 2 }
                #expect(held.ended.allSatisfy { $0.at - before < 3 })
                #expect(try kept.echo() == 2)
                try shop.apply(
                    policy(
                        "mallory", app: "mallory",
                        "policyTypes: [Egress], egress: [{ to: [{ podSelector: { matchLabels: { app: web } } }], ports: [{ port: 8080 }] }]"
                    ))
                #expect(try results("mallory").prefix(2) == ["connected", "connected"])
                try shop.apply(
                    policy(
                        "mallory", app: "mallory",
                        "policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: \(shop.webAddress)/32 } }], ports: [{ port: 8081 }] }]"
                    ))
                #expect(try results("mallory").prefix(2) == ["EPERM", "EPERM"])
            }
        }
    }
}
