import Mesh

extension ObjectDecoder {
    /// Istio's AuthorizationPolicy. What only an HTTP proxy could see is resolved as Istio does for TCP: an ALLOW (and
    /// AUDIT) rule with it never matches, a DENY rule takes it as matching.
    static func decodeAuthorizationPolicy(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> AuthorizationPolicyResource? {
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var resource = AuthorizationPolicyResource(
            policy: AuthorizationPolicy(name: metadata.name, isShadow: metadata.isDryRun))
        // Without a spec it is an ALLOW policy for the whole namespace that allows nothing.
        guard let spec = root.field("spec") else { return resource }
        if let action = spec.field("action") {
            readAction(action, &resource.policy, &issues)
        }
        spec.forEachField { name, value in
            switch name {
            case "action", "provider": break
            case "selector": resource.policy.selector = selector(value)
            case "targetRef", "targetRefs":
                resource.isUsable = false
                issues.append(
                    .unsupported(
                        .accepted,
                        "spec.\(name) is not supported, so the policy is not in force: "
                            + "select workloads with spec.selector"))
            case "rules":
                resource.policy.rules = value.map { decodeRule($0, resource.policy.action, &issues) }
            default: value.reportUnknownField()
            }
        }
        return resource
    }

    private static func readAction(
        _ value: YAMLValue, _ policy: inout AuthorizationPolicy, _ issues: inout [ConditionIssue]
    ) {
        let known: AuthorizationPolicy.Action?? = value.choice([
            "ALLOW": .allow, "DENY": .deny, "AUDIT": .audit, "CUSTOM": nil,
        ])
        guard let known else { return }
        if let action = known {
            policy.action = action
        } else {
            // Nobody can be asked, so nobody allowed it.
            policy.action = .deny
            issues.append(
                .unsupported(
                    .accepted,
                    "action CUSTOM is not supported: connections that its rules match "
                        + "are denied"))
        }
    }

    private static func selector(_ value: YAMLValue) -> [String: String] {
        var labels: [String: String] = [:]
        value.forEachField { name, value in
            guard name == "matchLabels" else { return value.reportUnknownField() }
            labels = value.labels()
        }
        return labels
    }

    /// nil for a rule that can never match.
    private static func decodeRule(
        _ value: YAMLValue, _ action: AuthorizationPolicy.Action, _ issues: inout [ConditionIssue]
    ) -> AuthorizationPolicy.Rule? {
        var rule = AuthorizationPolicy.Rule()
        var foreign: [String] = []
        value.forEachField { name, value in
            switch name {
            case "from":
                rule.sources = value.map { decodeFrom($0, &foreign) }
                if value.isEmptySequence {
                    value.report("an empty list matches nothing: leave it out to match everything")
                }
            case "to":
                rule.operations = value.map { decodeTo($0, &foreign) }
                if value.isEmptySequence {
                    value.report("an empty list matches nothing: leave it out to match everything")
                }
            case "when": rule.conditions = value.map { decodeWhen($0, &foreign) }
            default: value.reportUnknownField()
            }
        }
        guard !foreign.isEmpty else { return rule }
        let path = value.tree.path(of: value.index)
        let names = foreign.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }.joined(separator: ", ")
        let effect =
            action == .deny ? "taken as matching, so the rule denies more" : "never matching, so the rule has no effect"
        issues.append(.unsupported(.accepted, "\(path): \(names) needs an HTTP proxy and is \(effect)"))
        return action == .deny ? rule : nil
    }

    // MARK: - from

    private static func decodeFrom(_ value: YAMLValue, _ foreign: inout [String]) -> AuthorizationPolicy.Source? {
        var source: AuthorizationPolicy.Source?
        value.forEachField { name, value in
            guard name == "source" else { return value.reportUnknownField() }
            source = decodeSource(value, &foreign)
        }
        if value.isMapping, value.field("source") == nil { value.reportMissing("source") }
        return source
    }

    private static func decodeSource(_ value: YAMLValue, _ foreign: inout [String]) -> AuthorizationPolicy.Source {
        var source = AuthorizationPolicy.Source()
        var usesAccounts = false
        var usesPrincipals = false
        value.forEachField { name, value in
            if value.isEmptySequence { value.report("an empty list matches nothing: leave it out to match everything") }
            switch name {
            case "principals": (source.principals, usesPrincipals) = (value.matches(), true)
            case "notPrincipals": (source.notPrincipals, usesPrincipals) = (value.matches(), true)
            case "namespaces": (source.namespaces, usesPrincipals) = (value.matches(), true)
            case "notNamespaces": (source.notNamespaces, usesPrincipals) = (value.matches(), true)
            case "serviceAccounts": (source.principals, usesAccounts) = (value.map { $0.serviceAccount() }, true)
            case "notServiceAccounts": (source.notPrincipals, usesAccounts) = (value.map { $0.serviceAccount() }, true)
            case "ipBlocks": source.ipBlocks = value.map { $0.block() }
            case "notIpBlocks": source.notIPBlocks = value.map { $0.block() }
            case "requestPrincipals", "notRequestPrincipals", "remoteIpBlocks", "notRemoteIpBlocks":
                foreign.append(name)
            default: value.reportUnknownField()
            }
        }
        if usesAccounts, usesPrincipals {
            value.report("serviceAccounts cannot be combined with principals or namespaces")
        }
        return source
    }

