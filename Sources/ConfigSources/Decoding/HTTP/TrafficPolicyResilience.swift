import Mesh

extension TrafficPolicyDecoder {
    // MARK: - Limits and health

    func circuitBreaker(_ value: YAMLValue) -> ConnectionLimits {
        var limits = ConnectionLimits()
        value.forEachField { field, value in
            switch field {
            case "maxConnections": limits.maxConnections = value.count32(1...Int64(UInt32.max))
            case "maxPendingRequests": limits.maxPendingRequests = value.count32()
            case "maxRequests": limits.maxRequests = value.count32(1...Int64(UInt32.max))
            case "maxRetries": limits.maxRetries = value.count32()
            case "maxRequestsPerConnection": limits.maxRequestsPerConnection = value.count32(1...Int64(UInt32.max))
            case "connectTimeout": limits.connectTimeout = value.milliseconds(atLeast: 1) ?? limits.connectTimeout
            case "idleTimeout": limits.idleTimeout = value.milliseconds(atLeast: 1) ?? limits.idleTimeout
            default: value.reportUnknownField()
            }
        }
        return limits
    }

    func outlierDetection(_ value: YAMLValue) -> OutlierDetection {
        var outlier = OutlierDetection()
        value.forEachField { field, value in
            switch field {
            case "consecutive5xx": outlier.consecutive5xx = value.count32() ?? 5
            case "consecutiveGatewayErrors": outlier.consecutiveGatewayErrors = value.count32() ?? 0
            case "consecutiveLocalFailures": outlier.consecutiveLocalFailures = value.count32() ?? 0
            case "splitLocalErrors": outlier.splitsLocalErrors = value.bool() ?? false
            case "interval": outlier.interval = value.milliseconds(atLeast: 1) ?? outlier.interval
            case "baseEjectionTime": outlier.baseEjection = value.milliseconds(atLeast: 1) ?? outlier.baseEjection
            case "maxEjectionTime": outlier.maxEjection = value.milliseconds(atLeast: 1) ?? outlier.maxEjection
            case "maxEjectionPercent": outlier.maxEjectionPercent = value.count32(0...100) ?? 10
            case "minHealthPercent": outlier.minHealthPercent = value.count32(0...100) ?? 0
            case "successRate": readSuccessRate(value, &outlier)
            default: value.reportUnknownField()
            }
        }
        if value.field("maxEjectionTime") == nil {
            outlier.maxEjection = max(outlier.maxEjection, outlier.baseEjection)
        }
        if outlier.maxEjection < outlier.baseEjection {
            value.report("maxEjectionTime cannot be shorter than baseEjectionTime")
        }
        return outlier
    }

    private func readSuccessRate(_ value: YAMLValue, _ outlier: inout OutlierDetection) {
        outlier.successRateFactor = 1900
        value.forEachField { field, value in
            switch field {
            case "factor":
                outlier.successRateFactor = value.decimal(0.001...1000).map { UInt32(($0 * 1000).rounded()) } ?? 1900
            case "minimumHosts": outlier.successRateHosts = value.count32(1...1_000_000) ?? 5
            case "minimumRequests": outlier.successRateRequests = value.count32(1...Int64(UInt32.max)) ?? 100
            default: value.reportUnknownField()
            }
        }
    }

    func healthCheck(_ value: YAMLValue) -> HealthCheck? {
        var check = HealthCheck(probe: .tcp)
        value.forEachField { field, value in
            switch field {
            case "tcp": value.forEachField { $1.reportUnknownField() }
            case "http": check.probe = probe(value)
            case "interval": check.interval = value.milliseconds(atLeast: 1) ?? check.interval
            case "timeout": check.timeout = value.milliseconds(atLeast: 1) ?? check.timeout
            case "unhealthyThreshold": check.unhealthyThreshold = value.count32(1...1000) ?? check.unhealthyThreshold
            case "healthyThreshold": check.healthyThreshold = value.count32(1...1000) ?? check.healthyThreshold
            case "port": check.port = value.port()
            default: value.reportUnknownField()
            }
        }
        let probes = ["tcp", "http"].count { value.field($0) != nil }
        if value.isMapping, probes != 1 { value.report("one of http and tcp is required") }
        return value.isMapping ? check : nil
    }

