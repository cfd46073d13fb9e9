import Mesh
import Testing

@testable import Proxy

/// Random tables and requests from a small alphabet, so that much matches and much almost matches.
@Suite struct DifferentialTests {
    private static let paths = [
        "/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/bc", "/b", "/b/a/c", "/abc/d", "/a/b/c", "/a/b/c/d", "/c",
    ]
    private static let hosts = ["x.y", "*.y", "z.x.y", "*.x.y", "y"]

    private static func match(_ random: inout SeededGenerator, _ precedence: HTTPRouting.Precedence) -> HTTPMatch {
        var match = HTTPMatch()
        let path = paths.randomElement(using: &random) ?? "/"
        switch Int.random(in: 0..<10, using: &random) {
        case 0...2: match.path = .exact(path)
        case 3...6: match.path = .prefix(path)
        case 7: match.path = precedence == .order ? .textPrefix(path) : nil
        case 8: match.path = .regex("/[ab]/.*")
        default: break
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            match.method = .exact(["GET", "POST", "BREW"].randomElement(using: &random) ?? "")
        }
        match.headers = named(["h", "i"], &random)
        match.query = named(["p", "q"], &random)
        if precedence == .order { match.withoutHeaders = named(["h", "i"], &random) }
        return match
    }

    private static func named(_ names: [String], _ random: inout SeededGenerator) -> [NamedMatch] {
        names.compactMap { name in
            switch Int.random(in: 0..<8, using: &random) {
            case 0: NamedMatch(name: name, value: .exact("1"))
            case 1: NamedMatch(name: name, value: .prefix("1"))
            case 2: NamedMatch(name: name, value: .present)
            default: nil
            }
        }
    }

    private static func rules(_ random: inout SeededGenerator, _ precedence: HTTPRouting.Precedence) -> [HTTPRule] {
        (0..<Int.random(in: 1...12, using: &random)).map { index in
            var rule = HTTPRule.to("a", "b", index: index)
            rule.matches = (0..<Int.random(in: 0...3, using: &random)).map { _ in match(&random, precedence) }
            rule.hostnames = (0..<Int.random(in: 0...2, using: &random)).map { _ in
                hosts.randomElement(using: &random) ?? ""
            }
            return rule
        }
    }

    private static func request(_ random: inout SeededGenerator) -> ReferenceMatcher.Request {
        func pairs(_ names: [String]) -> [(String, String)] {
            names.compactMap { name in
                let value = ["", "1", "12", "2"].randomElement(using: &random) ?? ""
                return Bool.random(using: &random) ? (name, value) : nil
            }
        }
        return ReferenceMatcher.Request(
            method: ["GET", "POST", "BREW", "HEAD"].randomElement(using: &random) ?? "",
            path: paths.randomElement(using: &random) ?? "/", query: pairs(["p", "q"]),
            host: ["x.y", "y", "z.x.y", "w.x.y", "w.y", "a.b.y", "other"].randomElement(using: &random) ?? "",
            headers: pairs(["h", "i"]))
    }

    private static func synthetic(_ request: ReferenceMatcher.Request) -> SyntheticRequest {
        let query = request.query.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
        return SyntheticRequest(
            method: request.method, target: request.path + (query.isEmpty ? "" : "?" + query), host: request.host,
            headers: request.headers.map { ($0.0.uppercased(), $0.1) })
    }

    @Test(arguments: [HTTPRouting.Precedence.specificity, .order], 0..<8 as Range<UInt64>)
    func tableAgreesWithTheSpecificationAndWithItsExplanation(
        _ precedence: HTTPRouting.Precedence, _ seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        var found = 0
        for _ in 0..<50 {
            let rules = Self.rules(&random, precedence)
            let reference = ReferenceMatcher(rules: rules, precedence: precedence)
            let fixture = try RouteFixture(rules, precedence: precedence)
            for _ in 0..<60 {
                let request = Self.request(&random)
                let expected = reference.find(request)
                let number = random.next()
                let (decision, explanation) = try Self.synthetic(request).withView { view in
                    (
                        fixture.table.route(fixture.service, view, random: number),
                        fixture.table.explain(fixture.service, view, random: number)
                    )
                }
                #expect(Int(decision.rule) == expected?.rule ?? -1, "\(rules) \(request)")
                #expect(explanation.decision == decision, "\(rules) \(request)")
                guard let expected else {
                    #expect(explanation.steps.last == "no rule matches: 404")
                    continue
                }
                found += 1
                let title = "\(rules[expected.rule].title) match \(expected.match), "
                #expect(explanation.steps.contains { $0.hasPrefix(title) && $0.hasSuffix(": yes") })
            }
        }
        // Neither everything nor nothing matches.
        #expect((300..<2900).contains(found))
    }
}
