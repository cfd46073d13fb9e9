import Mesh

extension ObjectDecoder {
    /// Weft's TrafficPolicy.
    static func decodeTrafficPolicy(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> TrafficPolicyResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var decoder = TrafficPolicyDecoder(key: ObjectKey(.trafficPolicy, metadata.name))
        let policy = decoder.decode(spec)
        issues += decoder.issues
        return policy
    }
}

struct TrafficPolicyDecoder {
    let key: ObjectKey
    var issues: [ConditionIssue] = []

    init(key: ObjectKey) { self.key = key }

    mutating func decode(_ spec: YAMLValue) -> TrafficPolicyResource {
        var policy = TrafficPolicyResource()
        var limits: [RateLimit] = []
        /// Those that have an effect on services.
        var serviceFields: [String] = []
        spec.forEachField { field, value in
            switch field {
            case "targetRefs": readTargets(value, &policy)
            case "acceleration": policy.acceleration = value.choice(["On": true, "Off": false])
            case "loadBalancer": readLoadBalancer(value, &policy)
            case "circuitBreaker": policy.settings.limits = circuitBreaker(value)
            case "outlierDetection": policy.settings.outlier = outlierDetection(value)
            case "healthCheck": policy.settings.healthCheck = healthCheck(value)
            case "retry": policy.retry = retry(value)
            case "retryBudget": policy.settings.retryBudget = retryBudget(value)
            case "timeouts": policy.timeouts = HTTPRouteDecoder(key: key).timeouts(value)
            case "rateLimits": limits += value.map { rateLimit($0, isQuota: false) }
            case "quotas": limits += value.map { rateLimit($0, isQuota: true) }
            case "fault": policy.fault = fault(value)
            case "fallback": policy.settings.fallback = fallback(value)
            case "panicThreshold": policy.settings.panicThreshold = value.count32(0...100)
            case "failureMode": policy.failureMode = value.choice(["Open": .open, "Closed": .closed])
            default: return value.reportUnknownField()
            }
            if field != "targetRefs", field != "acceleration" { serviceFields.append(field) }
            // A budget and a mode of failure change what others of them do, and a load balancer may be the kernel's.
            if ![
                "targetRefs", "acceleration", "loadBalancer", "retry", "retryBudget", "timeouts", "fault",
                "failureMode",
            ].contains(field) {
                policy.settings.proxyFields.append(field)
            }
        }
        policy.settings.rateLimits = limits
        var names: Set<String> = []
        for limit in limits where !names.insert(limit.name).inserted {
            spec.report("two rate limits or quotas have the name \"\(limit.name)\"")
        }
        if let refs = spec.field("targetRefs") {
            if refs.isEmptySequence { refs.report("at least one target is required") }
        } else if spec.isMapping {
            spec.reportMissing("targetRefs")
        }
        if policy.acceleration != nil, !policy.targetsNamespace {
            issues.append(.unsupported("acceleration: workloads opt in; name their Namespace as a target"))
        }
        if policy.targetsNamespace, policy.targets.isEmpty, !serviceFields.isEmpty {
            let fields = serviceFields.joined(separator: ", ")
            issues.append(.unsupported("\(fields): of a Namespace only acceleration can be set"))
        }
        return policy
    }

    private mutating func readTargets(_ value: YAMLValue, _ policy: inout TrafficPolicyResource) {
        value.forEachElement { value in
            switch targetRef(value) {
            case .service(let name)?: policy.targets.append(name)
            case .namespace?: policy.targetsNamespace = true
            case nil: break
            }
        }
    }

    private enum Target {
        case service(String)
        /// Its own.
        case namespace
    }

    private mutating func targetRef(_ value: YAMLValue) -> Target? {
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
        let isCore = group.isEmpty || group == "core"
        if isCore, kind == "Namespace" {
            guard name == key.name.namespace else {
                issues.append(
                    ConditionIssue(
                        .resolvedRefs, reason: "RefNotPermitted",
                        message: "Namespace \(name) cannot be a target: only the policy's own "
                            + "(\(key.name.namespace)) can"))
                return nil
            }
            if let section { issues.append(.unsupported("sectionName \"\(section)\": a Namespace has no sections")) }
            return .namespace
        }
        guard isCore, kind == "Service" else {
            issues.append(
                ConditionIssue(
                    .resolvedRefs, reason: "InvalidKind",
                    message: "\(group.isEmpty ? kind : "\(kind).\(group)") cannot be a target: only Service and "
                        + "Namespace can"))
            return nil
        }
        if let section {
            issues.append(.unsupported("sectionName \"\(section)\": the policy applies to every port of the service"))
        }
        return .service(name)
    }

    // MARK: - Load balancer

