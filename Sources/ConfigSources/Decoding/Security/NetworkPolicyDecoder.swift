import Mesh

extension ObjectDecoder {
    /// A Kubernetes NetworkPolicy (networking.k8s.io/v1).
    static func decodeNetworkPolicy(
        _ root: YAMLValue, _ metadata: Metadata, _ issues: inout [ConditionIssue]
    ) -> NetworkPolicy? {
        guard let spec = root.field("spec") else {
            root.reportMissing("spec")
            return nil
        }
        root.forEachOwnField { name, value in
            if name != "spec" { value.reportUnknownField() }
        }
        var decoder = NetworkPolicyDecoder()
        defer { issues += decoder.issues }
        return decoder.decode(spec, metadata.name)
    }
}

private struct NetworkPolicyDecoder {
    var issues: [ConditionIssue] = []

    mutating func decode(_ spec: YAMLValue, _ name: ObjectName) -> NetworkPolicy {
        var policy = NetworkPolicy(name: name, podSelector: LabelSelector())
        var ingress: [NetworkPolicy.Rule] = []
        var egress: [NetworkPolicy.Rule] = []
        var types: Set<Direction>?
        spec.forEachField { field, value in
            switch field {
            case "podSelector": policy.podSelector = value.labelSelector()
            case "ingress": ingress = value.map { rule($0, peers: "from") }
            case "egress": egress = value.map { rule($0, peers: "to") }
            case "policyTypes":
                // An empty list is none, as the API server has it.
                let given: [Direction] = value.map { $0.choice(["Ingress": .ingress, "Egress": .egress]) }
                if !value.isEmptySequence { types = Set(given) }
            default: value.reportUnknownField()
            }
        }
        let hasEgress = spec.field("egress").map { !$0.isEmptySequence } ?? false
        let directions = types ?? (hasEgress ? [.ingress, .egress] : [.ingress])
        policy.ingress = directions.contains(.ingress) ? ingress : nil
        policy.egress = directions.contains(.egress) ? egress : nil
        return policy
    }

    private enum Direction { case ingress, egress }

    /// nil for a rule that allows nothing which Weft knows.
    private mutating func rule(_ value: YAMLValue, peers field: String) -> NetworkPolicy.Rule? {
        var rule = NetworkPolicy.Rule()
        var hasPorts = false
        value.forEachField { name, value in
            switch name {
            case field: rule.peers = value.map { peer($0) }
            case "ports":
                hasPorts = !value.isEmptySequence
                rule.ports = value.map { port($0) }
            default: value.reportUnknownField()
            }
        }
        return hasPorts && rule.ports.isEmpty ? nil : rule
    }

    private func peer(_ value: YAMLValue) -> NetworkPolicy.Peer? {
        var namespaces: LabelSelector?
        var pods: LabelSelector?
        var block: NetworkPolicy.Peer?
        value.forEachField { name, value in
            switch name {
            case "namespaceSelector": namespaces = value.labelSelector()
            case "podSelector": pods = value.labelSelector()
            case "ipBlock": block = self.block(value)
            default: value.reportUnknownField()
            }
        }
        if value.field("ipBlock") != nil {
            if namespaces != nil || pods != nil {
                value.report("ipBlock cannot be combined with podSelector or namespaceSelector")
            }
            return block
        }
        guard namespaces != nil || pods != nil else {
            if value.isMapping || value.isNull {
                value.report("names nobody: podSelector, namespaceSelector or ipBlock")
            }
            return nil
        }
        return .workloads(namespaces: namespaces, pods: pods ?? LabelSelector())
    }

    private func block(_ value: YAMLValue) -> NetworkPolicy.Peer? {
        var block: IPBlock?
        var exceptions: [(YAMLValue, IPBlock)] = []
        value.forEachField { name, value in
            switch name {
            case "cidr": block = value.block()
            case "except": exceptions = value.map { element in element.block().map { (element, $0) } }
            default: value.reportUnknownField()
            }
        }
        if value.isMapping, value.field("cidr") == nil { value.reportMissing("cidr") }
        guard let block else { return nil }
        for (element, exception) in exceptions
        where exception.prefixLength <= block.prefixLength || !block.contains(exception.address) {
            element.report("\(exception) is not a part of \(block)")
        }
        return .block(block, except: exceptions.map(\.1))
    }

    private mutating func port(_ value: YAMLValue) -> NetworkPolicy.Port? {
        var isSCTP = false
        var result = NetworkPolicy.Port(transport: .tcp)
        value.forEachField { name, value in
            switch name {
            case "protocol":
                let (transport, sctp) = ObjectDecoder.transportProtocol(value)
                (result.transport, isSCTP) = (transport ?? .tcp, sctp)
            case "port": result.port = number(value)
            case "endPort": result.endPort = value.port()
            default: value.reportUnknownField()
            }
        }
        if let end = result.endPort {
            switch result.port {
            case .number(let first) where end >= first: break
            case .number(let first): value.field("endPort")?.report("\(end) is before port \(first)")
            case .name, nil: value.field("endPort")?.report("only a port with a number has an end")
            }
        }
        guard isSCTP else { return result }
        issues.append(
            ConditionIssue(
                .partiallyInvalid, reason: "UnsupportedProtocol",
                message:
                    "\(value.tree.path(of: value.index)): protocol SCTP is not supported, so nothing is allowed by it"
            ))
        return nil
    }

    private func number(_ value: YAMLValue) -> NetworkPolicy.Port.Number? {
        if value.isInteger { return value.port().map { .number($0) } }
        guard let text = value.string() else { return nil }
        guard !text.isEmpty, text.utf8.count <= 15, text.contains(where: \.isLetter) else {
            value.report("\"\(text.prefix(64))\" is not a port: write the number without quotes, or the name of a port")
            return nil
        }
        return .name(text)
    }
}

extension YAMLValue {
    /// Kubernetes' LabelSelector.
    fileprivate func labelSelector() -> LabelSelector {
        var selector = LabelSelector()
        forEachField { name, value in
            switch name {
            case "matchLabels": selector.labels = value.labels()
            case "matchExpressions": selector.requirements = value.map { $0.labelRequirement() }
            default: value.reportUnknownField()
            }
        }
        return selector
    }

    private func labelRequirement() -> LabelSelector.Requirement? {
        enum Operator { case isIn, notIn, exists, doesNotExist }
        var key: String?
        var operation: Operator?
        var values: [String] = []
        forEachField { name, value in
            switch name {
            case "key": key = value.text(maximum: 317, what: "a label's name")
            case "operator":
                operation = value.choice([
                    "In": .isIn, "NotIn": .notIn, "Exists": .exists, "DoesNotExist": .doesNotExist,
                ])
            case "values": values = value.map { $0.string() }
            default: value.reportUnknownField()
            }
        }
        for field in ["key", "operator"] where isMapping && self.field(field) == nil { reportMissing(field) }
        guard let key, let operation else { return nil }
        switch operation {
        case .isIn, .notIn:
            if values.isEmpty { report("the operators In and NotIn need values") }
            return operation == .isIn ? .in(key: key, values: values) : .notIn(key: key, values: values)
        case .exists, .doesNotExist:
            if !values.isEmpty { field("values")?.report("the operators Exists and DoesNotExist have no values") }
            return operation == .exists ? .exists(key: key) : .doesNotExist(key: key)
        }
    }
}
