import Mesh

extension ObjectDecoder {
    /// Istio's AuthorizationPolicy.
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
        var targets = PolicyTargets()
        spec.forEachField { name, value in
            switch name {
            case "action":
                resource.policy.action =
                    value.choice(["ALLOW": .allow, "DENY": .deny, "AUDIT": .audit, "CUSTOM": .custom]) ?? .deny
            case "provider": resource.policy.provider = provider(value)
            case "selector", "targetRef", "targetRefs": targets.read(name, value)
            case "rules": resource.policy.rules = value.map { decodeRule($0) }
            default: value.reportUnknownField()
            }
        }
        targets.check(spec, &issues)
        resource.policy.selector = targets.selector
        resource.policy.targetServices = targets.services
        resource.isUsable = targets.isUsable
        if resource.policy.action == .custom {
            checkCustom(spec)
        } else {
            spec.field("provider")?.report("only the action CUSTOM has a provider")
        }
        return resource
    }

    private static func provider(_ value: YAMLValue) -> String? {
        var provider: String?
        value.forEachField { name, value in
            guard name == "name" else { return value.reportUnknownField() }
            provider = value.name(.subdomain)
        }
        if value.isMapping, value.field("name") == nil { value.reportMissing("name") }
        return provider
    }

    /// Who decides is asked before any token is looked at, so a CUSTOM policy cannot speak of what tokens say.
    private static func checkCustom(_ spec: YAMLValue) {
        if spec.field("provider") == nil { spec.reportMissing("provider") }
        func refuse(_ value: YAMLValue) {
            value.report("a policy with the action CUSTOM is decided before tokens are read: it cannot speak of them")
        }
        spec.field("rules")?.forEachElement { rule in
            rule.field("from")?.forEachElement { element in
                element.field("source")?.forEachField { name, value in
                    if name == "requestPrincipals" || name == "notRequestPrincipals" { refuse(value) }
                }
            }
            rule.field("when")?.forEachElement { condition in
                guard let key = condition.field("key"), key.isScalar, let text = key.string() else { return }
                if text.hasPrefix("request.auth.") { refuse(key) }
            }
        }
    }

    private static func decodeRule(_ value: YAMLValue) -> AuthorizationPolicy.Rule {
        var rule = AuthorizationPolicy.Rule()
        value.forEachField { name, value in
            value.reportIfEmpty()
            switch name {
            case "from": rule.sources = value.map { decodeFrom($0) }
            case "to": rule.operations = value.map { decodeTo($0) }
            case "when": rule.conditions = value.map { AuthorizationConditionDecoder.decode($0) }
            default: value.reportUnknownField()
            }
        }
        return rule
    }

    private static func decodeFrom(_ value: YAMLValue) -> AuthorizationPolicy.Source? {
        var source: AuthorizationPolicy.Source?
        value.forEachField { name, value in
            guard name == "source" else { return value.reportUnknownField() }
            source = decodeSource(value)
        }
        if value.isMapping, value.field("source") == nil { value.reportMissing("source") }
        return source
    }

    private static func decodeSource(_ value: YAMLValue) -> AuthorizationPolicy.Source {
        var source = AuthorizationPolicy.Source()
        var usesAccounts = false
        var usesPrincipals = false
        value.forEachField { name, value in
            value.reportIfEmpty()
            switch name {
            case "principals": (source.principals, usesPrincipals) = (value.map { $0.principal() }, true)
            case "notPrincipals": (source.notPrincipals, usesPrincipals) = (value.map { $0.principal() }, true)
            case "namespaces": (source.namespaces, usesPrincipals) = (value.matches(), true)
            case "notNamespaces": (source.notNamespaces, usesPrincipals) = (value.matches(), true)
            case "serviceAccounts": (source.principals, usesAccounts) = (value.map { $0.serviceAccount() }, true)
            case "notServiceAccounts": (source.notPrincipals, usesAccounts) = (value.map { $0.serviceAccount() }, true)
            case "requestPrincipals": source.requestPrincipals = value.matches()
            case "notRequestPrincipals": source.notRequestPrincipals = value.matches()
            case "ipBlocks": source.ipBlocks = value.map { $0.block() }
            case "notIpBlocks": source.notIPBlocks = value.map { $0.block() }
            case "remoteIpBlocks": source.remoteIPBlocks = value.map { $0.block() }
            case "notRemoteIpBlocks": source.notRemoteIPBlocks = value.map { $0.block() }
            default: value.reportUnknownField()
            }
        }
        if usesAccounts, usesPrincipals {
            value.report("serviceAccounts cannot be combined with principals or namespaces")
        }
        return source
    }

    private static func decodeTo(_ value: YAMLValue) -> AuthorizationPolicy.Operation? {
        var operation: AuthorizationPolicy.Operation?
        value.forEachField { name, value in
            guard name == "operation" else { return value.reportUnknownField() }
            operation = decodeOperation(value)
        }
        if value.isMapping, value.field("operation") == nil { value.reportMissing("operation") }
        return operation
    }

    private static func decodeOperation(_ value: YAMLValue) -> AuthorizationPolicy.Operation {
        var operation = AuthorizationPolicy.Operation()
        value.forEachField { name, value in
            value.reportIfEmpty()
            switch name {
            case "ports": operation.ports = value.map { $0.portText() }
            case "notPorts": operation.notPorts = value.map { $0.portText() }
            case "hosts": operation.hosts = value.map { $0.hostMatch() }
            case "notHosts": operation.notHosts = value.map { $0.hostMatch() }
            case "methods": operation.methods = value.matches()
            case "notMethods": operation.notMethods = value.matches()
            case "paths": operation.paths = value.map { $0.pathMatch() }
            case "notPaths": operation.notPaths = value.map { $0.pathMatch() }
            default: value.reportUnknownField()
            }
        }
        return operation
    }
}
