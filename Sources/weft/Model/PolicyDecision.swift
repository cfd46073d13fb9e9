import KernelPlane
import Mesh
import WeftABI

/// What policy would say to a connection: the programs' own decision (bpf/lib/policy.h) over the pinned bitmaps.
struct PolicyDecision: Equatable {
    /// A connection to a workload, as bpf/verdict.h asks about it.
    struct Question {
        /// Workload ids; 0 for an unknown source.
        var source: UInt64
        var destination: UInt64
        /// Nil if it is not known before the connection is routed.
        var sourceAddress: IPAddress?
        /// Of the destination workload, in host order.
        var port: UInt16
        /// As in the IP header.
        var transport = TransportProtocol.tcp.number
    }

    /// The same as one group sees it: its clauses speak of the other end.
    private struct GroupQuestion {
        var peer: UInt64
        var address: IPAddress?
        var port: UInt16
        var transport: UInt8
    }

    enum Reason: Equatable {
        /// No policy applies to the destination.
        case noPolicy
        /// A clause of the rule matched.
        case matched
        /// Policies apply, but no ALLOW policy and no DENY rule that matches.
        case noDenialMatched
        /// An ALLOW policy applies and none of its rules matched.
        case noAllowMatched
        /// An entry that should be there is missing: the programs fail closed.
        case incomplete
    }

    var isDenied: Bool
    /// The rule that decided; 0 where none did.
    var rule: UInt64
    var reason: Reason
    /// What it would be if the shadow policies were enforced; nil without shadow policies.
    var shadow: Shadow?
    /// The first AUDIT rule that matched; 0 for none.
    var auditRule: UInt64

    struct Shadow: Equatable {
        var isDenied: Bool
        var rule: UInt64
    }

    private init(isDenied: Bool, reason: Reason) {
        (self.isDenied, self.reason, rule, auditRule) = (isDenied, reason, 0, 0)
    }

    /// Asks the maps: the destination's NetworkPolicies, then its AuthorizationPolicies, which have to agree.
    init(_ question: Question, in maps: NodeMaps) throws {
        guard let destination = try maps.workloads.get(question.destination) else {
            self.init(isDenied: true, reason: .incomplete)
            return
        }
        let asked = GroupQuestion(
            peer: question.source, address: question.sourceAddress, port: question.port, transport: question.transport)
        var network: PolicyDecision?
        if destination.ingress != 0, question.source != question.destination {
            network = try PolicyDecision(asked, group: destination.ingress, in: maps)
        }
        if let network, network.isDenied || destination.policy == 0 {
            self = network
        } else if destination.policy != 0 {
            self = try PolicyDecision(asked, group: destination.policy, in: maps)
            if rule == 0, let network { (rule, reason) = (network.rule, network.reason) }
        } else {
            self.init(isDenied: false, reason: .noPolicy)
        }
    }

    /// What the source's own NetworkPolicies say to a connection; nil if none applies.
    ///
    /// - Parameter destination: 0: the address belongs to no workload.
    init?(
        egressOf source: UInt64, to destination: UInt64, address: IPAddress, port: UInt16, transport: UInt8,
        in maps: NodeMaps
    ) throws {
        guard source != 0, source != destination else { return nil }
        guard let workload = try maps.workloads.get(source) else {
            self.init(isDenied: true, reason: .incomplete)
            return
        }
        guard workload.egress != 0, destination != 0 || !address.isLoopback else { return nil }
        try self.init(
            GroupQuestion(peer: destination, address: address, port: port, transport: transport),
            group: workload.egress,
            in: maps)
    }

