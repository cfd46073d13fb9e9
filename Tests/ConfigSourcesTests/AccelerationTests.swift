import Mesh
import Testing

@testable import ConfigSources

@Suite("Opting in to acceleration")
struct AccelerationTests {
    private func workload(_ acceleration: String? = nil) -> String {
        HTTPMesh.object(
            "weft.dev/v1alpha1", "Workload", "web",
            "{ addresses: [10.0.0.1]\(acceleration.map { ", acceleration: \($0)" } ?? "") }")
    }

    private func pod(_ acceleration: String? = nil) -> String {
        let annotations = acceleration.map { ", annotations: { weft.dev/acceleration: \($0) }" } ?? ""
        return """
            ---
            apiVersion: v1
            kind: Pod
            metadata: { name: web, namespace: shop\(annotations) }
            spec: { nodeName: node-a }
            status: { podIP: 10.0.0.1 }

            """
    }

    private func policy(
        _ acceleration: String, name: String = "defaults", namespace: String = "shop", target: String = "shop",
        created: String? = nil, more: String = ""
    ) -> String {
        HTTPMesh.object(
            "weft.dev/v1alpha1", "TrafficPolicy", name,
            "{ targetRefs: [{ group: \"\", kind: Namespace, name: \(target) }], acceleration: \(acceleration)\(more) }",
            namespace: namespace, created: created)
    }

    private func isAccelerated(_ text: String) throws -> Bool {
        try snapshot(text).workload("shop", "web").isAccelerated
    }

    @Test("is the workload's own word, else its namespace's, else no")
    func precedence() throws {
        let (on, off) = (policy("On"), policy("Off"))
        #expect(try !isAccelerated(workload()))
        #expect(try isAccelerated(workload("On")))
        #expect(try isAccelerated(workload() + on))
        #expect(try !isAccelerated(workload() + off))
        #expect(try !isAccelerated(workload("Off") + on))
        #expect(try isAccelerated(workload("\"On\"") + off))
        #expect(try !isAccelerated(workload() + policy("On", namespace: "other", target: "other")))
    }

    @Test("of a Pod is an annotation")
    func annotation() throws {
        #expect(try !isAccelerated(pod()))
        #expect(try isAccelerated(pod("\"On\"")))
        #expect(try isAccelerated(pod() + policy("On")))
        #expect(try !isAccelerated(pod("\"Off\"") + policy("On")))
    }

    @Test("of several policies for a namespace the oldest is in force, and the others say so")
    func conflict() throws {
        let outcome = try load(
            workload() + policy("On", name: "a", created: "2022-01-01T00:00:00Z")
                + policy("Off", name: "b", created: "2021-01-01T00:00:00Z"))
        #expect(try outcome.snapshot?.workload("shop", "web").isAccelerated == false)
        let loser = outcome.status(.trafficPolicy, "shop", "a")?[.accepted]
        #expect(loser?.status == .no)
        #expect(loser?.reason == "Conflicted")
        #expect(loser?.message == "TrafficPolicy shop/b is in force for Namespace shop")
        #expect(outcome.status(.trafficPolicy, "shop", "b")?[.accepted]?.status == .yes)
    }

    @Test("of another namespace is not a policy's to decide")
    func otherNamespace() throws {
        let outcome = try load(workload() + policy("On", namespace: "other"))
        #expect(try outcome.snapshot?.workload("shop", "web").isAccelerated == false)
        let condition = outcome.status(.trafficPolicy, "other", "defaults")?[.resolvedRefs]
        #expect(condition?.status == .no)
        #expect(condition?.reason == "RefNotPermitted")
        #expect(condition?.message == "Namespace shop cannot be a target: only the policy's own (other) can")
    }

    @Test("and what is of services say of each other what has no effect")
    func mixtures() throws {
        let services = HTTPMesh.services
        let ofService = try load(services + HTTPMesh.trafficPolicy("acceleration: On"))
        let condition = ofService.status(.trafficPolicy, "shop", "web")?[.partiallyInvalid]
        #expect(condition?.message == "acceleration: workloads opt in; name their Namespace as a target")
        #expect(try ofService.snapshot?.service("shop", "web").ports.allSatisfy { $0.http == nil } == true)

        let ofNamespace = try load(workload() + policy("On", more: ", retry: {}, panicThreshold: 5"))
        #expect(try ofNamespace.snapshot?.workload("shop", "web").isAccelerated == true)
        let other = ofNamespace.status(.trafficPolicy, "shop", "defaults")?[.partiallyInvalid]
        #expect(other?.message == "retry, panicThreshold: of a Namespace only acceleration can be set")

        let both = try load(
            services + workload()
                + HTTPMesh.object(
                    "weft.dev/v1alpha1", "TrafficPolicy", "web",
                    """
                    { targetRefs: [{ kind: Service, name: web }, { kind: Namespace, name: shop }], acceleration: On,
                      failureMode: Open }
                    """))
        #expect(try both.snapshot?.workload("shop", "web").isAccelerated == true)
        #expect(try both.snapshot?.service("shop", "web").failureMode == .open)
        #expect(both.status(.trafficPolicy, "shop", "web")?[.partiallyInvalid] == nil)
    }

    @Test("takes On and Off, and nothing else", arguments: ["Maybe", "yes", "1", "[On]"])
    func broken(_ value: String) throws {
        #expect(try load(workload(value)).errors.map(\.path) == ["spec.acceleration"])
        #expect(try load(policy(value)).errors.map(\.path) == ["spec.acceleration"])
        #expect(
            try load(pod(value)).errors.map(\.path) == ["metadata.annotations[\"weft.dev/acceleration\"]"])
    }
}
