import Mesh

extension VirtualServiceDecoder {
    // MARK: - Retries

    mutating func retries(_ value: YAMLValue) -> RetryPolicy {
        var retry = RetryPolicy.istioDefault
        value.forEachField { field, value in
            switch field {
            case "attempts": retry.attempts = value.count32(0...100) ?? 0
            case "perTryTimeout": retry.perTryTimeout = value.istioMilliseconds(atLeast: 1)
            case "retryOn":
                guard let text = value.string(), !text.isEmpty else { return }
                (retry.conditions, retry.statusCodes) = RetryConditions.read(text, value, &issues)
            case "backoff":
                guard let base = value.istioMilliseconds(atLeast: 1) else { return }
                retry.backoffBase = base
                retry.backoffCap = UInt32(clamping: UInt64(base) * 10)
            case "retryIgnorePreviousHosts": retry.avoidsPreviousHosts = value.bool() ?? true
            case "retryRemoteLocalities": _ = value.bool()
            default: value.reportUnknownField()
            }
        }
        return retry
    }

    // MARK: - Faults

    mutating func fault(_ value: YAMLValue) -> HTTPFault {
        var fault = HTTPFault()
        value.forEachField { field, value in
            switch field {
            case "delay": fault.delay = delay(value)
            case "abort": fault.abort = abort(value)
            default: value.reportUnknownField()
            }
        }
        return fault
    }

    private mutating func delay(_ value: YAMLValue) -> HTTPFault.Delay? {
        var milliseconds: UInt32?
        var parts: UInt32?
        value.forEachField { field, value in
            switch field {
            case "fixedDelay": milliseconds = value.istioMilliseconds(atLeast: 1)
            case "percentage": parts = percent(value)
            case "percent": parts = value.percentage()
            case "exponentialDelay":
                issues.append(.unsupported("\(value.tree.path(of: value.index)) is not supported: use fixedDelay"))
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("fixedDelay") == nil, value.field("exponentialDelay") == nil {
            value.reportMissing("fixedDelay")
        }
        return milliseconds.map { HTTPFault.Delay(milliseconds: $0, partsPerMillion: parts ?? 1_000_000) }
    }

    private mutating func abort(_ value: YAMLValue) -> HTTPFault.Abort? {
        var abort: HTTPFault.Abort?
        var parts: UInt32?
        value.forEachField { field, value in
            switch field {
            case "httpStatus": abort = value.statusCode().map { HTTPFault.Abort(status: $0) }
            case "grpcStatus":
                abort = value.grpcStatus().map { HTTPFault.Abort(status: 200, grpcStatus: $0) }
            case "percentage": parts = percent(value)
            case "http2Error":
                issues.append(.unsupported("\(value.tree.path(of: value.index)) is not supported: use httpStatus"))
            default: value.reportUnknownField()
            }
        }
        let errors = ["httpStatus", "grpcStatus", "http2Error"].count { value.field($0) != nil }
        if errors > 1 { value.report("httpStatus, grpcStatus and http2Error exclude each other") }
        if value.isMapping, errors == 0 { value.reportMissing("httpStatus") }
        abort?.partsPerMillion = parts ?? 1_000_000
        return abort
    }
}

extension YAMLValue {
    /// A gRPC status by name (UNAVAILABLE) or number.
    func grpcStatus() -> UInt16? {
        if isInteger { return integer(0...16, what: "a gRPC status").map { UInt16($0) } }
        guard let text = string() else { return nil }
        if let number = UInt16(text), number <= 16 { return number }
        let names = [
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
            "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
            "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
        ]
        guard let index = names.firstIndex(of: text.uppercased()) else {
            report("\"\(text.prefix(64))\" is not a gRPC status such as UNAVAILABLE")
            return nil
        }
        return UInt16(index)
    }
}

/// Envoy's vocabulary of conditions under which an attempt is tried again.
enum RetryConditions {
    /// Conditions and status codes, separated by commas.
    static func read(
        _ text: String, _ value: YAMLValue, _ issues: inout [ConditionIssue]
    ) -> (RetryPolicy.Conditions, [UInt16]) {
        var conditions: RetryPolicy.Conditions = []
        var codes: [UInt16] = []
        for part in text.split(separator: ",") {
            let name = String(part.filter { $0 != " " })
            if let known = RetryPolicy.Conditions.names.first(where: { $0.name.description == name }) {
                conditions.insert(known.condition)
            } else if let code = UInt16(name), (100...599).contains(code) {
                codes.append(code)
            } else if name == "http3-post-connect-failure" {
                issues.append(.unsupported("\(value.tree.path(of: value.index)): \(name) is not supported"))
            } else {
                let names = RetryPolicy.Conditions.names.map(\.name.description).joined(separator: ", ")
                value.report(
                    "\"\(name.prefix(64))\" is not a condition for retries: \(names) or a status code")
            }
        }
        if !codes.isEmpty { conditions.insert(.retriableStatusCodes) }
        if conditions.contains(.retriableStatusCodes), codes.isEmpty { codes = [503] }
        return (conditions, codes)
    }
}
