import Mesh
import Testing

@testable import Proxy

@Suite struct PolicyDifferentialTests {
    /// 100,000 requests under 5,000 sets of policies.
    @Test(arguments: 0..<5) func decisionsAreThoseOfTheReference(part: Int) throws {
        var random = RandomPolicies(generator: SeededGenerator(seed: 4711 + UInt64(part) << 32))
        var verdicts: [Substring: Int] = [:]
        for round in 0..<1000 {
            let policies = random.policies()
            let fixture = PolicyFixture(policies)
            let reference = ReferenceAuthorizer(policies: policies)
            for _ in 0..<20 {
                let facts = random.facts()
                let expected = reference.verdict(facts)
                let found = try fixture.verdict(facts)
                guard found == expected else {
                    Issue.record(
                        "part \(part), round \(round): \(found), not \(expected), for \(facts) under \(policies)")
                    return
                }
                verdicts[expected.prefix { $0 != " " }, default: 0] += 1
            }
        }
        // The requests are worth comparing only if every outcome is frequent.
        for verdict in ["allow", "deny", "ask"] { #expect(verdicts[verdict[...], default: 0] > 1000, "\(verdicts)") }
    }
}
