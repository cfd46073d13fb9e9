import Mesh

extension ObjectDecoder {
    /// Istio's VirtualService, its `http` part.
    /// Source: https://istio.io/latest/docs/reference/config/networking/virtual-service/
    static func decodeVirtualService(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> VirtualServiceResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var decoder = VirtualServiceDecoder(key: ObjectKey(.virtualService, metadata.name))
        let virtualService = decoder.decode(spec)
        issues += decoder.issues
        return virtualService
    }
}

struct VirtualServiceDecoder {
    let key: ObjectKey
    var issues: [ConditionIssue] = []

    init(key: ObjectKey) { self.key = key }

    mutating func decode(_ spec: YAMLValue) -> VirtualServiceResource {
        var result = VirtualServiceResource()
        result.isUsable = spec.field("gateways").map { isForMesh($0) } ?? true
        spec.forEachField { field, value in
            switch field {
            case "gateways": break
            case "hosts": result.hosts = hosts(value, isForMesh: result.isUsable)
            case "http":
                var index = 0
                result.rules = value.map { value in
                    defer { index += 1 }
                    return rule(value, index)
                }
            case "tcp", "tls":
                issues.append(.unsupported("spec.\(field) is not supported: only requests of HTTP are routed"))
            case "exportTo": result.isPrivate = isPrivate(value)
            default: value.reportUnknownField()
            }
        }
        if spec.isMapping, spec.field("hosts") == nil {
            result.isUsable = false
            issues.append(.unsupported(.accepted, "without hosts it is a delegate, and delegates are not supported"))
        } else if result.isUsable, result.rules.isEmpty {
            result.isUsable = false
            issues.append(.unsupported(.accepted, "it has no rule that applies to HTTP requests in the mesh"))
        }
        return result
    }

    /// Hosts of a gateway can be any; nothing is said about those.
    private mutating func hosts(_ value: YAMLValue, isForMesh: Bool) -> [ObjectName] {
        if value.isEmptySequence { value.report("at least one host is required") }
        var hosts: [ObjectName] = []
        value.forEachElement { value in
            guard let host = value.text(maximum: 253, what: "a host") else { return }
            guard let service = ServiceHost.service(host, from: key.name.namespace) else {
                if isForMesh {
                    issues.append(.notFound("the host \"\(host)\" is not a Service's: write \(Self.hostForms)"))
                }
                return
            }
            if hosts.contains(service) { value.report("\(service) is there twice") } else { hosts.append(service) }
        }
        return hosts
    }

    static let hostForms = "NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc.cluster.local"

    private mutating func isForMesh(_ value: YAMLValue) -> Bool {
        let gateways = value.map { $0.string() }
        let others = gateways.filter { $0 != "mesh" }
        if !others.isEmpty {
            issues.append(
                .unsupported(
                    gateways.contains("mesh") ? .partiallyInvalid : .accepted,
                    "gateways are not supported: it has no effect on \(others.joined(separator: ", "))"))
        }
        return others.isEmpty || gateways.contains("mesh")
    }

    private mutating func isPrivate(_ value: YAMLValue) -> Bool {
        let scopes = value.map { $0.string() }
        if scopes.contains("*") || scopes.isEmpty { return false }
        if scopes != ["."] {
            issues.append(
                .unsupported("spec.exportTo: only \"*\" and \".\" are supported: it holds for its own namespace"))
        }
        return true
    }

    // MARK: - Rules

    private mutating func rule(_ value: YAMLValue, _ index: Int) -> VirtualServiceResource.Rule? {
        var rule = HTTPRule(origin: key, index: index, action: .forward([]))
        var ports: [UInt16?] = []
        var backends: [HTTPBackend]?
        var redirect: HTTPRedirect?
        var response: DirectResponse?
        var broken: String?
        var isElsewhere = false
        value.forEachField { field, value in
            switch field {
            case "name": rule.name = value.string()
            case "match": isElsewhere = !readMatches(value, &rule, &ports)
            case "route": backends = route(value)
            case "redirect": redirect = self.redirect(value)
            case "directResponse": response = directResponse(value)
            case "delegate": broken = "delegate is not supported"
            case "rewrite": rule.rewrite = rewrite(value)
            case "timeout": rule.timeouts.request = value.istioMilliseconds()
            case "retries": rule.retry = retries(value)
            case "fault": rule.fault = fault(value)
            case "mirror":
                if let target = destination(value) { rule.mirrors.append(HTTPMirror(target: target)) }
            case "mirrors": rule.mirrors += value.map { mirror($0) }
            case "mirrorPercentage", "mirrorPercent", "mirror_percent": break
            case "corsPolicy": rule.cors = cors(value)
            case "headers": readHeaders(value, &rule.requestHeaders, &rule.responseHeaders)
            default: value.reportUnknownField()
            }
        }
        checkActions(value)
        if value.field("mirror") != nil {
            let parts =
                value.field("mirrorPercentage").map { percent($0) } ?? value.field("mirrorPercent")?.percentage()
                ?? value.field("mirror_percent")?.percentage()
            if let parts, !rule.mirrors.isEmpty { rule.mirrors[0].partsPerMillion = parts }
            if value.field("mirrors") != nil { value.report("mirror and mirrors exclude each other") }
        }
        if let broken {
            let path = value.tree.path(of: value.index)
            issues.append(.unsupported("\(path): \(broken) (requests get 500)"))
            rule.action = .forward([HTTPBackend(target: .invalid(broken))])
        } else if let redirect {
            rule.action = .redirect(redirect)
        } else if let response {
            rule.action = .respond(response)
        } else {
            rule.action = .forward(backends ?? [])
        }
        moveAuthority(&rule)
        return isElsewhere ? nil : VirtualServiceResource.Rule(rule: rule, matchPorts: ports)
    }

