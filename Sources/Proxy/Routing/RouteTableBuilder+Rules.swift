import Mesh

extension RouteTableBuilder {
    mutating func add(_ rule: HTTPRule, of service: RouteIdentifiers.ServicePort) {
        var compiled = RouteRule()
        compiled.requestTimeout = rule.timeouts.request ?? 0
        compiled.backendTimeout = rule.timeouts.backendRequest ?? 0
        compiled.responseEdit = add(HeaderEditBuilder(rule.responseHeaders))
        if let policy = rule.cors { compiled.cors = add(policy) }
        if let fault = rule.fault { compiled.fault = add(fault) }
        if let retry = rule.retry { compiled.retry = add(retry) }
        if let persistence = rule.persistence, HeaderEditBuilder.isToken(persistence.name) {
            compiled.persistence = add(persistence)
        }
        compiled.limits = addLimits(rule.rateLimits, of: service, rule: rule.title)
        switch rule.action {
        case .forward(let targets):
            compiled.kind = .forward
            var total: UInt64 = 0
            let added = targets.map { target in
                total += UInt64(target.weight)
                return backend(target, of: rule, threshold: total)
            }
            compiled.backends = backends.appendRun(added)
            compiled.totalWeight = total
        case .redirect(let redirect):
            compiled.kind = .redirect
            compiled.redirect = add(redirect)
        case .respond(let response):
            compiled.kind = .respond
            compiled.response = responses.appendPlace(
                RouteDirectResponse(
                    status: response.status, body: text(response.body),
                    contentType: text(
                        HeaderEditBuilder.isValue(response.contentType) ? response.contentType : "")))
        }
        rules.append(compiled)
        ruleConfigs.append(rule)
    }

    private mutating func backend(_ backend: HTTPBackend, of rule: HTTPRule, threshold: UInt64)
        -> RouteBackend
    {
        var compiled = RouteBackend(threshold: threshold)
        switch clusters.place(of: backend.target) {
        case .cluster(let place): compiled.cluster = place
        case .invalid(let problem): compiled.problem = text(problem)
        }
        var request = HeaderEditBuilder(rule.requestHeaders, isRequest: true)
        request.apply(backend.requestHeaders)
        compiled.requestEdit = add(request)
        var response = HeaderEditBuilder(rule.responseHeaders)
        response.apply(backend.responseHeaders)
        compiled.responseEdit = add(response)
        // The backend's rewrite is the later one.
        let host = backend.rewrite?.hostname ?? rule.rewrite?.hostname
        let path = backend.rewrite?.path ?? rule.rewrite?.path
        if host != nil || path != nil {
            compiled.rewrite = rewrites.appendPlace(
                RouteRewrite(
                    host: host.map { HeaderEditBuilder.isValue($0) ? text($0) : .empty } ?? .empty,
                    path: edit(path)))
        }
        if let redirect = backend.redirect { compiled.redirect = add(redirect) }
        let copies = (rule.mirrors + backend.mirrors).map { mirror in
            var compiled = RouteMirror(cluster: -1, partsPerMillion: mirror.partsPerMillion)
            if case .cluster(let place) = clusters.place(of: mirror.target) { compiled.cluster = place }
            return compiled
        }
        compiled.mirrors = mirrors.appendRun(copies)
        return compiled
    }

    private mutating func add(_ redirect: HTTPRedirect) -> Int32 {
        func safe(_ value: String?) -> String {
            value.map { HeaderEditBuilder.isValue($0) ? $0 : "" } ?? ""
        }
        return redirects.appendPlace(
            RouteRedirect(
                scheme: text(safe(redirect.scheme).lowercased()), host: text(safe(redirect.hostname)),
                port: redirect.port ?? 0, path: edit(redirect.path), status: redirect.status))
    }

    private mutating func edit(_ path: PathModification?) -> RoutePathEdit {
        switch path {
        case nil: RoutePathEdit()
        case .full(let value): RoutePathEdit(kind: .full, value: text(value.encodedForTarget))
        case .prefix(let value): RoutePathEdit(kind: .prefix, value: text(value.encodedForTarget))
        case .regex(let pattern, let substitution):
            RoutePathEdit(
                kind: .regex, value: text(substitution.encodedForTarget), regex: expression(pattern))
        }
    }

    private mutating func add(_ edit: HeaderEditBuilder) -> Int32 {
        guard !edit.isEmpty else { return -1 }
        return headerEdits.appendPlace(
            RouteHeaderEdit(
                dropped: names.appendRun(edit.dropped.sorted().map { text($0) }), lines: text(edit.text),
                host: text(edit.host ?? "")))
    }

