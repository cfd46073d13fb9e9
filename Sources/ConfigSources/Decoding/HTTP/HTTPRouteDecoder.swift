import Mesh

extension ObjectDecoder {
    /// The Gateway API's HTTPRoute, with the limits and rules of its CustomResourceDefinition.
    /// Source: https://gateway-api.sigs.k8s.io/reference/spec/#httproute
    static func decodeHTTPRoute(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> HTTPRouteResource? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var decoder = HTTPRouteDecoder(key: ObjectKey(.httpRoute, metadata.name))
        let route = decoder.decode(spec)
        issues += decoder.conditions
        return route
    }
}

struct HTTPRouteDecoder {
    let key: ObjectKey
    /// Rules that cannot be carried out, with why: their requests get 500.
    var brokenRules: [(index: Int, reason: String)] = []
    /// What the conditions that they make have for a reason.
    var brokenReason = "UnsupportedValue"
    var issues: [ConditionIssue] = []
    var ruleCount = 0
    /// The rule that is being read.
    var ruleIndex = 0

    init(key: ObjectKey) { self.key = key }

    /// What is to be said about the route from its own text.
    var conditions: [ConditionIssue] {
        guard !brokenRules.isEmpty else { return issues }
        let text = brokenRules.map { "rule \($0.index): \($0.reason)" }.joined(separator: "; ")
        let isWhole = Set(brokenRules.map(\.index)).count == ruleCount
        return issues + [
            ConditionIssue(
                isWhole ? .accepted : .partiallyInvalid, reason: brokenReason, message: "\(text) (requests get 500)")
        ]
    }

    mutating func decode(_ spec: YAMLValue) -> HTTPRouteResource {
        var route = HTTPRouteResource()
        var hostnames: [String] = []
        spec.forEachField { name, value in
            switch name {
            case "parentRefs": route.parents = parents(value)
            case "hostnames":
                value.checkCount(16, of: "host names")
                hostnames = value.map { wildcardHostname($0) }
            case "rules": route.rules = rules(value)
            case "useDefaultGateways": _ = value.choice(["All": (), "None": ()])
            default: value.reportUnknownField()
            }
        }
        if spec.field("rules") == nil {
            route.rules = [HTTPRule(origin: key, index: 0, action: .forward([]))]
        }
        for index in route.rules.indices { route.rules[index].hostnames = hostnames }
        return route
    }

    // MARK: - Parents

    private func parents(_ value: YAMLValue) -> [ParentReference] {
        value.checkCount(32, of: "parents")
        var parents: [ParentReference] = []
        value.forEachElement { value in
            guard let parent = parent(value) else { return }
            let same = parents.filter { isSame($0, parent) }
            if !same.isEmpty {
                if (same + [parent]).contains(where: { $0.sectionName == nil && $0.port == nil }) {
                    value.report("two references to one parent need a sectionName or port each")
                } else if same.contains(where: { $0.sectionName == parent.sectionName && $0.port == parent.port }) {
                    value.report("two references to one parent need different sectionNames or ports")
                }
            }
            parents.append(parent)
        }
        return parents
    }

    private func isSame(_ a: ParentReference, _ b: ParentReference) -> Bool {
        a.group == b.group && a.kind == b.kind && a.name == b.name
            && a.namespace ?? key.name.namespace == b.namespace ?? key.name.namespace
    }

