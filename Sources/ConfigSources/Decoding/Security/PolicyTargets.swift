import Mesh

/// What a policy applies to: workloads by their labels, or services by their names.
struct PolicyTargets {
    var selector: [String: String] = [:]
    var services: [String] = []
    /// Targets that Weft has no requests of.
    private var others: [String] = []

    /// False when nothing is left that it could apply to.
    var isUsable: Bool { others.isEmpty || !services.isEmpty }

    /// Takes over the field `selector`, `targetRef` or `targetRefs`.
    mutating func read(_ field: String, _ value: YAMLValue) {
        switch field {
        case "selector": selector = Self.selector(value)
        case "targetRef": readReference(value)
        default:
            value.checkCount(16, of: "targets")
            value.forEachElement { readReference($0) }
        }
    }

    func check(_ spec: YAMLValue, _ issues: inout [ConditionIssue]) {
        let given = ["selector", "targetRef", "targetRefs"].compactMap { spec.field($0) }
        if given.count > 1 { given[1].report("selector, targetRef and targetRefs exclude each other") }
        for other in others {
            let rest = services.isEmpty ? ", so it is not in force" : ""
            issues.append(
                ConditionIssue(
                    .accepted, reason: "InvalidKind",
                    message: "\(other) cannot be a target\(rest): only Service can"))
        }
    }

    static func selector(_ value: YAMLValue) -> [String: String] {
        var labels: [String: String] = [:]
        value.forEachField { name, value in
            guard name == "matchLabels" else { return value.reportUnknownField() }
            labels = value.labels()
        }
        return labels
    }

    private mutating func readReference(_ value: YAMLValue) {
        var name: String?
        var kind = ""
        var group = ""
        value.forEachField { field, value in
            switch field {
            case "group": group = value.string() ?? ""
            case "kind": kind = value.string() ?? ""
            case "name": name = value.name(.subdomain)
            case "namespace":
                if let text = value.string(), !text.isEmpty { value.report("a target is in the policy's namespace") }
            default: value.reportUnknownField()
            }
        }
        for field in ["kind", "name"] where value.isMapping && value.field(field) == nil { value.reportMissing(field) }
        guard let name, !kind.isEmpty else { return }
        guard kind == "Service", group.isEmpty || group == "core" else {
            others.append(group.isEmpty ? "\(kind) \(name)" : "\(kind).\(group) \(name)")
            return
        }
        if !services.contains(name) { services.append(name) }
    }
}
