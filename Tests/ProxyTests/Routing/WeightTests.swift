import Mesh
import Testing

@testable import Proxy

@Suite struct WeightTests {
    /// HTTPRouteWeight, MeshTrafficSplit: each backend's share within three standard deviations.
    @Test(arguments: [[70, 30, 0], [1, 1, 1], [1, 99, 900], [0, 0, 5], [1_000_000, 1_000_000, 1]] as [[UInt32]])
    func shares(_ weights: [UInt32]) throws {
        let names = ["a", "b", "c"]
        let rule = HTTPRule.to().with {
            $0.action = .forward(zip(names, weights).map { HTTPBackend(target: .shop($0), weight: $1) })
        }
        let fixture = try RouteFixture([rule])
        var random = SeededGenerator(seed: 1)
        var counts: [String: Int] = [:]
        let requests = 20_000
        try SyntheticRequest(host: "web").withView { view in
            for _ in 0..<requests {
                let decision = fixture.table.route(fixture.service, view, random: random.next())
                counts[fixture.describe(decision), default: 0] += 1
            }
        }
        let total = Double(weights.reduce(0, +))
        for (name, weight) in zip(names, weights) {
            let share = Double(weight) / total
            let deviation = (Double(requests) * share * (1 - share)).squareRoot()
            #expect(abs(Double(counts[name] ?? 0) - Double(requests) * share) <= 3 * deviation)
        }
        #expect(counts.values.reduce(0, +) == requests)
    }

    /// The specification: an invalid backend's share gets 500.
    @Test func invalidBackendsKeepTheirShare() throws {
        let rule = HTTPRule.to().with {
            $0.action = .forward([
                HTTPBackend(target: .shop("a"), weight: 3), HTTPBackend(target: .invalid("none"), weight: 1),
            ])
        }
        let fixture = try RouteFixture([rule])
        let quarter = UInt64.max / 4
        let outcomes = try (0..<4).map {
            try fixture.outcome(SyntheticRequest(host: "web"), random: quarter * $0 + quarter / 2)
        }
        #expect(outcomes == ["a", "a", "a", "500"])
    }

    /// HTTPRouteRequestMirror, RequestMultipleMirrors, RequestPercentageMirror.
    @Test func mirrors() throws {
        let rule = HTTPRule.to("a").with { rule in
            rule.mirrors = [
                HTTPMirror(target: .shop("b"), partsPerMillion: 200_000), HTTPMirror(target: .invalid("none")),
            ]
            guard case .forward(var backends) = rule.action else { return }
            backends[0].mirrors = [HTTPMirror(target: .shop("c"))]
            rule.action = .forward(backends)
        }
        let fixture = try RouteFixture([rule])
        let decision = try fixture.decide(SyntheticRequest(host: "web"))
        let mirrors = fixture.table.backends[Int(decision.backend)].mirrors.indices.map { fixture.table.mirrors[$0] }
        #expect(
            mirrors.map { $0.cluster < 0 ? "" : fixture.table.clusters[Int($0.cluster)].key.service.name } == [
                "b", "", "c",
            ])

        var random = SeededGenerator(seed: 2)
        let requests = 20_000
        let copies = (0..<requests).count { _ in mirrors[0].isChosen(random: random.next()) }
        #expect(abs(Double(copies) - 4000) <= 3 * (20_000 * 0.2 * 0.8).squareRoot())
        #expect((0..<requests).allSatisfy { _ in mirrors[2].isChosen(random: random.next()) })
    }

    @Test(
        arguments: [(0, 0, false), (1_000_000, UInt64.max, true), (500_000, UInt64.max / 2 - 1, true)]
            as [(UInt32, UInt64, Bool)])
    func percentages(_ partsPerMillion: UInt32, _ random: UInt64, _ isChosen: Bool) {
        #expect(Percentage.isChosen(partsPerMillion, random: random) == isChosen)
    }
}
