extension RouteTable {
    /// Decides about a request to a service.
    ///
    /// - Parameters:
    ///   - service: its place, from `service(_:)`.
    ///   - random: uniform over 64 bits; chooses among weighted backends.
    public func route(_ service: Int, _ view: borrowing RequestView, random: UInt64) -> RouteDecision {
        let ruleSet = ruleSet(of: service, for: view.source)
        guard ruleSets[ruleSet].hasRules else {
            var decision = RouteDecision(.forward)
            decision.cluster = services[service].cluster
            return decision
        }
        let found = candidate(in: ruleSet, view)
        return found < 0 ? .notFound : decide(candidates[found], view, random: random)
    }

    /// The rules that a client's requests to a service are subject to.
    func ruleSet(of service: Int, for source: UInt64) -> Int {
        let sets = services[service].ruleSets
        if sets.count > 1 {
            let namespace = sources.namespace(of: source)
            for index in sets.indices where namespace >= 0 && ruleSets[index].namespace == namespace {
                return index
            }
        }
        return sets.indices.lowerBound
    }

    /// Most specific host name first; a table in which nothing matches leaves the request to the next one, because the
    /// precedence of host names is one among rules that match.
    private func candidate(in ruleSet: Int, _ view: borrowing RequestView) -> Int {
        let entry = ruleSets[ruleSet]
        if entry.hasExactHosts {
            let table = hostTable(ruleSet: ruleSet, isWildcard: false, view.host)
            if table >= 0 {
                let found = bestCandidate(in: hostTables[table], view)
                if found >= 0 { return found }
            }
        }
        if entry.hasWildcardHosts {
            var start = 0
            while let dot = ByteText.index(of: UInt8(ascii: "."), in: view.host, from: start) {
                start = dot + 1
                let suffix = view.host.extracting(start..<view.host.byteCount)
                let table = hostTable(ruleSet: ruleSet, isWildcard: true, suffix)
                guard table >= 0 else { continue }
                let found = bestCandidate(in: hostTables[table], view)
                if found >= 0 { return found }
            }
        }
        return entry.anyHost < 0 ? -1 : bestCandidate(in: hostTables[Int(entry.anyHost)], view)
    }

    func decide(_ candidate: RouteCandidate, _ view: borrowing RequestView, random: UInt64)
        -> RouteDecision
    {
        let rule = rules[candidate.rule]
        var decision = RouteDecision(.forward)
        decision.rule = Int32(truncatingIfNeeded: candidate.rule)
        decision.pathKind = candidate.pathKind
        switch candidate.pathKind {
        case .element, .text: decision.matchedBytes = UInt16(truncatingIfNeeded: candidate.path.count)
        case .exact, .regex: decision.matchedBytes = UInt16(truncatingIfNeeded: view.path.byteCount)
        case .any: break
        }

        if rule.cors >= 0 {
            decision.allowsOrigin = allows(cors[Int(rule.cors)], originOf: view)
            if decision.allowsOrigin, isPreflight(view) {
                decision.kind = .preflight
                decision.detail = .corsPreflight
                return decision
            }
        }
        switch rule.kind {
        case .redirect:
            decision.kind = .redirect
            decision.detail = .redirected
        case .respond:
            decision.kind = .respond
            decision.detail = .directResponse
        case .forward:
            chooseBackend(of: rule, random: random, &decision)
        }
        return decision
    }

    private func chooseBackend(of rule: RouteRule, random: UInt64, _ decision: inout RouteDecision) {
        let number = random.multipliedFullWidth(by: rule.totalWeight).high
        for index in rule.backends.indices {
            let backend = backends[index]
            guard number < backend.threshold else { continue }
            decision.backend = Int32(truncatingIfNeeded: index)
            if backend.redirect >= 0 {
                decision.kind = .redirect
                decision.detail = .redirected
                return
            }
            guard backend.cluster >= 0 else { break }
            decision.cluster = backend.cluster
            return
        }
        // No backend, none with a weight, or an invalid one: HTTPRoute's backendRefs.
        decision.kind = .refuse
        decision.status = 500
        decision.detail = .invalidBackend
    }
}
