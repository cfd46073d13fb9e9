extension MeshBuilder {
    // MARK: - What is wrong with policies in the company of the other objects

    func issues(of policy: AuthorizationPolicy) -> [ConditionIssue] {
        var issues = policy.targetServices.compactMap { issue(ofTarget: $0, policy.name) }
        if policy.action == .custom, let provider = policy.provider, snapshot.authorizers[provider] == nil {
            issues.append(
                .notFound(
                    "ExtensionProvider \(provider) does not exist: what the policy's rules match is denied"))
        }
        return issues
    }

    func issue(ofTarget target: String, _ policy: ObjectName) -> ConditionIssue? {
        let service = ObjectName(namespace: policy.namespace, name: target)
        guard let resource = self.service(service) else {
            return ConditionIssue(
                .resolvedRefs, reason: "TargetNotFound", message: "\(ObjectKey(.service, service)) does not exist")
        }
        let others = resource.ports.filter { !$0.takesRequests }
        guard let first = others.first else { return nil }
        return ConditionIssue(
            .partiallyInvalid, reason: "UnsupportedProtocol",
            message:
                "port \(first.port) of \(ObjectKey(.service, service)) speaks \(first.protocolText): a policy for a "
                + "service is only for its HTTP requests")
    }

    func problem(of authorizer: ExternalAuthorizer) -> ConditionIssue? {
        let key = ObjectKey(.service, authorizer.service)
        guard let service = service(authorizer.service) else { return .notFound("\(key) does not exist") }
        guard service.ports.contains(where: { $0.port == authorizer.port && $0.transport == .tcp }) else {
            return .notFound("\(key) has no TCP port \(authorizer.port)")
        }
        return nil
    }
}
