import Mesh

extension ObjectDecoder {
    /// Weft's TrafficPolicy: its balancing part.
    static func decodeTrafficPolicy(
        _ root: YAMLValue, _ issues: inout [ConditionIssue]
    ) -> TrafficPolicyResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var policy = TrafficPolicyResource()
        spec.forEachField { name, value in
            switch name {
            case "targetRefs": policy.targets = value.map { targetRef($0, &issues) }
            case "loadBalancer": readLoadBalancer(value, &policy)
            default: value.reportUnknownField()
            }
        }
        if let refs = spec.field("targetRefs") {
            if refs.isEmptySequence { refs.report("at least one target is required") }
        } else if spec.isMapping {
            spec.reportMissing("targetRefs")
        }
        return policy
    }

    private static func targetRef(_ value: YAMLValue, _ issues: inout [ConditionIssue]) -> String? {
        var name: String?
        var kind = ""
        var group = ""
        var section: String?
        value.forEachField { field, value in
            switch field {
            case "group": group = value.string() ?? ""
            case "kind": kind = value.string() ?? ""
            case "name": name = value.name(.subdomain)
            case "sectionName": section = value.string()
            default: value.reportUnknownField()
            }
        }
        for field in ["kind", "name"] where value.isMapping && value.field(field) == nil { value.reportMissing(field) }
        guard let name, !kind.isEmpty else { return nil }
        guard kind == "Service", group.isEmpty || group == "core" else {
            issues.append(
                ConditionIssue(
                    .resolvedRefs, reason: "InvalidKind",
                    message: "\(group.isEmpty ? kind : "\(kind).\(group)") cannot be a target: only Service can"))
            return nil
        }
        if let section {
            issues.append(.unsupported("sectionName \"\(section)\": the policy applies to every port of the service"))
        }
        return name
    }

    private static func readLoadBalancer(_ value: YAMLValue, _ policy: inout TrafficPolicyResource) {
        value.forEachField { name, value in
            switch name {
            case "algorithm":
                policy.algorithm = value.choice([
                    "Random": .random, "RoundRobin": .roundRobin, "LeastConnections": .leastConnections,
                    "Maglev": .maglev,
                ])
            case "sessionAffinity":
                value.forEachField { name, value in
                    guard name == "timeout" else { return value.reportUnknownField() }
                    policy.affinitySeconds = value.durationSeconds()
                }
                if value.isMapping, value.field("timeout") == nil { value.reportMissing("timeout") }
            default: value.reportUnknownField()
            }
        }
    }
}

extension YAMLValue {
    /// A Gateway API duration (GEP-2257: `([0-9]{1,5}(h|m|s|ms)){1,4}`) in whole seconds, 1 s to 24 h.
    func durationSeconds() -> UInt32? {
        guard let text = string() else { return nil }
        guard let milliseconds = Self.milliseconds(text) else {
            report("\"\(text.prefix(64))\" is not a duration such as 10s, 1m30s or 1h")
            return nil
        }
        guard milliseconds % 1000 == 0, (1...86400).contains(milliseconds / 1000) else {
            report("\(text) is not in whole seconds from 1s to 24h")
            return nil
        }
        return UInt32(milliseconds / 1000)
    }

    private static func milliseconds(_ text: String) -> Int? {
        var total = 0
        var parts = 0
        var rest = text[...]
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest[digits.endIndex...]
            let unit = rest.prefix { ("a"..."z").contains($0) }
            rest = rest[unit.endIndex...]
            let factors = ["h": 3_600_000, "m": 60000, "s": 1000, "ms": 1]
            guard (1...5).contains(digits.count), let value = Int(digits), let factor = factors[String(unit)] else {
                return nil
            }
            total += value * factor
            parts += 1
        }
        return (1...4).contains(parts) ? total : nil
    }
}