    private func probe(_ value: YAMLValue) -> HealthCheck.Probe {
        var path = "/"
        var host: String?
        var statuses: [ClosedRange<UInt16>] = []
        value.forEachField { field, value in
            switch field {
            case "path":
                guard let text = value.text(maximum: 1024, what: "a path") else { return }
                let parts = text.split(separator: "?", maxSplits: 1)
                guard text.hasPrefix("/"), parts.allSatisfy({ HTTPSyntax.isPath(String($0.filter { $0 != "?" })) })
                else {
                    return value.report("\"\(text.prefix(64))\" is not a path such as /healthz")
                }
                path = text
            case "host": host = value.hostname()
            case "statuses": statuses = value.map { statusRange($0) }
            default: value.reportUnknownField()
            }
        }
        return .http(path: path, host: host, statuses: statuses)
    }

    /// `200` or `200-299`.
    private func statusRange(_ value: YAMLValue) -> ClosedRange<UInt16>? {
        if value.isInteger { return value.statusCode(100...599).map { $0...$0 } }
        guard let text = value.string() else { return nil }
        let bounds = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard bounds.count == 2, let first = bounds[0], let last = bounds[1], first >= 100, last <= 599, first <= last
        else {
            value.report("\"\(text.prefix(64))\" is not a status code or a range such as 200-299")
            return nil
        }
        return first...last
    }

    // MARK: - Retries

    mutating func retry(_ value: YAMLValue) -> RetryPolicy {
        var retry = RetryPolicy()
        var codes: [UInt16] = []
        retry.conditions = [.connectFailure, .refusedStream]
        value.forEachField { field, value in
            switch field {
            case "attempts": retry.attempts = value.count32(0...100) ?? 1
            case "conditions":
                retry.conditions = []
                value.forEachElement { value in
                    guard let text = value.string() else { return }
                    let (conditions, found) = RetryConditions.read(text, value, &issues)
                    retry.conditions.formUnion(conditions)
                    retry.statusCodes += found
                }
            case "codes": codes = value.map { $0.statusCode(400...599) }
            case "headers": retry.headerNames = value.map { $0.headerName() }
            case "perTryTimeout": retry.perTryTimeout = value.milliseconds(atLeast: 1)
            case "backoff":
                value.forEachField { field, value in
                    switch field {
                    case "base": retry.backoffBase = value.milliseconds(atLeast: 1) ?? retry.backoffBase
                    case "max": retry.backoffCap = value.milliseconds(atLeast: 1) ?? retry.backoffCap
                    default: value.reportUnknownField()
                    }
                }
                if value.field("max") == nil { retry.backoffCap = UInt32(clamping: UInt64(retry.backoffBase) * 10) }
                if retry.backoffCap < retry.backoffBase { value.report("max cannot be shorter than base") }
            case "avoidPreviousHosts": retry.avoidsPreviousHosts = value.bool() ?? true
            default: value.reportUnknownField()
            }
        }
        if !codes.isEmpty {
            retry.statusCodes = codes
            retry.conditions.insert(.retriableStatusCodes)
        }
        if !retry.headerNames.isEmpty { retry.conditions.insert(.retriableHeaders) }
        return retry
    }

    func retryBudget(_ value: YAMLValue) -> RetryBudget {
        var budget = RetryBudget()
        value.forEachField { field, value in
            switch field {
            case "percent": budget.percent = value.count32(0...100) ?? budget.percent
            case "interval": budget.intervalMilliseconds = value.milliseconds(atLeast: 1000) ?? 10_000
            case "minPerSecond": budget.minPerSecond = value.count32() ?? budget.minPerSecond
            default: value.reportUnknownField()
            }
        }
        return budget
    }
}
