import Mesh

extension HTTPRouteDecoder {
    /// HTTPRouteTimeouts (GEP-1742). 0 is no limit.
    func timeouts(_ value: YAMLValue) -> HTTPTimeouts {
        var timeouts = HTTPTimeouts()
        value.forEachField { field, value in
            switch field {
            case "request": timeouts.request = value.milliseconds()
            case "backendRequest": timeouts.backendRequest = value.milliseconds()
            default: value.reportUnknownField()
            }
        }
        if let request = timeouts.request, request > 0, let backend = timeouts.backendRequest, backend > request {
            value.report("backendRequest cannot be longer than request")
        }
        return timeouts
    }

    /// HTTPRouteRetry (GEP-1731): besides the codes, failed connections are retried.
    func retry(_ value: YAMLValue) -> RetryPolicy {
        var retry = RetryPolicy()
        retry.conditions = [.connectFailure, .reset, .refusedStream]
        value.forEachField { field, value in
            switch field {
            case "codes":
                var codes: Set<UInt16> = []
                retry.statusCodes = value.map { value in
                    guard let code = value.statusCode(400...599) else { return nil }
                    if !codes.insert(code).inserted { value.report("\(code) is there twice") }
                    return code
                }
            case "attempts": retry.attempts = value.count32(1...100) ?? 1
            case "backoff":
                guard let base = value.milliseconds() else { return }
                retry.backoffBase = base
                retry.backoffCap = UInt32(clamping: UInt64(base) * 10)
                retry.backoffIsMinimum = true
            default: value.reportUnknownField()
            }
        }
        if !retry.statusCodes.isEmpty { retry.conditions.insert(.retriableStatusCodes) }
        return retry
    }

    /// SessionPersistence (GEP-1619), in its present form and in the one before it.
    func persistence(_ value: YAMLValue) -> SessionPersistence? {
        var isHeader: Bool? = false
        var name: String?
        var path: String?
        var isPermanent = false
        var absolute: UInt32?
        var idle: UInt32?
        value.forEachField { field, value in
            switch field {
            case "type": isHeader = value.choice(["Cookie": false, "Header": true])
            case "sessionName": name = value.headerName()
            case "absoluteTimeout": absolute = value.wholeSeconds()
            case "idleTimeout": idle = value.wholeSeconds()
            case "cookie", "cookieConfig", "header":
                value.forEachField { part, value in
                    switch (field, part) {
                    case ("cookie", "name"), ("header", "name"): name = value.headerName()
                    case ("cookie", "path"): path = HTTPRouteMatches.literalPath(value)
                    case ("cookie", "lifetimeType"), ("cookieConfig", "lifetimeType"):
                        isPermanent = value.choice(["Permanent": true, "Session": false]) ?? false
                    default: value.reportUnknownField()
                    }
                }
            default: value.reportUnknownField()
            }
        }
        guard let isHeader else { return nil }
        for field in isHeader ? ["cookie", "cookieConfig"] : ["header"] {
            value.field(field)?.report("it does not belong to this type of session persistence")
        }
        if isPermanent, value.field("absoluteTimeout") == nil {
            value.report("a cookie of lifetimeType Permanent needs an absoluteTimeout")
        }
        let kind: SessionPersistence.Kind = isHeader ? .header : .cookie(lifetime: isPermanent ? absolute : nil)
        var persistence = SessionPersistence(kind: kind, name: name ?? (isHeader ? "x-weft-session" : "weft-session"))
        persistence.absoluteTimeout = absolute
        persistence.idleTimeout = idle
        if let path { persistence.path = path }
        return persistence
    }
}
