import Mesh

/// A decision with the steps that led to it, in words.
public struct RouteExplanation: Sendable, Equatable {
    /// In the order in which they were taken.
    public var steps: [String]
    public var decision: RouteDecision
}

extension RouteTable {
    /// Decides like `route`, and says why. Matches are tried one by one in the order of precedence, so this is slow where
    /// there are many.
    public func explain(_ service: Int, _ view: borrowing RequestView, random: UInt64)
        -> RouteExplanation
    {
        var steps: [String] = []
        let ruleSet = ruleSet(of: service, for: view.source)
        let entry = ruleSets[ruleSet]
        let name = serviceNames[service]
        steps.append(
            "service \(name.service):\(name.port)"
                + (entry.namespace < 0 ? "" : ", with the rules that the client's namespace has for it"))
        guard entry.hasRules else {
            steps.append("there are no rules: to the service itself")
            return RouteExplanation(steps: steps, decision: route(service, view, random: random))
        }
        for (table, title) in hostTables(of: ruleSet, view) {
            let ranking = hostTables[table].ranking
            steps.append("\(title): \(ranking.count) \(ranking.count == 1 ? "match" : "matches")")
            var skipped = 0
            for index in ranking.indices {
                let candidate = candidates[Int(self.ranking[index])]
                guard pathMatches(candidate, view) else {
                    skipped += 1
                    continue
                }
                let title =
                    "\(ruleTitles[Int(candidate.rule)]) match \(candidate.match), \(describePath(candidate))"
                if let problem = problem(candidate, view) {
                    steps.append("\(title): no, \(problem)")
                    continue
                }
                if skipped > 0 { steps.append("\(skipped) with a higher precedence have another path") }
                steps.append("\(title): yes")
                let decision = decide(candidate, view, random: random)
                describe(decision, &steps)
                return RouteExplanation(steps: steps, decision: decision)
            }
            if skipped > 0 { steps.append("\(skipped) have another path") }
        }
        steps.append("no rule matches: 404")
        return RouteExplanation(steps: steps, decision: .notFound)
    }

    /// The tables that a request's host name reaches, the most specific first.
    private func hostTables(of ruleSet: Int, _ view: borrowing RequestView) -> [(
        table: Int, title: String
    )] {
        var result: [(table: Int, title: String)] = []
        let entry = ruleSets[ruleSet]
        let host = String(view.host)
        let exact = hostTable(ruleSet: ruleSet, isWildcard: false, view.host)
        if exact >= 0 { result.append((exact, "rules for host \(host)")) }
        var start = 0
        while let dot = ByteText.index(of: UInt8(ascii: "."), in: view.host, from: start) {
            start = dot + 1
            let suffix = view.host.extracting(start..<view.host.byteCount)
            let table = hostTable(ruleSet: ruleSet, isWildcard: true, suffix)
            if table >= 0 { result.append((table, "rules for hosts *.\(String(suffix))")) }
        }
        if entry.anyHost >= 0 { result.append((Int(entry.anyHost), "rules for any host")) }
        return result
    }

    // MARK: - Matches

    /// What the trie answers, for one candidate.
    private func pathMatches(_ candidate: RouteCandidate, _ view: borrowing RequestView) -> Bool {
        var condition = RouteCondition(subject: .path, test: .exact)
        condition.value = candidate.path
        switch candidate.pathKind {
        case .any: return true
        // Among the conditions.
        case .regex: return true
        case .exact: condition.test = candidate.ignoresPathCase ? .exactAnyCase : .exact
        case .element: condition.test = candidate.ignoresPathCase ? .elementAnyCase : .element
        case .text: condition.test = candidate.ignoresPathCase ? .prefixAnyCase : .prefix
        }
        return holds(condition, of: view)
    }

    private func describePath(_ candidate: RouteCandidate) -> String {
        let path = String(text(candidate.path))
        let anyCase = candidate.ignoresPathCase ? " in any case" : ""
        return switch candidate.pathKind {
        case .any: "any path"
        case .exact: "path \(path)\(anyCase)"
        case .element: "path prefix \(path.isEmpty ? "/" : path)\(anyCase)"
        case .text: "path starting with \(path)\(anyCase)"
        case .regex: "path like \(path)\(anyCase)"
        }
    }

    /// The first condition that does not hold; nil if all do.
    private func problem(_ candidate: RouteCandidate, _ view: borrowing RequestView) -> String? {
        for index in candidate.conditions.indices where !holds(conditions[index], of: view) {
            return describe(conditions[index])
        }
        return nil
    }

