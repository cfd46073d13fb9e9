import Mesh

extension ObjectDecoder {
    /// Istio's DestinationRule.
    /// Source: https://istio.io/latest/docs/reference/config/networking/destination-rule/
    static func decodeDestinationRule(
        _ root: YAMLValue, _ issues: inout [ConditionIssue]
    ) -> DestinationRuleResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var decoder = DestinationRuleDecoder()
        let rule = decoder.decode(spec)
        issues += decoder.issues
        return rule
    }
}

struct DestinationRuleDecoder {
    var issues: [ConditionIssue] = []

    /// One `trafficPolicy`.
    struct Policy {
        var settings = TrafficSettings()
        var ports: [UInt16: TrafficSettings] = [:]
        /// What the kernel can do of its load balancer.
        var algorithm: Balancing.Algorithm?
    }

    mutating func decode(_ spec: YAMLValue) -> DestinationRuleResource {
        var rule = DestinationRuleResource()
        spec.forEachField { name, value in
            switch name {
            case "host":
                rule.host = value.string() ?? ""
                if rule.host.isEmpty { value.report("a host is required") }
            case "trafficPolicy":
                let policy = policy(value)
                (rule.settings, rule.portSettings, rule.algorithm) = (policy.settings, policy.ports, policy.algorithm)
            case "subsets": rule.subsets = subsets(value)
            case "workloadSelector":
                value.forEachField { name, value in
                    if name == "matchLabels" { _ = value.labels() } else { value.reportUnknownField() }
                }
                rule.isUsable = false
                issues.append(
                    .unsupported(
                        .accepted,
                        "spec.workloadSelector is not supported: a rule for some clients only is not in force"))
            case "exportTo":
                if value.map({ $0.string() }) != ["*"] {
                    issues.append(.unsupported("spec.exportTo is not supported yet: the rule is visible everywhere"))
                }
            default: value.reportUnknownField()
            }
        }
        if spec.isMapping, spec.field("host") == nil { spec.reportMissing("host") }
        return rule
    }

    private mutating func subsets(_ value: YAMLValue) -> [DestinationRuleResource.Subset] {
        var names: Set<String> = []
        return value.map { element in
            var subset = DestinationRuleResource.Subset(name: "")
            element.forEachField { field, value in
                switch field {
                case "name": subset.name = value.text(maximum: 253, what: "a subset's name") ?? ""
                case "labels": subset.labels = value.labels()
                case "trafficPolicy":
                    let policy = policy(value)
                    (subset.settings, subset.portSettings) = (policy.settings, policy.ports)
                default: value.reportUnknownField()
                }
            }
            if element.isMapping, element.field("name") == nil { element.reportMissing("name") }
            guard !subset.name.isEmpty else { return nil }
            if !names.insert(subset.name).inserted { element.report("two subsets have the name \"\(subset.name)\"") }
            return subset
        }
    }

    private mutating func policy(_ value: YAMLValue) -> Policy {
        var policy = Policy()
        value.forEachField { field, value in
            switch field {
            case "portLevelSettings":
                value.forEachElement { readPort($0, &policy) }
            case "retryBudget": policy.settings.retryBudget = retryBudget(value)
            case "tunnel", "proxyProtocol":
                issues.append(.unsupported("\(path(value)) is not supported yet"))
            default: read(field, value, &policy)
            }
        }
        return policy
    }

    private mutating func readPort(_ element: YAMLValue, _ policy: inout Policy) {
        var number: UInt16?
        var own = Policy()
        element.forEachField { field, value in
            guard field == "port" else { return read(field, value, &own) }
            value.forEachField { field, value in
                if field == "number" { number = value.port() } else { value.reportUnknownField() }
            }
        }
        guard let number else {
            if element.isMapping, element.field("port")?.field("number") == nil { element.reportMissing("port.number") }
            return
        }
        if policy.ports.updateValue(own.settings, forKey: number) != nil {
            element.report("port \(number) has two settings")
        }
    }

    /// What policies of a destination and of a port have in common.
    private mutating func read(_ field: String, _ value: YAMLValue, _ policy: inout Policy) {
        switch field {
        case "loadBalancer": readLoadBalancer(value, &policy)
        case "connectionPool": readConnectionPool(value, &policy.settings)
        case "outlierDetection":
            policy.settings.outlier = outlierDetection(value)
            policy.settings.proxyFields.append(field)
        case "tls": readTLS(value)
        default: value.reportUnknownField()
        }
    }

    func path(_ value: YAMLValue) -> String { value.tree.path(of: value.index) }

    /// Envoy's retry budget, which counts what is under way.
    private mutating func retryBudget(_ value: YAMLValue) -> RetryBudget {
        var budget = RetryBudget()
        budget.minConcurrency = 3
        value.forEachField { field, value in
            switch field {
            case "percent":
                budget.percent = value.decimal(0...100, what: "a percentage").map { UInt32($0.rounded()) } ?? 20
            case "minRetryConcurrency": budget.minConcurrency = value.count32() ?? 3
            case "budgetInterval":
                if let interval = value.istioMilliseconds(), interval > 0 {
                    issues.append(.unsupported("\(path(value)) is not supported: requests under way are counted"))
                }
            default: value.reportUnknownField()
            }
        }
        return budget
    }

    private mutating func readTLS(_ value: YAMLValue) {
        var mode: String?
        value.forEachField { field, value in
            switch field {
            case "mode":
                mode = value.choice([
                    "DISABLE": "DISABLE", "SIMPLE": "SIMPLE", "MUTUAL": "MUTUAL", "ISTIO_MUTUAL": "ISTIO_MUTUAL",
                ])
            case "clientCertificate", "privateKey", "caCertificates", "caCrl", "credentialName", "sni":
                _ = value.string()
            case "subjectAltNames": _ = value.map { $0.string() }
            case "insecureSkipVerify": _ = value.bool()
            default: value.reportUnknownField()
            }
        }
        guard let mode, mode != "DISABLE" else { return }
        issues.append(.unsupported("\(path(value)).mode \(mode) is not supported yet: TLS is not originated"))
    }
}
