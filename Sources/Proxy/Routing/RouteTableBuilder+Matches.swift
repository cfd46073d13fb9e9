import Mesh

extension RouteTableBuilder {
    /// A match of a rule, with what its precedence depends on.
    private struct Ranked {
        var entry: PathTrieBuilder.Entry
        var isInTrie: Bool
        var precedence: MatchPrecedence
    }

    /// The table of a host name whose rules are given with their places.
    mutating func addHostTable(
        _ rules: [(place: Int, rule: HTTPRule)], _ order: HTTPRouting.Precedence
    ) -> Int32 {
        var all: [Ranked] = []
        for (position, rule) in rules.enumerated() {
            let matches = rule.rule.matches.isEmpty ? [HTTPMatch()] : rule.rule.matches
            for (index, match) in matches.enumerated() {
                all.append(ranked(match, index, rule.place, order, position: position))
            }
        }
        all.sort { $0.precedence < $1.precedence }
        for index in all.indices {
            all[index].entry.rank = UInt32(index)
            all[index].entry.candidate.rank = UInt32(index)
        }

        var table = RouteHostTable(root: 0)
        let firstCandidate = candidates.count
        table.root = PathTrieBuilder(all.lazy.filter(\.isInTrie).map(\.entry)).build(into: &self)
        table.others = append(candidates: all.lazy.filter { !$0.isInTrie }.map(\.entry.candidate))
        table.ranking = ranking.appendRun(
            (firstCandidate..<candidates.count).sorted { candidates[$0].rank < candidates[$1].rank }.map(
                UInt32.init))
        hostTables.append(table)
        return Int32(hostTables.count - 1)
    }

    private mutating func ranked(
        _ match: HTTPMatch, _ index: Int, _ rule: Int, _ order: HTTPRouting.Precedence, position: Int
    ) -> Ranked {
        let path = PathPattern(match)
        var conditions = self.conditions(of: match)
        let isInTrie = path.kind != .regex && !path.ignoresCase
        if !isInTrie { conditions.append(condition(for: path)) }
        let candidate = RouteCandidate(
            rank: 0, rule: UInt32(rule), match: UInt16(truncatingIfNeeded: index), pathKind: path.kind,
            ignoresPathCase: path.ignoresCase, path: text(path.text),
            conditions: self.conditions.appendRun(conditions))
        let entry = PathTrieBuilder.Entry(
            path: path.kind == .any ? [] : Array(path.text.utf8),
            kind: path.kind == .any ? .element : path.kind,
            rank: 0, candidate: candidate)
        let precedence =
            switch order {
            case .specificity: MatchPrecedence(path, match, order: (position, index))
            case .order: MatchPrecedence(order: (position, index))
            }
        return Ranked(entry: entry, isInTrie: isInTrie, precedence: precedence)
    }

    /// Everything that a match asks, its path included.
    mutating func allConditions(of match: HTTPMatch) -> [RouteCondition] {
        let path = PathPattern(match)
        let others = conditions(of: match)
        return path.kind == .any ? others : [condition(for: path)] + others
    }

    private mutating func condition(for path: PathPattern) -> RouteCondition {
        var condition = RouteCondition(subject: .path, test: path.test)
        if path.kind == .regex {
            condition.index = expression(path.expression)
        }
        condition.value = text(path.text)
        return condition
    }

    /// Cheap ones first.
    private mutating func conditions(of match: HTTPMatch) -> [RouteCondition] {
        var result: [RouteCondition] = []
        if let method = match.method {
            var compiled = condition(.method, method)
            if case .exact(let name) = method { compiled.method = HTTPMethod(named: name) }
            result.append(compiled)
        }
        if let scheme = match.scheme { result.append(condition(.scheme, scheme, ignoresCase: true)) }
        if !match.sourceLabels.isEmpty || match.sourceNamespace != nil {
            var source = RouteCondition(subject: .source, test: .present)
            source.index = sourceSet(.init(labels: match.sourceLabels, namespace: match.sourceNamespace))
            result.append(source)
        }
        if let authority = match.authority {
            result.append(condition(.authority, authority, ignoresCase: true))
        }
        result += match.headers.map { condition(header: $0) }
        result += match.withoutHeaders.map { header in
            var compiled = condition(header: header)
            compiled.isNegated = true
            return compiled
        }
        result += match.query.map { parameter in
            var compiled = condition(.query, parameter.value)
            compiled.name = text(parameter.name)
            return compiled
        }
        return result
    }

    mutating func condition(header: NamedMatch) -> RouteCondition {
        var compiled = condition(.header, header.value)
        compiled.name = text(header.name.lowercased())
        return compiled
    }

    private mutating func condition(
        _ subject: RouteCondition.Subject, _ match: TextMatch, ignoresCase: Bool = false
    ) -> RouteCondition {
        switch match {
        case .exact(let value):
            var condition = RouteCondition(subject: subject, test: ignoresCase ? .exactAnyCase : .exact)
            condition.value = text(ignoresCase ? value.lowercased() : value)
            return condition
        case .prefix(let value):
            var condition = RouteCondition(subject: subject, test: ignoresCase ? .prefixAnyCase : .prefix)
            condition.value = text(ignoresCase ? value.lowercased() : value)
            return condition
        case .regex(let value):
            var condition = RouteCondition(subject: subject, test: .regex)
            condition.value = text(value)
            condition.index = expression(value)
            return condition
        case .present:
            return RouteCondition(subject: subject, test: .present)
        }
    }

    /// The conditions of origins, of which one has to hold.
    mutating func origins(_ origins: [TextMatch]) -> RouteRun {
        let compiled = origins.map { origin in
            guard case .exact(let text) = origin, let star = text.firstIndex(of: "*") else {
                return condition(.header, origin, ignoresCase: true)
            }
            var condition = RouteCondition(subject: .header, test: .wildcardOrigin)
            condition.value = self.text(text[..<star].lowercased())
            condition.suffix = self.text(text[text.index(after: star)...].lowercased())
            return condition
        }
        return conditions.appendRun(compiled)
    }
}

extension HTTPMethod {
    /// Methods are case-sensitive (RFC 9110 section 9.1).
    init(named name: String) {
        switch name {
        case "GET": self = .get
        case "HEAD": self = .head
        case "POST": self = .post
        case "PUT": self = .put
        case "DELETE": self = .delete
        case "CONNECT": self = .connect
        case "OPTIONS": self = .options
        case "TRACE": self = .trace
        case "PATCH": self = .patch
        default: self = .other
        }
    }
}
