import Mesh
import Testing

@testable import ConfigSources

@Suite("Balancing")
struct BalancingTests {
    private static let service = """
        apiVersion: v1
        kind: Service
        metadata: { name: web, namespace: shop }
        spec: { clusterIP: 127.96.0.10, ports: [{ port: 80 }] }

        """

    private static func rule(
        _ trafficPolicy: String, host: String = "web", namespace: String = "shop", name: String = "web"
    ) -> String {
        """
        ---
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: { name: \(name), namespace: \(namespace) }
        spec: { host: "\(host)", trafficPolicy: \(trafficPolicy) }

        """
    }

    private static func policy(_ loadBalancer: String, target: String = "web", name: String = "web") -> String {
        """
        ---
        apiVersion: weft.dev/v1alpha1
        kind: TrafficPolicy
        metadata: { name: \(name), namespace: shop }
        spec: { targetRefs: [{ group: "", kind: Service, name: \(target) }], loadBalancer: \(loadBalancer) }

        """
    }

    private func balancing(_ text: String) throws -> Balancing {
        try snapshot(Self.service + text).service("shop", "web").balancing
    }

    @Test("is weighted random without a rule")
    func standard() throws {
        #expect(try balancing("") == Balancing(algorithm: .random, affinitySeconds: nil))
    }

    @Test(
        "by DestinationRule simple",
        arguments: [
            ("LEAST_REQUEST", Balancing.Algorithm.leastConnections), ("LEAST_CONN", .leastConnections),
            ("RANDOM", .random), ("ROUND_ROBIN", .roundRobin), ("UNSPECIFIED", .random),
        ])
    func simple(_ name: String, _ algorithm: Balancing.Algorithm) throws {
        #expect(try balancing(Self.rule("{ loadBalancer: { simple: \(name) } }")).algorithm == algorithm)
    }

    @Test(
        "by DestinationRule consistentHash of the source address is Maglev",
        arguments: [
            "{ useSourceIp: true }", "{ useSourceIp: true, maglev: { tableSize: 65537 } }",
            "{ useSourceIp: true, ringHash: { minimumRingSize: 1024 } }",
        ])
    func consistentHash(_ hash: String) throws {
        #expect(try balancing(Self.rule("{ loadBalancer: { consistentHash: \(hash) } }")).algorithm == .maglev)
    }

    @Test(
        "by DestinationRule of the host's every form",
        arguments: [
            "web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local",
        ])
    func hosts(_ host: String) throws {
        #expect(
            try balancing(Self.rule("{ loadBalancer: { simple: ROUND_ROBIN } }", host: host)).algorithm == .roundRobin)
    }

    @Test("PASSTHROUGH keeps the default algorithm and says so")
    func unsupported() throws {
        let outcome = try load(Self.service + Self.rule("{ loadBalancer: { simple: PASSTHROUGH } }"))
        #expect(try #require(outcome.snapshot).service("shop", "web").balancing.algorithm == .random)
        let accepted = try #require(outcome.status(.destinationRule, "shop", "web")?[.accepted])
        #expect(accepted.status == .no)
        #expect(accepted.reason == "UnsupportedValue")
        #expect(accepted.message.contains("PASSTHROUGH"))
    }

    @Test("a DestinationRule of an unknown host has ResolvedRefs False", arguments: ["api", "web.other", "*.local"])
    func unknownHost(_ host: String) throws {
        let outcome = try load(Self.service + Self.rule("{ loadBalancer: { simple: ROUND_ROBIN } }", host: host))
        let resolved = try #require(outcome.status(.destinationRule, "shop", "web")?[.resolvedRefs])
        #expect(resolved.status == .no)
        #expect(resolved.reason == "BackendNotFound")
        #expect(try #require(outcome.snapshot).service("shop", "web").balancing.algorithm == .random)
    }

    @Test("of two DestinationRules for one host the service's namespace wins, then the name")
    func twoRules() throws {
        let root = Self.rule(
            "{ loadBalancer: { simple: ROUND_ROBIN } }", host: "web.shop", namespace: "istio-system", name: "a")
        #expect(try balancing(root).algorithm == .roundRobin)
        let second = Self.rule("{ loadBalancer: { simple: RANDOM } }", name: "z")
        let outcome = try load(Self.service + root + second + Self.rule("{ loadBalancer: { simple: LEAST_REQUEST } }"))
        #expect(try #require(outcome.snapshot).service("shop", "web").balancing.algorithm == .leastConnections)
        #expect(outcome.status(.destinationRule, "istio-system", "a")?[.accepted]?.reason == "Conflicted")
        #expect(outcome.status(.destinationRule, "shop", "z")?[.accepted]?.reason == "Conflicted")
        #expect(outcome.status(.destinationRule, "shop", "web")?[.accepted]?.status == .yes)
    }

    @Test(
        "by TrafficPolicy",
        arguments: [
            ("Random", Balancing.Algorithm.random), ("RoundRobin", .roundRobin),
            ("LeastConnections", .leastConnections),
            ("Maglev", .maglev),
        ])
    func trafficPolicy(_ name: String, _ algorithm: Balancing.Algorithm) throws {
        #expect(try balancing(Self.policy("{ algorithm: \(name) }")).algorithm == algorithm)
    }

    @Test("by TrafficPolicy, with affinity, before a DestinationRule")
    func precedence() throws {
        let text =
            Self.rule("{ loadBalancer: { simple: ROUND_ROBIN } }")
            + Self.policy("{ algorithm: Maglev, sessionAffinity: { timeout: 1h30m } }")
        #expect(try balancing(text) == Balancing(algorithm: .maglev, affinitySeconds: 5400))
    }

    @Test("a TrafficPolicy of an unknown Service has ResolvedRefs False; the second for one Service is Conflicted")
    func trafficPolicyConditions() throws {
        let outcome = try load(
            Self.service + Self.policy("{ algorithm: Maglev }", target: "api", name: "lost")
                + Self.policy("{ algorithm: Maglev }", name: "a") + Self.policy("{ algorithm: Random }", name: "b"))
        #expect(outcome.status(.trafficPolicy, "shop", "lost")?[.resolvedRefs]?.reason == "TargetNotFound")
        #expect(outcome.status(.trafficPolicy, "shop", "a")?[.accepted]?.status == .yes)
        #expect(outcome.status(.trafficPolicy, "shop", "b")?[.accepted]?.reason == "Conflicted")
        #expect(try #require(outcome.snapshot).service("shop", "web").balancing.algorithm == .maglev)
    }

    @Test("Service sessionAffinity ClientIP has Kubernetes' default of three hours")
    func sessionAffinity() throws {
        let text = Self.service.replacing("spec: {", with: "spec: { sessionAffinity: ClientIP,")
        #expect(try snapshot(text).service("shop", "web").balancing.affinitySeconds == 10800)
        let configured = text.replacing(
            "spec: {", with: "spec: { sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },")
        #expect(try snapshot(configured).service("shop", "web").balancing.affinitySeconds == 60)
    }
}
