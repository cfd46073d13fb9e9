import Mesh
import WeftABI

/// Turns the AuthorizationPolicies of a snapshot into policy groups: one for each different set that applies to some
/// workload.
///
/// The kernel decides about connections. A rule about requests is the proxy's at the workload's `requestPorts`, and is
/// decided here at all others, as Istio does for plain TCP: ALLOW never matches, DENY does whatever the requests would be.
/// At `requestPorts` ALLOW lets through what its sources and ports match, for the proxy to decide. CUSTOM policies are DENY
/// where nobody can be asked. Policies for services (`targetServices`) and RequestAuthentications are the proxy's alone.
struct PolicyCompiler {
    private(set) var groups: [UInt64: CompiledPolicy] = [:]
    /// Policies that the kernel cannot hold, with the reason.
    private(set) var failures: [ObjectName: String] = [:]

    private let policies: [AuthorizationPolicy]
    private let identities: [CompiledPolicy.Identity]
    private var groupOfSet: [GroupKey: UInt64] = [:]

    private struct GroupKey: Hashable {
        var policies: [ObjectName]
        /// Only for sets that speak of the destination's address.
        var addresses: [IPAddress]
        /// Only for sets that speak of requests.
        var requestPorts: Set<UInt16>
    }

    init(_ snapshot: MeshSnapshot) {
        policies = snapshot.policies.values.sorted { $0.name < $1.name }
        var seen: [String: CompiledPolicy.Identity] = [:]
        if !policies.isEmpty {
            for workload in snapshot.workloads.values {
                let spiffeID = workload.spiffeID(trustDomain: snapshot.trustDomain)
                guard seen[spiffeID] == nil else { continue }
                seen[spiffeID] = CompiledPolicy.Identity(
                    id: Identifier.identity(spiffeID), principal: String(spiffeID.dropFirst("spiffe://".count)),
                    namespace: workload.name.namespace)
            }
        }
        identities = seen.values.sorted { $0.principal < $1.principal }
    }

    /// The group that guards connections to `workload`; 0 if no policy applies.
    mutating func group(for workload: MeshWorkload) -> UInt64 {
        let applicable = policies.filter { $0.selects(workload) }
        guard !applicable.isEmpty else { return 0 }
        let key = GroupKey(
            policies: applicable.map(\.name),
            addresses: applicable.contains(where: \.mentionsDestinationAddress) ? workload.addresses : [],
            requestPorts: applicable.contains(where: \.concernsRequests) ? workload.requestPorts : [])
        if let known = groupOfSet[key] { return known }

        let group = compile(applicable, for: workload)
        groups[group.id] = group
        groupOfSet[key] = group.id
        return group.id
    }

    private mutating func compile(_ policies: [AuthorizationPolicy], for workload: MeshWorkload) -> CompiledPolicy {
        var clauses: [CompiledPolicy.Clause] = []
        for policy in policies {
            for (index, rule) in policy.rules.enumerated() {
                clauses += Self.clauses(of: rule, policy: policy, index: index, workload: workload)
            }
        }
        let description = policies.map(\.name.description).joined(separator: ",")
        let allowing = policies.filter { $0.action == .allow && !$0.isShadow }.map(\.name.description)
        let shadowAllowing = policies.filter { $0.action == .allow && $0.isShadow }.map(\.name.description)
        guard clauses.count <= Int(WEFT_POLICY_CLAUSES) else {
            // Fail closed: a group that cannot be held denies everything, and its policies say so.
            let reason =
                "the policies \(description) have \(clauses.count) clauses for one workload and the kernel holds"
                + " \(WEFT_POLICY_CLAUSES): connections to it are denied until there are fewer sources and operations"
            for policy in policies { failures[policy.name] = reason }
            return CompiledPolicy(
                clauses: [], allowPolicies: [description], shadowAllowPolicies: [], description: description,
                identities: [])
        }
        return CompiledPolicy(
            clauses: clauses, allowPolicies: allowing, shadowAllowPolicies: shadowAllowing, description: description,
            identities: identities)
    }

    /// A rule is `any(from) AND any(to) AND all(when)`: one clause for each pair of a source and an operation. Of a pair that
    /// concerns requests it is what a connection can be told by.
    private static func clauses(
        of rule: AuthorizationPolicy.Rule, policy: AuthorizationPolicy, index: Int, workload: MeshWorkload
    ) -> [CompiledPolicy.Clause] {
        var base = CompiledPolicy.Clause(effect: policy.effect, rule: ruleName(policy.name, index))
        for condition in rule.conditions {
            switch condition {
            case .sourcePrincipal(let values, let notValues): base.principal.add(values, not: notValues)
            case .sourceNamespace(let values, let notValues): base.namespace.add(values, not: notValues)
            case .sourceIP(let values, let notValues): base.address.add(values, not: notValues)
            case .destinationPort(let values, let notValues): base.port.add(values, not: notValues)
            case .remoteIP, .connectionSNI, .requestHeader, .requestPrincipal, .requestAudiences, .requestPresenter,
                .requestClaim:
                // A connection has no such attribute: it is decided for the pairs below.
                break
            case .destinationIP(let values, let notValues):
                // Known now: the group belongs to workloads with these addresses.
                func contained(_ blocks: [IPBlock]) -> Bool {
                    blocks.contains { block in workload.addresses.contains { block.contains($0) } }
                }
                if (!values.isEmpty && !contained(values)) || contained(notValues) { return [] }
            }
        }
        let requestPorts = workload.requestPorts.sorted()
        let conditionsConcernRequests = rule.conditions.contains(where: \.concernsRequests)
        let sources = rule.sources.isEmpty ? [AuthorizationPolicy.Source()] : rule.sources
        let operations = rule.operations.isEmpty ? [AuthorizationPolicy.Operation()] : rule.operations
        return sources.flatMap { source in
            operations.compactMap { operation in
                var clause = base
                let concernsRequests =
                    conditionsConcernRequests || source.concernsRequests || operation.concernsRequests
                switch policy.action {
                case .custom: clause.port.add([], not: requestPorts)
                case .deny: if concernsRequests { clause.port.add([], not: requestPorts) }
                case .allow where concernsRequests:
                    guard !requestPorts.isEmpty else { return nil }
                    clause.port.add(requestPorts, not: [])
                // Nothing is decided, and the proxy counts.
                case .audit where concernsRequests: return nil
                case .allow, .audit: break
                }
                clause.principal.add(source.principals, not: source.notPrincipals)
                clause.namespace.add(source.namespaces, not: source.notNamespaces)
                clause.address.add(source.ipBlocks, not: source.notIPBlocks)
                clause.port.add(operation.ports, not: operation.notPorts)
                return clause
            }
        }
    }
}

extension AuthorizationPolicy {
    fileprivate var effect: CompiledPolicy.Effect {
        switch (action, isShadow) {
        case (.allow, false): .allow
        case (.allow, true): .shadowAllow
        case (.deny, false): .deny
        case (.deny, true): .shadowDeny
        case (.audit, _): .audit
        case (.custom, false): .deny
        case (.custom, true): .shadowDeny
        }
    }

    fileprivate var mentionsDestinationAddress: Bool {
        rules.contains { rule in
            rule.conditions.contains { if case .destinationIP = $0 { true } else { false } }
        }
    }
}