    private func describe(_ condition: RouteCondition) -> String {
        let name = String(text(condition.name))
        let subject =
            switch condition.subject {
            case .path: "the path"
            case .method: "the method"
            case .header: "header \(name)"
            case .query: "query parameter \(name)"
            case .authority: "the authority"
            case .scheme: "the scheme"
            case .source: "the client"
            }
        let value = String(text(condition.value))
        let verb = condition.isNegated ? "is" : "is not"
        if condition.subject == .source {
            return "\(subject) is not one of the workloads that it is for"
        }
        return switch condition.test {
        case .exact, .exactAnyCase: "\(subject) \(verb) \(value)"
        case .prefix, .prefixAnyCase:
            "\(subject) \(condition.isNegated ? "starts" : "does not start") with \(value)"
        case .element, .elementAnyCase: "\(subject) \(verb) under \(value)"
        case .regex: "\(subject) \(condition.isNegated ? "matches" : "does not match") \(value)"
        case .present: "\(subject) \(verb) there"
        case .wildcardOrigin: "\(subject) \(verb) like \(value)*\(String(text(condition.suffix)))"
        }
    }

    // MARK: - What follows

    private func describe(_ decision: RouteDecision, _ steps: inout [String]) {
        let rule = ruleConfigs[Int(decision.rule)]
        if rule.cors != nil {
            steps.append(
                decision.allowsOrigin ? "CORS: the origin is allowed" : "CORS: no origin that is allowed")
        }
        if rule.fault != nil { steps.append("a fault may be injected") }
        for limit in rule.rateLimits { steps.append("rate limit \(limit.name)") }
        switch decision.kind {
        case .preflight: return steps.append("answered here: CORS preflight, 204")
        case .respond:
            if case .respond(let response) = rule.action {
                steps.append("answered here: direct response, \(response.status)")
            }
            return
        case .redirect where decision.backend < 0:
            if case .redirect(let redirect) = rule.action {
                steps.append("answered here: redirect, \(redirect.status)")
            }
            return
        case .forward, .refuse, .redirect: break
        }

        guard case .forward(let configs) = rule.action else { return }
        let total = configs.reduce(0) { $0 + UInt64($1.weight) }
        if configs.isEmpty { steps.append("the rule has no backend") }
        for (index, config) in configs.enumerated() {
            let place = Int(rules[Int(decision.rule)].backends.start) + index
            let share = total == 0 ? 0 : Double(config.weight) * 100 / Double(total)
            let problem = String(text(backends[place].problem))
            steps.append(
                "backend \(describe(config.target)), \(Self.percent(share))"
                    + (problem.isEmpty ? "" : ", invalid: \(problem)")
                    + (place == Int(decision.backend) ? ", chosen" : ""))
        }
        switch decision.kind {
        case .refuse: steps.append("answered here: \(decision.status), \(decision.detail.text)")
        case .redirect: steps.append("answered here: the backend's redirect")
        default: describeForwarding(rule, decision, &steps)
        }
    }

    private func describeForwarding(
        _ rule: HTTPRule, _ decision: RouteDecision, _ steps: inout [String]
    ) {
        let backend = backends[Int(decision.backend)]
        if backend.rewrite >= 0 {
            let rewrite = rewrites[Int(backend.rewrite)]
            if !rewrite.host.isEmpty { steps.append("host rewritten to \(String(text(rewrite.host)))") }
            if rewrite.path.kind != .none {
                steps.append("path rewritten with \(String(text(rewrite.path.value)))")
            }
        }
        describe(backend.requestEdit, "request", &steps)
        describe(backend.responseEdit, "response", &steps)
        for index in backend.mirrors.indices {
            let mirror = mirrors[index]
            let target =
                mirror.cluster < 0 ? "an invalid backend" : clusters[Int(mirror.cluster)].key.description
            steps.append(
                "mirrored to \(target), \(Self.percent(Double(mirror.partsPerMillion) / 10_000))")
        }
        if let timeout = rule.timeouts.request { steps.append("request timeout \(timeout) ms") }
        if let timeout = rule.timeouts.backendRequest { steps.append("backend timeout \(timeout) ms") }
        if let retry = rule.retry { steps.append("up to \(retry.attempts) retries") }
        if let persistence = rule.persistence {
            steps.append("session persistence by \(persistence.name)")
        }
        steps.append("to \(clusters[Int(decision.cluster)].key)")
    }

    private func describe(_ edit: Int32, _ message: String, _ steps: inout [String]) {
        guard edit >= 0 else { return }
        let edit = headerEdits[Int(edit)]
        let dropped = edit.dropped.indices.map { String(text(names[$0])) }
        if !dropped.isEmpty {
            steps.append("\(message) headers removed: \(dropped.joined(separator: ", "))")
        }
        let lines = String(text(edit.lines)).split(separator: "\r\n")
        if !lines.isEmpty { steps.append("\(message) headers added: \(lines.joined(separator: ", "))") }
        if !edit.host.isEmpty { steps.append("host set to \(String(text(edit.host)))") }
    }

    private func describe(_ target: HTTPBackend.Target) -> String {
        switch target {
        case .service(let name, let port, let subset):
            ClusterKey(service: name, port: port, subset: subset).description
        case .invalid: "none"
        }
    }

    /// With one decimal where it has one.
    private static func percent(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
    }
}

extension String {
    init(_ bytes: RawSpan) {
        self = unsafe bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }
}
