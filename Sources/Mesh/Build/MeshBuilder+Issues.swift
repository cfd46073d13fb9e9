extension MeshBuilder {
    /// The objects whose conditions depend on a service.
    func dependents(of service: ObjectName) -> [ObjectKey] {
        [service.serviceKey]
            + (slicesOfService[service] ?? []).map { ObjectKey(.endpointSlice, $0) }
            + (rulesOfService[service] ?? []).map { ObjectKey(.destinationRule, $0) }
            + (policiesOfService[service] ?? []).map { ObjectKey(.trafficPolicy, $0) }
    }

    /// What is wrong with an object in the company of the others.
    func issues(of object: MeshObject) -> [ConditionIssue] {
        let name = object.key.name
        switch object.resource {
        case .service(let service): return issues(of: service, name)
        case .serviceEntry(let entry): return issues(of: entry.service, name.ofServiceEntry)
        case .endpointSlice(let slice): return issues(of: slice, name)
        case .destinationRule(let rule): return issues(of: rule, name)
        case .trafficPolicy(let policy):
            var issues = policy.targets.flatMap { self.issues(ofTarget: $0, policy: policy, name) }
            if case .service(let backend, let port, let subset)? = policy.settings.fallback {
                issues += [problem(of: backend, port: port, subset: subset)].compactMap(\.self)
            }
            if policy.setsAcceleration, let first = accelerationPolicy(of: name.namespace), first.name != name {
                issues.append(
                    .conflict(
                        "\(ObjectKey(.trafficPolicy, first.name)) is in force for Namespace \(name.namespace)"))
            }
            return issues
        case .httpRoute(let route): return issues(of: route, name)
        case .virtualService(let virtualService): return issues(of: virtualService, name)
        case .pod, .workload:
            guard let loss = workloadClaims.losses[object.key] else { return [] }
            return [.conflict("\(loss.claim) belongs to \(loss.winner) already")]
        case .authorizationPolicy(let resource): return resource.isUsable ? issues(of: resource.policy) : []
        case .requestAuthentication(let resource):
            return resource.authentication.targetServices.compactMap { issue(ofTarget: $0, name) }
        case .extensionProvider(let authorizer):
            return [problem(of: authorizer)].compactMap(\.self)
        case .peerAuthentication(let resource): return issues(of: resource, name)
        case .networkPolicy, .namespace, .unserved: return []
        }
    }

    private func issues(of service: ServiceResource, _ name: ObjectName) -> [ConditionIssue] {
        if let loss = serviceClaims.losses[name] {
            return [.conflict("\(loss.claim) belongs to \(loss.winner.serviceKey) already")]
        }
        var issues: [ConditionIssue] = []
        for port in service.ports {
            guard case .name(let target) = port.target else { continue }
            let lacking = selectedMembers(name, service).filter { port.target.resolve(in: $0, port.transport) == nil }
            if let first = lacking.map(\.key).min() {
                issues.append(
                    ConditionIssue(
                        .resolvedRefs, reason: "PortNotFound",
                        message: "\(first) has no \(port.transport.rawValue) port named \"\(target)\""))
            }
        }
        return issues
    }

    private func issues(of slice: EndpointSliceResource, _ name: ObjectName) -> [ConditionIssue] {
        guard let service = slice.service else {
            return [.notFound("it has no label kubernetes.io/service-name, so it belongs to no Service")]
        }
        let serviceName = ObjectName(namespace: name.namespace, name: service)
        guard case .service(let resource)? = objects[ObjectKey(.service, serviceName)]?.resource else {
            return [.notFound("\(ObjectKey(.service, serviceName)) does not exist")]
        }
        let known = Set(resource.ports.map(\.name))
        guard !slice.ports.isEmpty, !resource.ports.isEmpty, !slice.ports.contains(where: { known.contains($0.name) })
        else { return [] }
        let names = slice.ports.map { "\"\($0.name)\"" }.joined(separator: ", ")
        return [
            ConditionIssue(
                .resolvedRefs, reason: "PortNotFound",
                message: "none of its ports (\(names)) has the name of a port of \(ObjectKey(.service, serviceName))")
        ]
    }

    private func issues(of rule: DestinationRuleResource, _ name: ObjectName) -> [ConditionIssue] {
        guard rule.isUsable else { return [] }
        guard let service = rule.service(from: name.namespace) else {
            return [
                .notFound(
                    "the host \"\(rule.host)\" is not a Service's: write NAME, NAME.NAMESPACE or "
                        + "NAME.NAMESPACE.svc.cluster.local")
            ]
        }
        guard objects[ObjectKey(.service, service)] != nil else {
            return [.notFound("\(ObjectKey(.service, service)), which the host \"\(rule.host)\" names, does not exist")]
        }
        guard name.namespace == service.namespace || name.namespace == options.rootNamespace else {
            return [
                .unsupported(
                    .accepted,
                    "a rule for clients of one namespace only: put it in the service's "
                        + "namespace (\(service.namespace)) or the root namespace (\(options.rootNamespace))")
            ]
        }
        if let first = governingRule(of: service), first.name != name {
            return [.conflict("\(ObjectKey(.destinationRule, first.name)) is in force for the same host")]
        }
        return issues(ofProxyFields: rule.settings.proxyFields, for: service)
    }

    /// What only a proxy can carry out has no effect on a service to which nobody sends requests.
    private func issues(ofProxyFields fields: [String], for name: ObjectName) -> [ConditionIssue] {
        guard !fields.isEmpty, let service = service(name), !service.ports.contains(where: \.takesRequests) else {
            return []
        }
        return [
            ConditionIssue(
                .partiallyInvalid, reason: "UnsupportedProtocol",
                message:
                    "\(fields.joined(separator: ", ")): no port of \(ObjectKey(.service, name)) takes HTTP requests")
        ]
    }

    private func issues(
        ofTarget target: String, policy: TrafficPolicyResource, _ name: ObjectName
    ) -> [ConditionIssue] {
        let service = ObjectName(namespace: name.namespace, name: target)
        guard objects[ObjectKey(.service, service)] != nil else {
            return [
                ConditionIssue(
                    .resolvedRefs, reason: "TargetNotFound",
                    message: "\(ObjectKey(.service, service)) does not exist")
            ]
        }
        if let first = governingPolicy(of: service), first.name != name {
            return [
                .conflict("\(ObjectKey(.trafficPolicy, first.name)) is in force for \(ObjectKey(.service, service))")
            ]
        }
        return issues(ofProxyFields: policy.proxyFields, for: service)
    }

    // MARK: - Routes

    private func issues(of route: HTTPRouteResource, _ name: ObjectName) -> [ConditionIssue] {
        var issues = problems(of: route.rules)
        for (index, parent) in route.parents.enumerated() {
            guard var issue = issue(of: parent, name.namespace) else { continue }
            issue.parent = index
            issues.append(issue)
        }
        return issues
    }

    private func issue(of parent: ParentReference, _ namespace: String) -> ConditionIssue? {
        guard let name = parent.service(from: namespace) else {
            if parent.kind == "Gateway" { return .noMatchingParent("gateways are not supported: name a Service") }
            let hint = parent.kind == "Service" ? ": write group: \"\"" : ": only Service can"
            return ConditionIssue(
                .accepted, reason: "InvalidKind", message: "\(parent.kind).\(parent.group) cannot be a parent\(hint)")
        }
        guard let service = service(name) else {
            return .noMatchingParent("\(ObjectKey(.service, name)) does not exist")
        }
        if case .failure(let issue) = attachment(of: parent, to: service) { return issue }
        return nil
    }

    private func issues(of virtualService: VirtualServiceResource, _ name: ObjectName) -> [ConditionIssue] {
        guard virtualService.isUsable else { return [] }
        var issues = problems(of: virtualService.rules.map(\.rule))
        for host in virtualService.hosts {
            guard let service = service(host) else {
                issues.append(.notFound("\(ObjectKey(.service, host)), which a host names, does not exist"))
                continue
            }
            if let route = attachedRoute(to: host) {
                issues.append(.conflict("\(ObjectKey(.httpRoute, route)) is in force for \(ObjectKey(.service, host))"))
            } else if let first = virtualServices(of: host).first(where: {
                $0.resource.isPrivate == virtualService.isPrivate
                    && (!virtualService.isPrivate || $0.name.namespace == name.namespace)
            }), first.name != name {
                issues.append(
                    .conflict(
                        "\(ObjectKey(.virtualService, first.name)) is in force for \(ObjectKey(.service, host))"))
            } else if !service.ports.contains(where: \.takesRequests) {
                issues.append(
                    ConditionIssue(
                        .accepted, reason: "UnsupportedProtocol",
                        message: "no port of \(ObjectKey(.service, host)) takes HTTP requests"))
            }
        }
        return issues
    }
}