    private mutating func add(_ policy: CORSPolicy) -> Int32 {
        let isAnyOrigin = policy.allowsAnyOrigin || policy.allowOrigins.contains(.exact("*"))
        func list(_ values: [String]) -> String {
            values.filter(HeaderEditBuilder.isValue).joined(separator: ", ")
        }
        return cors.appendPlace(
            RouteCORS(
                allowsAnyOrigin: isAnyOrigin, origins: origins(isAnyOrigin ? [] : policy.allowOrigins),
                allowsCredentials: policy.allowCredentials,
                allowsAnyMethod: policy.allowMethods.contains("*"),
                methods: text(list(policy.allowMethods)),
                allowsAnyHeader: policy.allowHeaders.contains("*"),
                headers: text(list(policy.allowHeaders)), exposed: text(list(policy.exposeHeaders)),
                maxAge: policy.maxAge.map(Int64.init) ?? -1))
    }

    private mutating func add(_ fault: HTTPFault) -> Int32 {
        var compiled = RouteFault()
        if let delay = fault.delay {
            compiled.delay = delay.milliseconds ?? 0
            compiled.delaysByRequest = delay.milliseconds == nil
            compiled.delayPartsPerMillion = delay.partsPerMillion
        }
        if let abort = fault.abort {
            compiled.abortStatus = abort.status ?? 0
            compiled.abortsByRequest = abort.status == nil
            compiled.abortGRPCStatus = abort.grpcStatus.map { Int16(truncatingIfNeeded: $0) } ?? -1
            compiled.abortPartsPerMillion = abort.partsPerMillion
        }
        if let limit = fault.responseRateLimit {
            compiled.responseRate = limit.kibibytesPerSecond ?? 0
            compiled.limitsRateByRequest = limit.kibibytesPerSecond == nil
            compiled.ratePartsPerMillion = limit.partsPerMillion
        }
        let required = fault.headers.map { condition(header: $0) }
        compiled.conditions = conditions.appendRun(required)
        return faults.appendPlace(compiled)
    }

    private mutating func add(_ retry: RetryPolicy) -> Int32 {
        retries.appendPlace(
            RouteRetry(
                conditions: retry.conditions.rawValue, attempts: retry.attempts,
                statuses: retriableStatuses.appendRun(retry.statusCodes),
                headers: names.appendRun(retry.headerNames.map { text($0.lowercased()) }),
                perTryTimeout: retry.perTryTimeout ?? 0,
                backoffBase: retry.backoffBase, backoffCap: retry.backoffCap,
                backoffIsMinimum: retry.backoffIsMinimum, avoidsPreviousHosts: retry.avoidsPreviousHosts))
    }

    private mutating func add(_ persistence: SessionPersistence) -> Int32 {
        var compiled = RoutePersistence(
            isCookie: false, name: text(persistence.name.lowercased()),
            absoluteTimeout: persistence.absoluteTimeout,
            idleTimeout: persistence.idleTimeout)
        if case .cookie(let lifetime) = persistence.kind {
            compiled.isCookie = true
            compiled.name = text(persistence.name)
            compiled.cookieLifetime = lifetime
        }
        return persistences.appendPlace(compiled)
    }

    mutating func addLimits(
        _ limits: [RateLimit], of service: RouteIdentifiers.ServicePort, rule: String?
    ) -> RouteRun {
        let added = limits.map { limit in
            let matches = limit.matches.map { match in
                let compiled = allConditions(of: match)
                return conditions.appendRun(compiled)
            }
            var compiled = RouteRateLimit(
                config: UInt32(limitConfigs.count), key: .all, header: .empty,
                matches: conditionRuns.appendRun(matches), isShadow: limit.isShadow, status: limit.status)
            switch limit.key {
            case .all: break
            case .identity: compiled.key = .identity
            case .clientAddress: compiled.key = .clientAddress
            case .header(let name):
                compiled.key = .header
                compiled.header = text(name.lowercased())
            }
            limitConfigs.append(
                LimitConfig(service: service.service, port: service.port, rule: rule, limit: limit))
            return compiled
        }
        return self.limits.appendRun(added)
    }
}

extension String {
    /// With what may not stand in a request target percent-encoded, so that a configured path cannot end the line.
    var encodedForTarget: String {
        if utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) { return self }
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in utf8 {
            if byte > 0x20 && byte < 0x7f {
                result.append(byte)
            } else {
                result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
