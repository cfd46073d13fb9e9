import Mesh

// How decisions come about, for people.
extension AuthorizationTable {
    /// What each rule says, in the order in which they are tried, up to the one that decides.
    func explain(_ group: Int32, _ attributes: borrowing AuthorizationAttributes) -> [String] {
        guard group >= 0 else { return ["no policy applies"] }
        let found = groups[Int(group)]
        if found.deniesAll { return ["nothing is known of the workload: denied"] }
        var steps: [String] = []
        let decision = evaluate(group, attributes)
        let runs = [("CUSTOM", found.custom), ("DENY", found.deny), ("ALLOW", found.allow)]
        for (action, run) in runs {
            for index in run.indices {
                let rule = Int(members[index])
                steps.append("\(action) \(ruleTitles[rule]) \(outcome(of: rules[rule], attributes))")
                guard decision.rule == Int32(rule) else { continue }
                return steps + [conclusion(decision)] + shadowSteps(decision)
            }
        }
        return steps + [conclusion(decision)] + shadowSteps(decision)
    }

    private func outcome(of rule: AuthorizationRule, _ attributes: borrowing AuthorizationAttributes) -> String {
        switch mismatch(rule, attributes) {
        case nil: "matches"
        case .sources: "does not match: the source is another one"
        case .operations: "does not match: the operation is another one"
        case .condition(let index): "does not match: \(Self.name(of: tests[index].attribute)) is another one"
        }
    }

    private func conclusion(_ decision: AuthorizationDecision) -> String {
        switch decision.verdict {
        case .external: "\(providers[Int(decision.provider)]) is asked"
        case .denied where decision.rule >= 0 && actions[Int(decision.rule)] == .allow:
            "denied: there is an ALLOW policy, and no rule of one matches"
        case .denied: "denied"
        case .allowed where decision.rule < 0: "allowed: no rule denies it, and there is no ALLOW policy"
        case .allowed: "allowed"
        }
    }

    private func shadowSteps(_ decision: AuthorizationDecision) -> [String] {
        var steps: [String] = []
        if decision.shadowRule >= 0, decision.shadowVerdict != decision.verdict {
            let verdict = decision.shadowVerdict == .denied ? "denied" : "allowed"
            steps.append(
                "with the shadow policies enforced it would be \(verdict) by \(ruleTitles[Int(decision.shadowRule)])")
        }
        if decision.auditRule >= 0 { steps.append("counted for AUDIT \(ruleTitles[Int(decision.auditRule)])") }
        return steps
    }

    private static func name(of attribute: AttributeTest.Attribute) -> String {
        switch attribute {
        case .principal: "source.principal"
        case .namespace: "source.namespace"
        case .sourceAddress: "source.ip"
        case .destinationAddress: "destination.ip"
        case .destinationPort: "destination.port"
        case .serverName: "connection.sni"
        case .remoteAddress: "remote.ip"
        case .host, .authority: "the host"
        case .method: "the method"
        case .path, .target: "the path"
        case .header: "request.headers"
        case .requestPrincipal: "request.auth.principal"
        case .audiences: "request.auth.audiences"
        case .presenter: "request.auth.presenter"
        case .claim: "request.auth.claims"
        }
    }
}