    private func parent(_ value: YAMLValue) -> ParentReference? {
        var parent = ParentReference(group: "gateway.networking.k8s.io", kind: "Gateway", name: "")
        value.forEachField { field, value in
            switch field {
            case "group": parent.group = groupName(value) ?? ""
            case "kind": parent.kind = kindName(value) ?? ""
            case "namespace": parent.namespace = value.name(.label)
            case "name": parent.name = value.name(.subdomain) ?? ""
            case "sectionName": parent.sectionName = value.name(.subdomain)
            case "port": parent.port = value.port()
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("name") == nil { value.reportMissing("name") }
        return parent.name.isEmpty ? nil : parent
    }

    private func groupName(_ value: YAMLValue) -> String? {
        guard let text = value.string() else { return nil }
        guard text.isEmpty || HTTPSyntax.isHostname(text) else {
            value.report("\"\(text.prefix(64))\" is not an API group such as gateway.networking.k8s.io")
            return nil
        }
        return text
    }

    private func kindName(_ value: YAMLValue) -> String? { value.text(maximum: 63, what: "a kind") }

    private func wildcardHostname(_ value: YAMLValue) -> String? {
        guard let text = value.string() else { return nil }
        guard HTTPSyntax.isHostname(text.hasPrefix("*.") ? text.dropFirst(2) : text[...]) else {
            value.report("\"\(text.prefix(64))\" is not a host name such as web.example.com or *.example.com")
            return nil
        }
        return text
    }

    // MARK: - Rules

    private mutating func rules(_ value: YAMLValue) -> [HTTPRule] {
        value.checkCount(16, of: "rules")
        if value.isEmptySequence { value.report("at least one rule is required: leave rules out for the default one") }
        var rules: [HTTPRule] = []
        var names: Set<String> = []
        var matches = 0
        ruleCount = 0
        value.forEachElement { value in
            ruleIndex = ruleCount
            ruleCount += 1
            let rule = rule(value)
            if let name = rule.name, !names.insert(name).inserted {
                value.field("name")?.report("two rules have the name \"\(name)\"")
            }
            matches += rule.matches.count
            rules.append(rule)
        }
        if matches > 128 { value.report("\(matches) matches in all rules together, but at most 128 are allowed") }
        return rules
    }

    private mutating func rule(_ value: YAMLValue) -> HTTPRule {
        var rule = HTTPRule(origin: key, index: ruleIndex, action: .forward([]))
        var filters = HTTPRouteFilters()
        var backends: [HTTPBackend] = []
        value.forEachField { field, value in
            switch field {
            case "name": rule.name = value.name(.subdomain)
            case "matches":
                value.checkCount(64, of: "matches")
                rule.matches = value.map { HTTPRouteMatches.match($0) }
            case "filters": filters = self.filters(value)
            case "backendRefs":
                value.checkCount(16, of: "backends")
                backends = value.map { backend($0) }
            case "timeouts": rule.timeouts = timeouts(value)
            case "retry": rule.retry = retry(value)
            case "sessionPersistence": rule.persistence = persistence(value)
            default: value.reportUnknownField()
            }
        }
        checkPrefixes(value, rule, filters, backends)
        if filters.redirect != nil, !backends.isEmpty {
            value.report("a RequestRedirect filter and backendRefs exclude each other")
        }
        rule.requestHeaders = filters.requestHeaders ?? HeaderModification()
        rule.responseHeaders = filters.responseHeaders ?? HeaderModification()
        rule.rewrite = filters.rewrite
        rule.cors = filters.cors
        rule.mirrors = filters.mirrors
        if filters.rewrite != nil, backends.contains(where: { $0.redirect != nil }) {
            filters.unsupported.append("URLRewrite of a rule and RequestRedirect of its backend exclude each other")
            brokenRules.append((ruleIndex, filters.unsupported[0]))
            brokenReason = "IncompatibleFilters"
        }
        if let reason = filters.unsupported.first {
            rule.action = .forward([HTTPBackend(target: .invalid(reason))])
        } else if let redirect = filters.redirect {
            rule.action = .redirect(redirect)
        } else {
            rule.action = .forward(backends)
        }
        return rule
    }

    /// replacePrefixMatch has a meaning only where one prefix is matched.
    private func checkPrefixes(
        _ value: YAMLValue, _ rule: HTTPRule, _ filters: HTTPRouteFilters, _ backends: [HTTPBackend]
    ) {
        func isPrefix(_ path: PathModification?) -> Bool {
            if case .prefix? = path { true } else { false }
        }
        let uses =
            isPrefix(filters.redirect?.path) || isPrefix(filters.rewrite?.path)
            || backends.contains { isPrefix($0.redirect?.path) || isPrefix($0.rewrite?.path) }
        guard uses else { return }
        // Without matches there is the default one, of the prefix "/".
        let paths = value.field("matches") == nil ? [.prefix("/")] : rule.matches.map { $0.path ?? .prefix("/") }
        guard paths.count == 1, case .prefix = paths[0] else {
            return value.report("replacePrefixMatch needs exactly one match, of a path of type PathPrefix")
        }
    }

    // MARK: - Backends

    private mutating func backend(_ value: YAMLValue) -> HTTPBackend? {
        let weight = value.field("weight").flatMap { $0.count32(0...1_000_000) } ?? 1
        var filters = value.field("filters").map { self.filters($0) } ?? HTTPRouteFilters()
        guard let target = reference(value, beside: ["weight", "filters"]) else { return nil }
        var backend = HTTPBackend(target: target, weight: weight)
        backend.requestHeaders = filters.requestHeaders ?? HeaderModification()
        backend.responseHeaders = filters.responseHeaders ?? HeaderModification()
        backend.rewrite = filters.rewrite
        backend.redirect = filters.redirect
        backend.mirrors = filters.mirrors
        if filters.cors != nil {
            filters.unsupported.append("a CORS filter of a backend is not supported: put it into the rule")
            brokenRules.append((ruleIndex, filters.unsupported[0]))
        }
        if let reason = filters.unsupported.first { backend.target = .invalid(reason) }
        return backend
    }

    /// A BackendObjectReference, beside fields that others read.
    mutating func reference(_ value: YAMLValue, beside others: [String] = []) -> HTTPBackend.Target? {
        var group = ""
        var kind = "Service"
        var name: String?
        var namespace = key.name.namespace
        var port: UInt16?
        value.forEachField { field, value in
            switch field {
            case "group": group = groupName(value) ?? ""
            case "kind": kind = kindName(value) ?? ""
            case "name": name = value.name(.subdomain)
            case "namespace": namespace = value.name(.label) ?? namespace
            case "port": port = value.port()
            default: if !others.contains(field) { value.reportUnknownField() }
            }
        }
        if value.isMapping, value.field("name") == nil { value.reportMissing("name") }
        guard let name else { return nil }
        guard kind == "Service", group.isEmpty || group == "core" else {
            let text = "\(group.isEmpty ? kind : "\(kind).\(group)") cannot be a backend: only Service can"
            issues.append(ConditionIssue(.resolvedRefs, reason: "InvalidKind", message: text))
            return .invalid(text)
        }
        guard let port else {
            if value.isMapping, value.field("port") == nil { value.reportMissing("port") }
            return nil
        }
        return .service(ObjectName(namespace: namespace, name: name), port: port, subset: nil)
    }
}
