import Mesh

extension DestinationRuleDecoder {
    // MARK: - Load balancer

    mutating func readLoadBalancer(_ value: YAMLValue, _ policy: inout Policy) {
        var balancer = HTTPBalancer()
        var fields: [String] = []
        if value.field("simple") != nil, value.field("consistentHash") != nil {
            value.report("simple and consistentHash exclude each other")
        }
        value.forEachField { field, value in
            switch field {
            case "simple": readSimple(value, &balancer, &policy.algorithm)
            case "consistentHash":
                if let key = readConsistentHash(value, &balancer, &policy.algorithm) {
                    fields.append("loadBalancer.consistentHash.\(key)")
                }
            case "localityLbSetting":
                balancer.prefersLocality = prefersLocality(value)
                if balancer.prefersLocality { fields.append("loadBalancer.\(field)") }
            case "warmup":
                readWarmup(value, &balancer)
                fields.append("loadBalancer.\(field)")
            case "warmupDurationSecs":
                balancer.slowStart = value.istioMilliseconds(atLeast: 1) ?? 0
                fields.append("loadBalancer.\(field)")
            case "zoneAwareLbSetting":
                issues.append(.unsupported("\(path(value)) is not supported yet: use localityLbSetting"))
            default: value.reportUnknownField()
            }
        }
        policy.settings.balancer = balancer
        policy.settings.proxyFields += fields
    }

    private mutating func readSimple(
        _ value: YAMLValue, _ balancer: inout HTTPBalancer, _ algorithm: inout Balancing.Algorithm?
    ) {
        enum Simple { case unspecified, leastRequest, random, roundRobin, passthrough }
        let simple: Simple? = value.choice([
            "UNSPECIFIED": .unspecified, "LEAST_REQUEST": .leastRequest, "LEAST_CONN": .leastRequest,
            "RANDOM": .random, "ROUND_ROBIN": .roundRobin, "PASSTHROUGH": .passthrough,
        ])
        switch simple {
        case .leastRequest: (balancer.algorithm, algorithm) = (.leastRequest, .leastConnections)
        case .random: (balancer.algorithm, algorithm) = (.random, .random)
        case .roundRobin: (balancer.algorithm, algorithm) = (.roundRobin, .roundRobin)
        case .passthrough:
            issues.append(
                .unsupported(
                    .accepted, "\(path(value)) PASSTHROUGH is not supported: the service keeps the default algorithm"))
        case .unspecified, nil: break
        }
    }

    /// Returns the name of the key if only a proxy can see it.
    private mutating func readConsistentHash(
        _ value: YAMLValue, _ balancer: inout HTTPBalancer, _ algorithm: inout Balancing.Algorithm?
    ) -> String? {
        var keys: [(name: String, key: HTTPBalancer.HashKey)] = []
        var hash = HTTPBalancer.Algorithm.ringHash(minimumSize: 1024)
        value.forEachField { field, value in
            switch field {
            case "useSourceIp": if value.bool() == true { keys.append((field, .sourceAddress)) }
            case "httpHeaderName": if let name = value.headerName() { keys.append((field, .header(name.lowercased()))) }
            case "httpQueryParameterName":
                if let name = value.text(maximum: 256, what: "a parameter's name") {
                    keys.append((field, .query(name)))
                }
            case "httpCookie": if let cookie = cookie(value) { keys.append((field, cookie)) }
            case "ringHash":
                hash = .ringHash(minimumSize: size(value, "minimumRingSize", 1...8_388_608) ?? 1024)
            case "minimumRingSize": hash = .ringHash(minimumSize: value.count32(0...8_388_608) ?? 1024)
            case "maglev":
                _ = size(value, "tableSize", 2...5_000_011)
                hash = .maglev
            default: value.reportUnknownField()
            }
        }
        guard let key = keys.first, keys.count == 1 else {
            value.report(
                keys.isEmpty
                    ? "one of useSourceIp, httpHeaderName, httpCookie and httpQueryParameterName is required"
                    : "useSourceIp, httpHeaderName, httpCookie and httpQueryParameterName exclude each other")
            return nil
        }
        (balancer.algorithm, balancer.hashKey) = (hash, key.key)
        guard key.key == .sourceAddress else { return key.name }
        algorithm = .maglev
        return nil
    }

    private func size(_ value: YAMLValue, _ name: String, _ range: ClosedRange<Int64>) -> UInt32? {
        var size: UInt32?
        value.forEachField { field, value in
            if field == name { size = value.count32(range) } else { value.reportUnknownField() }
        }
        return size
    }

