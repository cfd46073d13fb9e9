import Mesh
import Testing
import WeftABI

@testable import Proxy

/// Tables that the programs decide by against those that the workers decide by.
@Suite("Rules of the shortcut")
struct ShortcutRuleTests {
    /// Over all seeds 1,200 sets of rules that can be decided in the kernel, and 180,000 requests.
    private static let sets = 300
    private static let requestsOfEach = 150

    private struct Tally {
        var refused = 0
        var taken = 0
        var left = 0
        /// The workers forward it, allow it, and no rule asks for more.
        var takeable = 0
        var denied = 0
    }

    @Test("What is taken, the workers would have forwarded to the same cluster", arguments: [1, 2, 3, 4])
    func decisions(seed: UInt64) throws {
        var random = RandomRules(seed: seed)
        var tally = Tally()
        var compiledSets = 0
        while compiledSets < Self.sets {
            let precedence = random.precedence()
            let fixture = ShortcutFixture(
                random.rules(precedence), precedence: precedence, policies: random.policies())
            let client = ShortcutFixture.Client.allCases[Int(random.random() % 3)]
            let compiled: CompiledShortcuts
            do throws(CompiledShortcuts.Refusal) {
                compiled = try fixture.compile(client)
            } catch {
                tally.refused += 1
                continue
            }
            compiledSets += 1
            let decider = ShortcutDecider(compiled)
            for _ in 0..<Self.requestsOfEach {
                let request = random.request(client)
                guard try isRight(request, random.random(), fixture, compiled, decider, &tally) else {
                    return
                }
            }
        }
        // A compiler that refuses everything would be right too.
        #expect(tally.refused < 2 * Self.sets, "\(tally)")
        #expect(tally.taken > Self.sets * Self.requestsOfEach / 10, "\(tally)")
        #expect(tally.taken * 5 > tally.takeable * 2, "\(tally)")
        #expect(tally.denied > Self.sets * Self.requestsOfEach / 20, "\(tally)")
    }

    private func isRight(
        _ request: SyntheticRequest, _ random: UInt64, _ fixture: ShortcutFixture, _ compiled: CompiledShortcuts,
        _ decider: ShortcutDecider, _ tally: inout Tally
    ) throws -> Bool {
        // What is not understood is not taken.
        guard let reason = decider.decide(request, random: UInt32(random >> 32)) else { return true }
        let outcome = try fixture.outcome(request, random: random)
        if !outcome.isAllowed { tally.denied += 1 }
        if outcome.isAllowed, outcome.isForwarded, outcome.isPlain { tally.takeable += 1 }
        guard reason == WEFT_SHORTCUT_TAKEN else {
            tally.left += 1
            return true
        }
        tally.taken += 1
        let choice = decider.choice
        let cluster = compiled.clusters[Int(choice.cluster)]
        let allowing = choice.allow == 0 ? nil : compiled.allowing.first { $0.place == Int(choice.allow) - 1 }?.rule
        let isRight =
            outcome.isAllowed && outcome.isForwarded && outcome.isPlain && Int(outcome.decision.cluster) == cluster
            && allowing.map(outcome.allowing.contains) ?? (choice.allow == 0)
        if !isRight {
            Issue.record(
                """
                \(request) goes to \(cluster), allowed by \(String(describing: allowing)), but \(outcome)
                under \(fixture.routes.ruleConfigs)
                """)
        }
        return isRight
    }