    private func readLoadBalancer(_ value: YAMLValue, _ policy: inout TrafficPolicyResource) {
        enum Name { case peakEWMA, leastRequest, leastConnections, roundRobin, random, ringHash, maglev }
        var name: Name?
        var ringSize: UInt32 = 1024
        var balancer = HTTPBalancer()
        var fields: [String] = []
        value.forEachField { field, value in
            switch field {
            case "algorithm":
                name = value.choice([
                    "PeakEWMA": .peakEWMA, "LeastRequest": .leastRequest, "RingHash": .ringHash, "Maglev": .maglev,
                    "RoundRobin": .roundRobin, "Random": .random, "LeastConnections": .leastConnections,
                ])
            case "minimumRingSize": ringSize = value.count32(1...8_388_608) ?? 1024
            case "hashKey":
                balancer.hashKey = hashKey(value)
                if balancer.hashKey != .sourceAddress { fields.append("loadBalancer.hashKey") }
            case "slowStart":
                readSlowStart(value, &balancer)
                fields.append("loadBalancer.slowStart")
            case "locality":
                balancer.prefersLocality = value.choice(["Prefer": true, "Ignore": false]) ?? false
                if balancer.prefersLocality { fields.append("loadBalancer.locality") }
            case "sessionAffinity":
                value.forEachField { name, value in
                    guard name == "timeout" else { return value.reportUnknownField() }
                    policy.affinitySeconds = value.durationSeconds()
                }
                if value.isMapping, value.field("timeout") == nil { value.reportMissing("timeout") }
            default: value.reportUnknownField()
            }
        }
        switch name {
        case .peakEWMA: (balancer.algorithm, policy.algorithm) = (.peakEWMA, .leastConnections)
        case .leastRequest, .leastConnections:
            (balancer.algorithm, policy.algorithm) = (.leastRequest, .leastConnections)
        case .roundRobin: (balancer.algorithm, policy.algorithm) = (.roundRobin, .roundRobin)
        case .random: (balancer.algorithm, policy.algorithm) = (.random, .random)
        case .maglev: (balancer.algorithm, policy.algorithm) = (.maglev, .maglev)
        case .ringHash: (balancer.algorithm, policy.algorithm) = (.ringHash(minimumSize: ringSize), .maglev)
        case nil: break
        }
        switch name {
        case .peakEWMA, .leastRequest, .ringHash: fields.insert("loadBalancer.algorithm", at: 0)
        default: break
        }
        let hashes = name == .ringHash || name == .maglev
        if hashes, balancer.hashKey == nil { balancer.hashKey = .sourceAddress }
        if !hashes, value.field("hashKey") != nil {
            value.field("hashKey")?.report("only the algorithms RingHash and Maglev have a key")
        }
        if name != .ringHash { value.field("minimumRingSize")?.report("only the algorithm RingHash has a ring") }
        if name != nil || !fields.isEmpty { policy.settings.balancer = balancer }
        policy.settings.proxyFields += fields
    }

    private func hashKey(_ value: YAMLValue) -> HTTPBalancer.HashKey? {
        var keys: [HTTPBalancer.HashKey] = []
        value.forEachField { field, value in
            switch field {
            case "header": if let name = value.headerName() { keys.append(.header(name.lowercased())) }
            case "query": if let name = value.text(maximum: 256, what: "a name") { keys.append(.query(name)) }
            case "sourceAddress": if value.bool() == true { keys.append(.sourceAddress) }
            case "cookie":
                var name: String?
                var path = "/"
                var lifetime: UInt32 = 0
                value.forEachField { field, value in
                    switch field {
                    case "name": name = value.headerName()
                    case "path": path = HTTPRouteMatches.literalPath(value) ?? path
                    case "ttl": lifetime = (value.milliseconds() ?? 0) / 1000
                    default: value.reportUnknownField()
                    }
                }
                if value.isMapping, value.field("name") == nil { value.reportMissing("name") }
                if let name { keys.append(.cookie(name: name, path: path, lifetime: lifetime)) }
            default: value.reportUnknownField()
            }
        }
        if keys.count > 1 { value.report("header, query, cookie and sourceAddress exclude each other") }
        return keys.first
    }

    private func readSlowStart(_ value: YAMLValue, _ balancer: inout HTTPBalancer) {
        value.forEachField { field, value in
            switch field {
            case "window": balancer.slowStart = value.milliseconds(atLeast: 1) ?? 0
            case "minimumPercent": balancer.slowStartMinimum = value.count32(0...100) ?? 10
            case "aggression":
                balancer.slowStartAggression = value.decimal(0.001...100).map { UInt32(($0 * 1000).rounded()) } ?? 1000
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("window") == nil { value.reportMissing("window") }
    }
}

extension YAMLValue {
    /// A Gateway API duration in whole seconds, 1 s to 24 h.
    func durationSeconds() -> UInt32? {
        guard let text = string() else { return nil }
        guard let milliseconds = GatewayDuration.milliseconds(text) else {
            report("\"\(text.prefix(64))\" is not a duration such as 10s, 1m30s or 1h")
            return nil
        }
        guard milliseconds % 1000 == 0, (1...86400).contains(milliseconds / 1000) else {
            report("\(text) is not in whole seconds from 1s to 24h")
            return nil
        }
        return UInt32(milliseconds / 1000)
    }
}