extension ConditionIssue {
    /// Another object, older or earlier in name, has it already.
    static func conflict(_ message: String) -> Self { Self(.accepted, reason: "Conflicted", message: message) }

    public static func notFound(_ message: String) -> Self {
        Self(.resolvedRefs, reason: "BackendNotFound", message: message)
    }
}

extension RequestAuthenticationResource {
    /// As it is in force; nil if it has no effect.
    func compiled(options: MeshOptions) -> RequestAuthentication? {
        guard isUsable else { return nil }
        var authentication = authentication
        authentication.isMeshWide = authentication.name.namespace == options.rootNamespace
        return authentication
    }
}

extension AuthorizationPolicyResource {
    /// As it is in force; nil if it has no effect.
    func compiled(options: MeshOptions) -> AuthorizationPolicy? {
        guard isUsable else { return nil }
        var policy = policy
        policy.isMeshWide = policy.name.namespace == options.rootNamespace
        guard options.trustDomain != AuthorizationPolicy.localTrustDomain else { return policy }
        func translate(_ matches: [StringMatch]) -> [StringMatch] {
            matches.map { $0.replacingTrustDomain(with: options.trustDomain) }
        }
        for rule in policy.rules.indices {
            for source in policy.rules[rule].sources.indices {
                let old = policy.rules[rule].sources[source]
                policy.rules[rule].sources[source].principals = translate(old.principals)
                policy.rules[rule].sources[source].notPrincipals = translate(old.notPrincipals)
            }
            for condition in policy.rules[rule].conditions.indices {
                if case .sourcePrincipal(let values, let notValues) = policy.rules[rule].conditions[condition] {
                    policy.rules[rule].conditions[condition] = .sourcePrincipal(
                        values: translate(values), notValues: translate(notValues))
                }
            }
        }
        return policy
    }
}

extension AuthorizationPolicy {
    /// In principals it stands for the mesh's own trust domain, whatever that is called (as in Istio).
    static let localTrustDomain = "cluster.local"
}

extension StringMatch {
    fileprivate func replacingTrustDomain(with domain: String) -> StringMatch {
        let local = AuthorizationPolicy.localTrustDomain + "/"
        func replace(_ text: String) -> String {
            text.hasPrefix(local) ? "\(domain)/\(text.dropFirst(local.count))" : text
        }
        switch self {
        case .exact(let text): return .exact(replace(text))
        case .prefix(AuthorizationPolicy.localTrustDomain): return .prefix(domain)
        case .prefix(let text): return .prefix(replace(text))
        case .suffix, .present: return self
        }
    }
}
