// Istio's order: CUSTOM, DENY, and where there are ALLOW policies one of their rules has to match.
extension AuthorizationTable {
    /// Decides about a connection or a request.
    ///
    /// - Parameters:
    ///   - group: of `group(ofWorkload:)` or `group(ofService:)`.
    ///   - provider: has allowed it, and so have those before it; -1: none was asked.
    func evaluate(
        _ group: Int32, _ attributes: borrowing AuthorizationAttributes, after provider: Int32 = -1
    ) -> AuthorizationDecision {
        guard group >= 0 else { return AuthorizationDecision() }
        let group = groups[Int(group)]
        if group.deniesAll { return AuthorizationDecision(denied: group.implicitRule) }
        var decision = AuthorizationDecision()
        if !attributes.awaitsRequests, let rule = firstCustom(group.custom, attributes, after: provider) {
            // Whoever is to decide is not known: nobody allows it.
            guard rules[rule].provider >= 0 else { return AuthorizationDecision(denied: Int32(rule)) }
            decision.verdict = .external
            decision.rule = Int32(rule)
            decision.provider = rules[rule].provider
            return decision
        }
        decision = enforced(group, attributes)
        decision.shadowVerdict = decision.verdict
        if group.hasShadow { addShadow(group, attributes, &decision) }
        return decision
    }

    private func enforced(
        _ group: AuthorizationGroup, _ attributes: borrowing AuthorizationAttributes
    ) -> AuthorizationDecision {
        if let rule = first(group.deny, attributes) { return AuthorizationDecision(denied: Int32(rule)) }
        guard group.hasAllow else { return AuthorizationDecision() }
        guard let rule = first(group.allow, attributes) else {
            return AuthorizationDecision(denied: group.implicitRule)
        }
        var decision = AuthorizationDecision()
        decision.rule = Int32(rule)
        return decision
    }

    /// What it would be if the shadow policies were enforced as well, as the kernel decides it.
    private func addShadow(
        _ group: AuthorizationGroup, _ attributes: borrowing AuthorizationAttributes,
        _ decision: inout AuthorizationDecision
    ) {
        if let rule = first(group.audit, attributes) { decision.auditRule = Int32(rule) }
        let isImplicit = group.hasAllow && decision.rule == group.implicitRule
        // A denial that is enforced already needs no shadow verdict.
        if decision.verdict == .denied, !isImplicit { return }
        if let rule = first(group.shadowDeny, attributes) {
            decision.shadowVerdict = .denied
            decision.shadowRule = Int32(rule)
        } else if group.hasShadowAllow {
            if let rule = first(group.shadowAllow, attributes) {
                decision.shadowVerdict = .allowed
                decision.shadowRule = Int32(rule)
            } else if decision.rule < 0 || isImplicit {
                // Neither an enforced nor a shadow ALLOW matched.
                decision.shadowVerdict = .denied
                decision.shadowRule = group.shadowImplicitRule
            }
        }
    }

    private func first(_ run: RouteRun, _ attributes: borrowing AuthorizationAttributes) -> Int? {
        for index in run.indices {
            let rule = Int(members[index])
            if matches(rules[rule], attributes) { return rule }
        }
        return nil
    }

    private func firstCustom(
        _ run: RouteRun, _ attributes: borrowing AuthorizationAttributes, after provider: Int32
    ) -> Int? {
        for index in run.indices {
            let rule = Int(members[index])
            // Those without a known provider come first, and what they match has been denied.
            let wasAsked = rules[rule].provider >= 0 ? rules[rule].provider <= provider : provider >= 0
            if !wasAsked, matches(rules[rule], attributes) { return rule }
        }
        return nil
    }

    // MARK: Rules

    func matches(_ rule: AuthorizationRule, _ attributes: borrowing AuthorizationAttributes) -> Bool {
        mismatch(rule, attributes) == nil
    }