    private mutating func cookie(_ value: YAMLValue) -> HTTPBalancer.HashKey? {
        var name: String?
        var cookiePath = ""
        var lifetime: UInt32 = 0
        value.forEachField { field, value in
            switch field {
            case "name": name = value.headerName()
            case "path": cookiePath = value.string() ?? ""
            case "ttl": lifetime = (value.istioMilliseconds() ?? 0) / 1000
            case "attributes": issues.append(.unsupported("\(path(value)) is not supported yet"))
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("name") == nil { value.reportMissing("name") }
        return name.map { .cookie(name: $0, path: cookiePath, lifetime: lifetime) }
    }

    private func readWarmup(_ value: YAMLValue, _ balancer: inout HTTPBalancer) {
        value.forEachField { field, value in
            switch field {
            case "duration": balancer.slowStart = value.istioMilliseconds(atLeast: 1) ?? 0
            case "minimumPercent":
                balancer.slowStartMinimum =
                    value.decimal(0...100, what: "a percentage").map { UInt32($0.rounded()) } ?? 10
            case "aggression":
                balancer.slowStartAggression = value.decimal(1...100).map { UInt32(($0 * 1000).rounded()) } ?? 1000
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("duration") == nil { value.reportMissing("duration") }
    }

    private mutating func prefersLocality(_ value: YAMLValue) -> Bool {
        var isEnabled = true
        value.forEachField { field, value in
            switch field {
            case "enabled": isEnabled = value.bool() ?? true
            case "distribute", "failover", "failoverPriority":
                issues.append(.unsupported("\(path(value)) is not supported yet: the nearest endpoints are preferred"))
            default: value.reportUnknownField()
            }
        }
        return isEnabled
    }

    // MARK: - Connection pool

    mutating func readConnectionPool(_ value: YAMLValue, _ settings: inout TrafficSettings) {
        var limits = ConnectionLimits()
        var fields: [String] = []
        /// 0 is Istio's way to say nothing.
        func limit(_ field: String, _ value: YAMLValue) -> UInt32? {
            guard let limit = value.count32(0...Int64(Int32.max)), limit > 0 else { return nil }
            fields.append("connectionPool.\(field)")
            return limit
        }
        value.forEachField { field, value in
            guard field == "tcp" || field == "http" else { return value.reportUnknownField() }
            value.forEachField { name, value in
                switch (field, name) {
                case ("tcp", "maxConnections"): limits.maxConnections = limit("tcp.maxConnections", value)
                case ("tcp", "connectTimeout"):
                    limits.connectTimeout = value.istioMilliseconds(atLeast: 1) ?? limits.connectTimeout
                case ("tcp", "idleTimeout"):
                    limits.idleTimeout = value.istioMilliseconds() ?? limits.idleTimeout
                case ("http", "idleTimeout"):
                    limits.idleTimeout = value.istioMilliseconds() ?? limits.idleTimeout
                    fields.append("connectionPool.http.idleTimeout")
                case ("http", "http1MaxPendingRequests"):
                    limits.maxPendingRequests = limit("http.http1MaxPendingRequests", value)
                case ("http", "http2MaxRequests"): limits.maxRequests = limit("http.http2MaxRequests", value)
                case ("http", "maxRequestsPerConnection"):
                    limits.maxRequestsPerConnection = limit("http.maxRequestsPerConnection", value)
                case ("http", "maxRetries"): limits.maxRetries = limit("http.maxRetries", value)
                case ("http", "useClientProtocol"): _ = value.bool()
                case ("http", "h2UpgradePolicy"):
                    if value.choice(["DEFAULT": false, "DO_NOT_UPGRADE": false, "UPGRADE": true]) == true {
                        issues.append(.unsupported("\(path(value)) UPGRADE is not supported yet"))
                    }
                case ("tcp", "tcpKeepalive"), ("tcp", "maxConnectionDuration"), ("http", "maxConcurrentStreams"),
                    ("http", "http2KeepAlive"):
                    issues.append(.unsupported("\(path(value)) is not supported yet"))
                default: value.reportUnknownField()
                }
            }
        }
        settings.limits = limits
        settings.proxyFields += fields
    }

    // MARK: - Outlier detection

    mutating func outlierDetection(_ value: YAMLValue) -> OutlierDetection {
        var outlier = OutlierDetection()
        var localFailures: UInt32 = 5
        value.forEachField { field, value in
            switch field {
            case "consecutive5xxErrors": outlier.consecutive5xx = value.count32() ?? 5
            case "consecutiveGatewayErrors": outlier.consecutiveGatewayErrors = value.count32() ?? 0
            case "consecutiveErrors": outlier.consecutiveGatewayErrors = value.count32() ?? 0
            case "consecutiveLocalOriginFailures": localFailures = value.count32() ?? 5
            case "splitExternalLocalOriginErrors": outlier.splitsLocalErrors = value.bool() ?? false
            case "interval": outlier.interval = value.istioMilliseconds(atLeast: 1) ?? outlier.interval
            case "baseEjectionTime": outlier.baseEjection = value.istioMilliseconds(atLeast: 1) ?? outlier.baseEjection
            case "maxEjectionPercent": outlier.maxEjectionPercent = value.count32(0...100) ?? 10
            case "minHealthPercent": outlier.minHealthPercent = value.count32(0...100) ?? 0
            case "outlierDetectionHttpErrorCodes":
                issues.append(.unsupported("\(path(value)) is not supported yet: every 5xx counts"))
            default: value.reportUnknownField()
            }
        }
        if outlier.splitsLocalErrors { outlier.consecutiveLocalFailures = localFailures }
        outlier.maxEjection = max(outlier.maxEjection, outlier.baseEjection)
        return outlier
    }
}