    @Test(
        "Requests are spread by their backends' weights",
        arguments: [[1], [1, 1], [1, 0, 3], [0, 1_000_000, 1], [7, 2, 1, 90]])
    func weights(weights: [UInt32]) throws {
        let names = ["a", "b", "c", "web"]
        let fixture = ShortcutFixture([
            .to { rule in
                rule.action = .forward(
                    zip(names, weights).map { name, weight in
                        HTTPBackend(target: .service(.shop(name), port: 80, subset: nil), weight: weight)
                    })
            }
        ])
        let compiled = try fixture.compile()
        let decider = ShortcutDecider(compiled)
        #expect(decider.decide(SyntheticRequest(host: "x.y"), random: 0) == WEFT_SHORTCUT_TAKEN)
        var counts: [String: Int] = [:]
        var random = RandomRules(seed: 9)
        let rounds = 50_000
        for _ in 0..<rounds {
            #expect(decider.decideAgain(random: UInt32(random.random() >> 32)) == WEFT_SHORTCUT_TAKEN)
            let cluster = compiled.clusters[Int(decider.choice.cluster)]
            counts[fixture.routes.clusters[cluster].key.service.name, default: 0] += 1
        }
        let total = Double(weights.reduce(0, +))
        for (name, weight) in zip(names, weights) {
            let share = Double(counts[name, default: 0]) / Double(rounds)
            #expect(abs(share - Double(weight) / total) < 0.01, "\(counts)")
            if weight == 0 { #expect(counts[name] == nil) }
        }
        for random in [0, UInt32.max] {
            #expect(decider.decideAgain(random: random) == WEFT_SHORTCUT_TAKEN)
            let cluster = compiled.clusters[Int(decider.choice.cluster)]
            let name = fixture.routes.clusters[cluster].key.service.name
            #expect(zip(names, weights).contains { $0 == name && $1 > 0 })
        }
    }

    /// The agent answers a share without a valid backend with 500. It draws for itself: were only that share left to it, it
    /// would have a part of that part.
    @Test("Requests that are spread are the agent's if a share leads nowhere, or is changed", arguments: [1, 2])
    func shares(place: Int) throws {
        let rule = HTTPRule.to("a", "b", "c") { rule in
            guard case .forward(var backends) = rule.action else { return }
            if place == 1 {
                backends[1].target = .invalid("gone")
            } else {
                backends[2].requestHeaders.set = [.init(name: "a", value: "b")]
            }
            rule.action = .forward(backends)
        }
        let other = HTTPRule.to("a") { rule in
            rule.matches = [HTTPMatch()]
            rule.matches[0].path = .exact("/other")
        }
        let decider = ShortcutDecider(try ShortcutFixture([rule, other]).compile())
        #expect(decider.decide(SyntheticRequest(target: "/other", host: "x.y"), random: 0) == WEFT_SHORTCUT_TAKEN)
        #expect(decider.decide(SyntheticRequest(host: "x.y"), random: 0) == WEFT_SHORTCUT_RULE)
        for random in [UInt32.max / 3 - 1, .max / 3 + 1, .max / 3 * 2 + 2, .max] {
            #expect(decider.decideAgain(random: random) == WEFT_SHORTCUT_RULE)
        }
    }

    @Test("A share of nothing does no harm") func nothing() throws {
        let rule = HTTPRule.to("a", "b") { rule in
            guard case .forward(var backends) = rule.action else { return }
            backends[1].target = .invalid("gone")
            backends[1].weight = 0
            rule.action = .forward(backends)
        }
        let decider = ShortcutDecider(try ShortcutFixture([rule]).compile())
        #expect(decider.decide(SyntheticRequest(host: "x.y"), random: 0) == WEFT_SHORTCUT_TAKEN)
        #expect(decider.decideAgain(random: .max) == WEFT_SHORTCUT_TAKEN)
    }

    @Test("Paths are told apart up to the last byte that is compared", arguments: [1, 7, 8, 9, 55, 56, 57, 62, 63])
    func pathLengths(count: Int) throws {
        let path = "/" + String(repeating: "p", count: count - 1)
        let others = [path + "p", path + "/p", String(path.dropLast()) + "q", path + String(repeating: "p", count: 80)]
        let fixtures: [(match: PathMatch, takes: [Bool])] = [
            (.exact(path), [false, false, false, false]),
            (.prefix(path), count == 1 ? [true, true, true, true] : [false, true, false, false]),
            (.textPrefix(path), [true, true, false, true]),
        ]
        for (match, takes) in fixtures {
            let rule = HTTPRule.to("a") { rule in
                rule.matches = [HTTPMatch()]
                rule.matches[0].path = match
            }
            let decider = ShortcutDecider(try ShortcutFixture([rule], precedence: .order).compile())
            #expect(decider.decide(SyntheticRequest(target: path, host: "x.y"), random: 0) == WEFT_SHORTCUT_TAKEN)
            for (other, isTaken) in zip(others, takes) where other.first == "/" && !other.hasPrefix("//") {
                let reason = decider.decide(SyntheticRequest(target: other, host: "x.y"), random: 0)
                #expect(reason == (isTaken ? WEFT_SHORTCUT_TAKEN : WEFT_SHORTCUT_RULE), "\(match): \(other)")
            }
        }
    }
}
