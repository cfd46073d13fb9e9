import Mesh

extension TrafficPolicyDecoder {
    // MARK: - Rate limits and quotas

    mutating func rateLimit(_ value: YAMLValue, isQuota: Bool) -> RateLimit? {
        var name: String?
        var requests: UInt32?
        var burst: UInt32?
        var window: RateLimit.Window? = isQuota ? nil : .bucket(milliseconds: 1000)
        var key: RateLimit.Key = .all
        var limit = RateLimit(name: "", requests: 1, window: .day)
        value.forEachField { field, value in
            switch field {
            case "name": name = value.name(.label)
            case "requests": requests = value.count32(isQuota ? 0...Int64(UInt32.max) : 1...Int64(UInt32.max))
            case "unit" where !isQuota:
                window = value.choice([
                    "Second": .bucket(milliseconds: 1000), "Minute": .bucket(milliseconds: 60_000),
                    "Hour": .bucket(milliseconds: 3_600_000),
                ])
            case "burst" where !isQuota: burst = value.count32(1...Int64(UInt32.max))
            case "period" where isQuota: window = value.choice(["Day": .day, "Month": .month])
            case "key": key = limitKey(value) ?? .all
            case "matches": limit.matches = value.map { HTTPRouteMatches.match($0) }
            case "mode": limit.isShadow = value.choice(["Enforce": false, "Shadow": true]) ?? false
            case "status": limit.status = value.statusCode(400...599) ?? 429
            default: value.reportUnknownField()
            }
        }
        for field in isQuota ? ["name", "requests", "period"] : ["name", "requests"]
        where value.isMapping && value.field(field) == nil {
            value.reportMissing(field)
        }
        guard let name, let requests, let window else { return nil }
        limit.name = name
        limit.requests = requests
        limit.burst = burst ?? requests
        limit.window = window
        limit.key = key
        return limit
    }

    /// `All`, `Identity`, `ClientAddress` or `{ header: NAME }`.
    private func limitKey(_ value: YAMLValue) -> RateLimit.Key? {
        guard value.isMapping else {
            return value.choice(["All": .all, "Identity": .identity, "ClientAddress": .clientAddress])
        }
        var key: RateLimit.Key?
        value.forEachField { field, value in
            guard field == "header" else { return value.reportUnknownField() }
            key = value.headerName().map { .header($0.lowercased()) }
        }
        if value.field("header") == nil { value.reportMissing("header") }
        return key
    }

    // MARK: - Faults

    func fault(_ value: YAMLValue) -> HTTPFault {
        var fault = HTTPFault()
        value.forEachField { field, value in
            switch field {
            case "delay": fault.delay = delay(value)
            case "abort": fault.abort = abort(value)
            case "responseRateLimit": fault.responseRateLimit = responseRateLimit(value)
            case "headers": fault.headers = HTTPRouteMatches.headers(value)
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, !["delay", "abort", "responseRateLimit"].contains(where: { value.field($0) != nil }) {
            value.report("one of delay, abort and responseRateLimit is required")
        }
        return fault
    }

    private func delay(_ value: YAMLValue) -> HTTPFault.Delay? {
        var delay: HTTPFault.Delay?
        var parts: UInt32 = 1_000_000
        value.forEachField { field, value in
            switch field {
            case "duration": delay = value.milliseconds(atLeast: 1).map { HTTPFault.Delay(milliseconds: $0) }
            case "byRequest": if isByRequest(value) { delay = HTTPFault.Delay(milliseconds: nil) }
            case "percent": parts = value.percentage() ?? parts
            default: value.reportUnknownField()
            }
        }
        let kinds = ["duration", "byRequest"].count { value.field($0) != nil }
        if value.isMapping, kinds != 1 { value.report("one of duration and byRequest is required") }
        delay?.partsPerMillion = parts
        return delay
    }

    /// The caller says by `x-envoy-fault-*` what happens to its request.
    private func isByRequest(_ value: YAMLValue) -> Bool {
        guard let isSaid = value.bool() else { return false }
        if !isSaid { value.report("byRequest can only be true") }
        return isSaid
    }

    private func abort(_ value: YAMLValue) -> HTTPFault.Abort? {
        var abort: HTTPFault.Abort?
        var parts: UInt32 = 1_000_000
        value.forEachField { field, value in
            switch field {
            case "status": abort = value.statusCode().map { HTTPFault.Abort(status: $0) }
            case "grpcStatus": abort = value.grpcStatus().map { HTTPFault.Abort(status: 200, grpcStatus: $0) }
            case "byRequest": if isByRequest(value) { abort = HTTPFault.Abort(status: nil) }
            case "percent": parts = value.percentage() ?? parts
            default: value.reportUnknownField()
            }
        }
        let kinds = ["status", "grpcStatus", "byRequest"].count { value.field($0) != nil }
        if value.isMapping, kinds != 1 { value.report("one of status, grpcStatus and byRequest is required") }
        abort?.partsPerMillion = parts
        return abort
    }

    private func responseRateLimit(_ value: YAMLValue) -> HTTPFault.ResponseRateLimit? {
        var limit: HTTPFault.ResponseRateLimit?
        var parts: UInt32 = 1_000_000
        value.forEachField { field, value in
            switch field {
            case "limitKbps":
                limit = value.count32(1...Int64(UInt32.max)).map { HTTPFault.ResponseRateLimit(kibibytesPerSecond: $0) }
            case "byRequest":
                if isByRequest(value) { limit = HTTPFault.ResponseRateLimit(kibibytesPerSecond: nil) }
            case "percent": parts = value.percentage() ?? parts
            default: value.reportUnknownField()
            }
        }
        let kinds = ["limitKbps", "byRequest"].count { value.field($0) != nil }
        if value.isMapping, kinds != 1 { value.report("one of limitKbps and byRequest is required") }
        limit?.partsPerMillion = parts
        return limit
    }

    // MARK: - Fallback

    mutating func fallback(_ value: YAMLValue) -> HTTPBackend.Target? {
        var decoder = HTTPRouteDecoder(key: key)
        let target = decoder.reference(value)
        issues += decoder.issues
        if case .invalid? = target { return nil }
        return target
    }
}