    // MARK: - to

    private static func decodeTo(_ value: YAMLValue, _ foreign: inout [String]) -> AuthorizationPolicy.Operation? {
        var operation: AuthorizationPolicy.Operation?
        value.forEachField { name, value in
            guard name == "operation" else { return value.reportUnknownField() }
            var result = AuthorizationPolicy.Operation()
            value.forEachField { name, value in
                if value.isEmptySequence {
                    value.report("an empty list matches nothing: leave it out to match everything")
                }
                switch name {
                case "ports": result.ports = value.map { $0.portText() }
                case "notPorts": result.notPorts = value.map { $0.portText() }
                case "hosts", "notHosts", "methods", "notMethods", "paths", "notPaths": foreign.append(name)
                default: value.reportUnknownField()
                }
            }
            operation = result
        }
        if value.isMapping, value.field("operation") == nil { value.reportMissing("operation") }
        return operation
    }

    // MARK: - when

    private static func decodeWhen(_ value: YAMLValue, _ foreign: inout [String]) -> AuthorizationPolicy.Condition? {
        value.forEachField { name, value in
            if !["key", "values", "notValues"].contains(name) { value.reportUnknownField() }
        }
        let values = value.field("values")
        let notValues = value.field("notValues")
        if value.isMapping, values == nil, notValues == nil { value.reportMissing("values") }
        guard let keyValue = value.field("key") else {
            if value.isMapping { value.reportMissing("key") }
            return nil
        }
        guard let key = keyValue.string() else { return nil }
        func read<Element>(_ body: (YAMLValue) -> Element?) -> ([Element], [Element]) {
            (values?.map(body) ?? [], notValues?.map(body) ?? [])
        }
        switch key {
        case "source.ip":
            let (values, notValues) = read { $0.block() }
            return .sourceIP(values: values, notValues: notValues)
        case "destination.ip":
            let (values, notValues) = read { $0.block() }
            return .destinationIP(values: values, notValues: notValues)
        case "source.principal":
            let (values, notValues) = read { $0.match() }
            return .sourcePrincipal(values: values, notValues: notValues)
        case "source.serviceAccount":
            let (values, notValues) = read { $0.serviceAccount() }
            return .sourcePrincipal(values: values, notValues: notValues)
        case "source.namespace":
            let (values, notValues) = read { $0.match() }
            return .sourceNamespace(values: values, notValues: notValues)
        case "destination.port":
            let (values, notValues) = read { $0.portText() }
            return .destinationPort(values: values, notValues: notValues)
        case "remote.ip", "connection.sni": foreign.append(key)
        case _ where key.hasPrefix("request.") || key.hasPrefix("experimental."): foreign.append(key)
        default: keyValue.report("unknown key \"\(key)\"")
        }
        return nil
    }
}

extension YAMLValue {
    func matches() -> [StringMatch] { map { $0.match() } }

    /// One of Istio's string forms: exact, `prefix*`, `*suffix` or `*`.
    func match() -> StringMatch? {
        guard let text = string() else { return nil }
        guard !text.isEmpty else {
            report("an empty string matches nothing")
            return nil
        }
        if text == "*" { return .present }
        if text.hasSuffix("*") { return .prefix(String(text.dropLast())) }
        if text.hasPrefix("*") { return .suffix(String(text.dropFirst())) }
        return .exact(text)
    }

    /// `name` or `namespace/name`, as the principal that it has in any trust domain of the mesh.
    func serviceAccount() -> StringMatch? {
        guard let text = string() else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }), !text.contains("*") else {
            report("\"\(text.prefix(64))\" is not a service account: write NAME or NAMESPACE/NAME")
            return nil
        }
        let namespace = parts.count == 2 ? String(parts[0]) : ownNamespace
        return .exact("cluster.local/ns/\(namespace)/sa/\(parts[parts.count - 1])")
    }

    /// `metadata.namespace` of the object that this value is in.
    private var ownNamespace: String {
        var root = self
        while let parent = root.parent { root = parent }
        return root.field("metadata")?.field("namespace")?.string() ?? "default"
    }

    func block() -> IPBlock? {
        guard let text = string() else { return nil }
        guard let block = IPBlock(text) else {
            report("\"\(text.prefix(64))\" is not an address block such as 10.1.0.0/16, 10.1.2.3 or 2001:db8::/32")
            return nil
        }
        return block
    }

    /// A port, which Istio writes as a string.
    func portText() -> UInt16? {
        guard let text = string() else { return nil }
        guard let port = UInt16(text), port > 0 else {
            report("\"\(text.prefix(64))\" is not a port (1...65535)")
            return nil
        }
        return port
    }
}