    private init(_ question: GroupQuestion, group: UInt64, in maps: NodeMaps) throws {
        rule = 0
        auditRule = 0
        guard var policy = try maps.policies.get(group) else {
            (isDenied, reason) = (true, .incomplete)
            return
        }
        var facts = try Self.facts(policy, group, question, maps)
        var decision = weft_decision()
        unsafe weft_policy_decide(&policy, &facts, &decision)

        func ruleID(_ clause: UInt32) throws -> UInt64 {
            try maps.policyRules.get(weft_policy_rule_key(policy: group, clause: clause, reserved: 0)) ?? 0
        }
        isDenied = decision.verdict == WEFT_VERDICT_DENY.rawValue
        if decision.clause != WEFT_NO_CLAUSE {
            self.rule = try ruleID(decision.clause)
            reason = .matched
        } else {
            self.rule = isDenied ? policy.implicit_rule : 0
            reason = isDenied ? .noAllowMatched : .noDenialMatched
        }
        guard policy.flags & WEFT_POLICY_HAS_SHADOW.rawValue != 0 else { return }
        if decision.audit_clause != WEFT_NO_CLAUSE { auditRule = try ruleID(decision.audit_clause) }
        let shadowDenied = decision.shadow_verdict == WEFT_VERDICT_DENY.rawValue
        let shadowRule =
            decision.shadow_clause != WEFT_NO_CLAUSE
            ? try ruleID(decision.shadow_clause)
            : shadowDenied != isDenied ? policy.shadow_implicit_rule : self.rule
        shadow = Shadow(isDenied: shadowDenied, rule: shadowRule)
    }

    /// Where the connection stands in each dimension, as `match_clauses` of bpf/verdict.h finds it.
    private static func facts(
        _ policy: weft_policy, _ group: UInt64, _ question: GroupQuestion, _ maps: NodeMaps
    ) throws -> weft_policy_facts {
        func asks(_ flag: weft_policy_flags) -> Bool { policy.flags & flag.rawValue != 0 }
        var facts = weft_policy_facts(
            identity: policy.identity_unknown, address: policy.address_default, port: policy.port_default)
        if asks(WEFT_POLICY_BY_IDENTITY), question.peer != 0,
            let peer = try maps.workloads.get(question.peer), peer.identity != 0
        {
            let key = weft_policy_identity_key(
                policy: group, identity: asks(WEFT_POLICY_OF_NETWORK) ? peer.peer : peer.identity)
            facts.identity = try maps.policyIdentities.get(key) ?? policy.identity_default
        }
        if asks(WEFT_POLICY_BY_PORT), asks(WEFT_POLICY_OF_NETWORK) {
            let key = weft_policy_range_key(policy: group, transport: question.transport, port: question.port)
            facts.port = try maps.policyRanges.get(key) ?? policy.port_default
        } else if asks(WEFT_POLICY_BY_PORT) {
            let key = weft_policy_port_key(policy: group, port: question.port)
            facts.port = try maps.policyPorts.get(key) ?? policy.port_default
        }
        if asks(WEFT_POLICY_BY_ADDRESS) {
            if let address = question.address {
                let key = weft_policy_address_key(policy: group, address: weft_address(address))
                facts.address = try maps.policyPrefixes.get(key) ?? policy.address_default
            } else {
                facts.address = policy.address_unknown
            }
        }
        return facts
    }
}

extension PolicyDecision {
    /// `denied by rule …`, `allowed: no policy …`.
    func sentence(_ resolver: Resolver) -> String {
        let explanation = explanation(resolver)
        return (isDenied ? "denied" : "allowed") + (explanation.hasPrefix("by ") ? " " : ": ") + explanation
    }

    /// Who decided.
    func explanation(_ resolver: Resolver) -> String {
        switch reason {
        case .noPolicy: "no policy applies to the destination"
        case .matched: "by rule \(resolver.name(rule))"
        case .noDenialMatched: "no DENY rule matches, and no ALLOW policy applies"
        case .noAllowMatched:
            rule == 0 ? "an ALLOW policy applies and no rule of it matches" : "by \(resolver.name(rule))"
        case .incomplete: "its entries are not loaded, so the programs refuse"
        }
    }

    /// What shadow policies would do differently; nil if nothing.
    func shadowExplanation(_ resolver: Resolver) -> String? {
        guard let shadow else { return nil }
        let verdict = shadow.isDenied ? "denied" : "allowed"
        return shadow.isDenied == isDenied
            ? "\(verdict) with the shadow policies too"
            : "with the shadow policies enforced it would be \(verdict) by \(resolver.name(shadow.rule, none: "no rule"))"
    }

    func fields(_ resolver: Resolver) -> Value.Object {
        var object: Value.Object = [
            "verdict": .string(isDenied ? "denied" : "allowed"), "rule": resolver.value(rule),
            "reason": .string(explanation(resolver)),
        ]
        object["shadow"] =
            shadow.map {
                ["verdict": .string($0.isDenied ? "denied" : "allowed"), "rule": resolver.value($0.rule)]
            } ?? .null
        object["auditRule"] = resolver.value(auditRule)
        return object
    }
}
