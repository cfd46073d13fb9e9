import Mesh

@testable import Proxy

/// Finds a request's rule straight from the specification: every match of every rule is looked at, and the best is taken.
struct ReferenceMatcher {
    let rules: [HTTPRule]
    let precedence: HTTPRouting.Precedence

    /// Of a request, as the specification speaks of it.
    struct Request {
        var method: String
        var path: String
        var query: [(String, String)]
        var host: String
        var headers: [(String, String)]
    }

    func find(_ request: Request) -> (rule: Int, match: Int)? {
        var best: (key: [Int], rule: Int, match: Int)?
        for (place, rule) in rules.enumerated() {
            guard let host = hostKey(rule, request.host) else { continue }
            let matches = rule.matches.isEmpty ? [HTTPMatch()] : rule.matches
            for (index, match) in matches.enumerated() where holds(match, request) {
                // The greatest wins.
                var key = host
                if precedence == .specificity { key += pathKey(match) + otherKey(match) }
                key += [-place, -index]
                if let best, !best.key.lexicographicallyPrecedes(key) { continue }
                best = (key, place, index)
            }
        }
        return best.map { ($0.rule, $0.match) }
    }

    /// Characters in a matching non-wildcard host name, characters in a matching host name; nil: none matches.
    private func hostKey(_ rule: HTTPRule, _ host: String) -> [Int]? {
        if rule.hostnames.isEmpty { return [0, 0] }
        var best: [Int]?
        for name in rule.hostnames {
            var key: [Int]?
            if name.hasPrefix("*.") {
                if host.hasSuffix(name.dropFirst()), host.count > name.count - 1 { key = [0, name.count] }
            } else if host == name {
                key = [name.count, name.count]
            }
            if let key, best.map({ $0.lexicographicallyPrecedes(key) }) ?? true { best = key }
        }
        return best
    }

    private func pathKey(_ match: HTTPMatch) -> [Int] {
        switch match.path {
        case .exact: [3, 0]
        case .prefix(let prefix) where trimmed(prefix) != "": [2, trimmed(prefix).count]
        case .textPrefix(let prefix) where prefix != "/": [2, prefix.count]
        case .regex(let expression): [1, expression.count]
        default: [0, 0]
        }
    }

    private func otherKey(_ match: HTTPMatch) -> [Int] {
        [match.method == nil ? 0 : 1, match.headers.count, match.query.count]
    }

    private func holds(_ match: HTTPMatch, _ request: Request) -> Bool {
        var pathHolds = true
        switch match.path {
        case nil: break
        case .exact(let path): pathHolds = request.path == path
        case .prefix(let prefix):
            // By elements: the prefix's are the first ones of the path.
            let elements = trimmed(prefix).split(separator: "/", omittingEmptySubsequences: false)
            pathHolds = request.path.split(separator: "/", omittingEmptySubsequences: false).starts(with: elements)
        case .textPrefix(let prefix): pathHolds = request.path.hasPrefix(prefix)
        case .regex(let expression):
            // The only expression that the random tables use.
            pathHolds = expression == "/[ab]/.*" && (request.path.hasPrefix("/a/") || request.path.hasPrefix("/b/"))
        }
        return pathHolds
            && (match.method.map { holds($0, request.method) } ?? true)
            && match.headers.allSatisfy { named in
                request.headers.contains { $0.0 == named.name && holds(named.value, $0.1) }
            }
            && match.withoutHeaders.allSatisfy { named in
                !request.headers.contains { $0.0 == named.name && holds(named.value, $0.1) }
            }
            && match.query.allSatisfy { named in
                request.query.first { $0.0 == named.name }.map { holds(named.value, $0.1) } ?? false
            }
    }

    private func holds(_ match: TextMatch, _ value: String) -> Bool {
        switch match {
        case .exact(let text): value == text
        case .prefix(let text): value.hasPrefix(text)
        case .regex: false
        case .present: true
        }
    }

    private func trimmed(_ prefix: String) -> String { prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix }
}