    /// Which part of a rule does not match.
    enum Mismatch { case sources, operations, condition(Int) }

    /// nil: the rule matches.
    func mismatch(_ rule: AuthorizationRule, _ attributes: borrowing AuthorizationAttributes) -> Mismatch? {
        if !matchesAny(rule.sources, rule, attributes) { return .sources }
        if !matchesAny(rule.operations, rule, attributes) { return .operations }
        for index in rule.conditions.indices where !holds(tests[index], rule, attributes) { return .condition(index) }
        return nil
    }

    private func matchesAny(
        _ run: RouteRun, _ rule: AuthorizationRule, _ attributes: borrowing AuthorizationAttributes
    ) -> Bool {
        if run.isEmpty { return true }
        for index in run.indices where holds(all: clauses[index], rule, attributes) { return true }
        return false
    }

    private func holds(
        all run: RouteRun, _ rule: AuthorizationRule, _ attributes: borrowing AuthorizationAttributes
    ) -> Bool {
        for index in run.indices where !holds(tests[index], rule, attributes) { return false }
        return true
    }

    /// A value that a request does not have equals none: the lists of values do not match it, those of `not` values do.
    private func holds(
        _ test: AttributeTest, _ rule: AuthorizationRule, _ attributes: borrowing AuthorizationAttributes
    ) -> Bool {
        if test.attribute.isOfRequest {
            guard let request = attributes.request else { return rule.takesMissingAsMatch != attributes.awaitsRequests }
            return hasValue(test, request, attributes) != test.isNegated
        }
        return hasValue(test, attributes) != test.isNegated
    }

    /// Of a connection.
    private func hasValue(_ test: AttributeTest, _ attributes: borrowing AuthorizationAttributes) -> Bool {
        switch test.attribute {
        case .principal: return passes(attributes.principal, test.values)
        case .namespace: return passes(attributes.namespace, test.values)
        case .sourceAddress: return contains(attributes.source, test.values)
        case .destinationAddress: return contains(attributes.destination, test.values)
        case .destinationPort:
            for index in test.values.indices where ports[index] == attributes.destination.port { return true }
            return false
        default: return false
        }
    }

    private func hasValue(
        _ test: AttributeTest, _ request: borrowing RequestView, _ attributes: borrowing AuthorizationAttributes
    ) -> Bool {
        switch test.attribute {
        case .method: return passes(request.bytes[request.head.methodText], test.values)
        case .path: return matchesPath(request.path, test.values)
        case .host: return matchesHost(request, test.values)
        case .authority: return passes(request.bytes[request.head.authority], test.values)
        case .target: return passesTarget(request, test.values)
        case .header: return passesHeader(request, text(test.name), test.values)
        case .remoteAddress: return contains(remoteAddress(request, peer: attributes.source), test.values)
        case .requestPrincipal, .audiences, .presenter, .claim:
            guard let claims = attributes.claims else { return false }
            return hasClaim(test, claims)
        // What is passed through with its server name is no request.
        default: return false
        }
    }

    private func hasClaim(_ test: AttributeTest, _ claims: borrowing RequestClaims) -> Bool {
        switch test.attribute {
        case .requestPrincipal: return passes(claims.principal, test.values)
        case .presenter:
            guard let presenter = claims.presenter else { return false }
            return passes(presenter, test.values)
        case .audiences: return passesAny(claims, claims.audiences, test.values)
        default:
            var node = JSONView.root
            for index in test.claim.indices {
                guard let member = claims.member(text(names[index]), of: node) else { return false }
                node = member
            }
            return passesAny(claims, claims.values(of: node), test.values)
        }
    }

    private func passesAny(_ claims: borrowing RequestClaims, _ cursor: ClaimCursor, _ values: RouteRun) -> Bool {
        var cursor = cursor
        while let value = claims.next(&cursor) {
            if passes(value, values) { return true }
        }
        return false
    }
}
