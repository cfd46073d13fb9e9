import Mesh

extension ObjectDecoder {
    /// Istio's DestinationRule: its load balancer. The rest is known, and said to be without effect.
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
        var rule = DestinationRuleResource()
        spec.forEachField { name, value in
            switch name {
            case "host":
                rule.host = value.string() ?? ""
                if rule.host.isEmpty { value.report("a host is required") }
            case "trafficPolicy": readTrafficPolicy(value, &rule, &issues)
            case "subsets", "workloadSelector":
                issues.append(.unsupported("spec.\(name) is not supported yet"))
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

    private static func readTrafficPolicy(
        _ value: YAMLValue, _ rule: inout DestinationRuleResource, _ issues: inout [ConditionIssue]
    ) {
        value.forEachField { name, value in
            switch name {
            case "loadBalancer": readLoadBalancer(value, &rule, &issues)
            case "connectionPool", "outlierDetection", "tls", "portLevelSettings", "tunnel", "proxyProtocol",
                "retryBudget":
                issues.append(.unsupported("spec.trafficPolicy.\(name) is not supported yet"))
            default: value.reportUnknownField()
            }
        }
    }

    private static func readLoadBalancer(
        _ value: YAMLValue, _ rule: inout DestinationRuleResource, _ issues: inout [ConditionIssue]
    ) {
        if value.field("simple") != nil, value.field("consistentHash") != nil {
            value.report("simple and consistentHash exclude each other")
        }
        value.forEachField { name, value in
            switch name {
            case "simple":
                let choice: Balancing.Algorithm?? = value.choice([
                    "UNSPECIFIED": nil, "LEAST_REQUEST": .leastConnections, "LEAST_CONN": .leastConnections,
                    "RANDOM": .random, "ROUND_ROBIN": .roundRobin, "PASSTHROUGH": nil,
                ])
                rule.algorithm = choice.flatMap { $0 }
                if choice != nil, value.string() == "PASSTHROUGH" {
                    issues.append(
                        .unsupported(
                            .accepted,
                            "spec.trafficPolicy.loadBalancer.simple PASSTHROUGH is not "
                                + "supported: the service keeps the default algorithm"))
                }
            case "consistentHash": rule.algorithm = consistentHash(value, &issues)
            case "localityLbSetting", "warmup", "warmupDurationSecs":
                issues.append(.unsupported("spec.trafficPolicy.loadBalancer.\(name) is not supported yet"))
            default: value.reportUnknownField()
            }
        }
    }

    /// The kernel knows a connection's client address, and nothing of its requests.
    private static func consistentHash(_ value: YAMLValue, _ issues: inout [ConditionIssue]) -> Balancing.Algorithm? {
        var keys: [String] = []
        var isByAddress = false
        value.forEachField { name, value in
            switch name {
            case "useSourceIp": isByAddress = value.bool() ?? false
            case "httpHeaderName", "httpCookie", "httpQueryParameterName": keys.append(name)
            case "maglev": checkTable(value, field: "tableSize")
            case "ringHash": checkTable(value, field: "minimumRingSize")
            case "minimumRingSize": _ = value.integer(0...Int64(UInt32.max))
            default: value.reportUnknownField()
            }
        }
        if let key = keys.first {
            if isByAddress || keys.count > 1 {
                value.report("useSourceIp, httpHeaderName, httpCookie and httpQueryParameterName exclude each other")
            }
            issues.append(
                .unsupported(
                    .accepted,
                    "spec.trafficPolicy.loadBalancer.consistentHash.\(key) needs an HTTP "
                        + "proxy: the service keeps the default algorithm"))
            return nil
        }
        guard isByAddress else {
            issues.append(
                .unsupported(
                    .accepted,
                    "spec.trafficPolicy.loadBalancer.consistentHash without useSourceIp "
                        + "is not supported: the service keeps the default algorithm"))
            return nil
        }
        return .maglev
    }

    private static func checkTable(_ value: YAMLValue, field: String) {
        value.forEachField { name, value in
            guard name == field else { return value.reportUnknownField() }
            _ = value.integer(0...Int64(UInt32.max))
        }
    }
}