    private func checkActions(_ value: YAMLValue) {
        guard value.isMapping else { return }
        switch ["route", "redirect", "directResponse", "delegate"].count(where: { value.field($0) != nil }) {
        case 0: value.report("one of route, redirect and directResponse is required")
        case 1: break
        default: value.report("route, redirect, directResponse and delegate exclude each other")
        }
        if value.field("redirect") != nil, value.field("rewrite") != nil {
            value.report("redirect and rewrite exclude each other")
        }
    }

    /// Istio lets `Host` and `:authority` be set as headers.
    private func moveAuthority(_ rule: inout HTTPRule) {
        guard let authority = Self.takeAuthority(&rule.requestHeaders) else { return }
        var rewrite = rule.rewrite ?? URLRewrite()
        rewrite.hostname = rewrite.hostname ?? authority
        rule.rewrite = rewrite
    }

    static func takeAuthority(_ headers: inout HeaderModification) -> String? {
        let index = headers.set.firstIndex { [":authority", "host"].contains($0.name.lowercased()) }
        return index.map { headers.set.remove(at: $0).value }
    }

    // MARK: - Matches

    /// False if it has matches, and all of them are of requests at gateways.
    private mutating func readMatches(
        _ value: YAMLValue, _ rule: inout HTTPRule, _ ports: inout [UInt16?]
    ) -> Bool {
        var count = 0
        value.forEachElement { value in
            count += 1
            var port: UInt16?
            guard let match = match(value, &port) else { return }
            rule.matches.append(match)
            ports.append(port)
        }
        return count == 0 || !rule.matches.isEmpty
    }

    private mutating func match(_ value: YAMLValue, _ port: inout UInt16?) -> HTTPMatch? {
        var match = HTTPMatch()
        var isElsewhere = false
        value.forEachField { field, value in
            switch field {
            case "name", "statPrefix": _ = value.string()
            case "uri":
                match.path =
                    switch stringMatch(value) {
                    case .exact(let text): .exact(text)
                    case .prefix(let text): .textPrefix(text)
                    case .regex(let text): .regex(text)
                    case .present, nil: nil
                    }
            case "scheme": match.scheme = stringMatch(value)
            case "method": match.method = stringMatch(value)
            case "authority": match.authority = stringMatch(value)
            case "headers": match.headers = headers(value)
            case "withoutHeaders": match.withoutHeaders = headers(value)
            case "queryParams": match.query = named(value) { $0 }
            case "port": port = value.port()
            case "sourceLabels": match.sourceLabels = value.labels()
            case "sourceNamespace": match.sourceNamespace = value.name(.label)
            case "ignoreUriCase": match.ignoresPathCase = value.bool() ?? false
            case "gateways":
                let gateways = value.map { $0.string() }
                isElsewhere = !gateways.isEmpty && !gateways.contains("mesh")
            default: value.reportUnknownField()
            }
        }
        guard isElsewhere else { return value.isMapping ? match : nil }
        issues.append(
            .unsupported(
                "\(value.tree.path(of: value.index)): gateways are not supported: it matches no request in the mesh"))
        return nil
    }

    func stringMatch(_ value: YAMLValue) -> TextMatch? {
        var result: TextMatch?
        var count = 0
        value.forEachField { field, value in
            count += 1
            switch field {
            case "exact": result = value.string().map { .exact($0) }
            case "prefix": result = value.string().map { .prefix($0) }
            case "regex": result = value.expression().map { .regex($0) }
            default: value.reportUnknownField()
            }
        }
        if count > 1 { value.report("exact, prefix and regex exclude each other") }
        if count == 0, value.isMapping { result = .present }
        return result
    }

    /// A mapping from names to matches; an empty match is presence.
    private func named(_ value: YAMLValue, _ normalise: (String) -> String) -> [NamedMatch] {
        var matches: [NamedMatch] = []
        value.forEachField { name, value in
            guard !name.isEmpty else { return value.report("a name is required") }
            guard !value.isNull else { return matches.append(NamedMatch(name: normalise(name), value: .present)) }
            if let match = stringMatch(value) { matches.append(NamedMatch(name: normalise(name), value: match)) }
        }
        return matches.sorted { $0.name < $1.name }
    }

    func headers(_ value: YAMLValue) -> [NamedMatch] {
        value.forEachField { name, value in
            if !HTTPSyntax.isToken(name) { value.report("\"\(name.prefix(64))\" is not a header name") }
            if ["uri", "scheme", "method", "authority"].contains(name) {
                value.report("\(name) is a match of its own, not a header")
            }
        }
        return named(value) { $0.lowercased() }
    }
}
