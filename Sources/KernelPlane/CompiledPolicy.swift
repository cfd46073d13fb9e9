import Mesh
import WeftABI

/// The policies that guard a set of workloads, as clauses and as the bitmaps of the kernel.
///
/// Each clause is a conjunction of constraints in three dimensions (identity, source address, destination port). In each
/// dimension the kernel looks up one bitmap of the clauses that a connection satisfies there; the intersection of the
/// three says which clauses match, whatever their number.
struct CompiledPolicy: Sendable {
    enum Effect: UInt8, Sendable {
        case deny, allow, shadowDeny, shadowAllow, audit
    }

    /// Satisfied when every `anyOf` list has a matching value and no `noneOf` list has one.
    struct Constraint<Value: Hashable & Sendable>: Hashable, Sendable {
        var anyOf: [[Value]] = []
        var noneOf: [[Value]] = []
        var isEmpty: Bool { anyOf.isEmpty && noneOf.isEmpty }

        mutating func add(_ values: [Value], not others: [Value]) {
            if !values.isEmpty { anyOf.append(values) }
            if !others.isEmpty { noneOf.append(others) }
        }

        func isSatisfied(_ matches: (Value) -> Bool) -> Bool {
            anyOf.allSatisfy { $0.contains(where: matches) } && !noneOf.contains { $0.contains(where: matches) }
        }
    }

    struct Clause: Hashable, Sendable {
        var effect: Effect
        var rule: String
        var principal = Constraint<StringMatch>()
        var namespace = Constraint<StringMatch>()
        var address = Constraint<IPBlock>()
        var port = Constraint<UInt16>()
    }

    /// A source's identity, as policies see it.
    struct Identity: Hashable, Sendable {
        var id: UInt64
        /// The SPIFFE id without its scheme: `cluster.local/ns/shop/sa/web`.
        var principal: String
        var namespace: String
    }

    var id: UInt64
    var header = weft_policy()
    var identities: [(key: weft_policy_identity_key, value: weft_clauses)] = []
    var ports: [(key: weft_policy_port_key, value: weft_clauses)] = []
    var prefixes: [(key: weft_policy_address_key, value: weft_clauses)] = []
    /// Of NetworkPolicies, in place of `ports`.
    var ranges: [(key: weft_policy_range_key, value: weft_clauses)] = []
    var rules: [(key: weft_policy_rule_key, value: UInt64)] = []
    var names: [CompiledName] = []

    /// - Parameters:
    ///   - clauses: at most `WEFT_POLICY_CLAUSES`.
    ///   - allowPolicies: names of the enforced ALLOW policies; when none of their clauses matches, the connection is
    ///     denied and counted under all of them.
    ///   - description: names of all policies in the group.
    init(
        clauses: [Clause], allowPolicies: [String], shadowAllowPolicies: [String], description: String,
        identities known: [Identity]
    ) {
        var hasher = ContentHash()
        hasher.add(allowPolicies.joined(separator: ","))
        hasher.add(shadowAllowPolicies.joined(separator: ","))
        for clause in clauses { hasher.add("\(clause)") }
        id = Identifier.of(WEFT_NAME_POLICY, "\(description)#\(hasher.value)")
        names.append(CompiledName(id, WEFT_NAME_POLICY, description))

        header.clause_count = UInt32(clauses.count)
        for (index, clause) in clauses.enumerated() {
            switch clause.effect {
            case .deny: header.deny.insert(index)
            case .allow: header.allow.insert(index)
            case .shadowDeny: header.shadow_deny.insert(index)
            case .shadowAllow: header.shadow_allow.insert(index)
            case .audit: header.audit.insert(index)
            }
            let rule = Identifier.rule(clause.rule)
            var key = weft_policy_rule_key()
            key.policy = id
            key.clause = UInt32(index)
            rules.append((key, rule))
            names.append(CompiledName(rule, WEFT_NAME_RULE, clause.rule))
        }
        setFlags(clauses, allowPolicies: allowPolicies, shadowAllowPolicies: shadowAllowPolicies)
        compileIdentities(clauses, known)
        compilePorts(clauses)
        compileAddresses(clauses)
    }

    private mutating func setFlags(
        _ clauses: [Clause], allowPolicies: [String], shadowAllowPolicies: [String]
    ) {
        func set(_ flag: weft_policy_flags, if condition: Bool) {
            if condition { header.flags |= flag.rawValue }
        }
        set(WEFT_POLICY_HAS_ALLOW, if: !allowPolicies.isEmpty)
        set(WEFT_POLICY_HAS_SHADOW_ALLOW, if: !shadowAllowPolicies.isEmpty)
        set(WEFT_POLICY_BY_IDENTITY, if: clauses.contains { !$0.principal.isEmpty || !$0.namespace.isEmpty })
        set(WEFT_POLICY_BY_ADDRESS, if: clauses.contains { !$0.address.isEmpty })
        set(WEFT_POLICY_BY_PORT, if: clauses.contains { !$0.port.isEmpty })
        set(
            WEFT_POLICY_HAS_SHADOW,
            if: !shadowAllowPolicies.isEmpty
                || clauses.contains { $0.effect == .shadowDeny || $0.effect == .shadowAllow || $0.effect == .audit })

        func implicit(_ policies: [String]) -> UInt64 {
            guard !policies.isEmpty else { return 0 }
            let text = policies.joined(separator: ",") + " (no rule matched)"
            let rule = Identifier.rule(text)
            names.append(CompiledName(rule, WEFT_NAME_RULE, text))
            return rule
        }
        header.implicit_rule = implicit(allowPolicies)
        header.shadow_implicit_rule = implicit(shadowAllowPolicies)
    }

    private mutating func compileIdentities(_ clauses: [Clause], _ known: [Identity]) {
        func satisfied(principal: String?, namespace: String?) -> weft_clauses {
            weft_clauses(clauses) { clause in
                clause.principal.isSatisfied { value in principal.map(value.matches) ?? false }
                    && clause.namespace.isSatisfied { value in namespace.map(value.matches) ?? false }
            }
        }
        header.identity_unknown = satisfied(principal: nil, namespace: nil)
        guard header.flags & WEFT_POLICY_BY_IDENTITY.rawValue != 0 else {
            header.identity_default = header.identity_unknown
            return
        }

        // Only identities that differ from a source without one are entries: an identity that is not known yet must not
        // profit from what the known ones have in common.
        header.identity_default = header.identity_unknown
        for identity in known {
            let bitmap = satisfied(principal: identity.principal, namespace: identity.namespace)
            guard bitmap.array != header.identity_default.array else { continue }
            var key = weft_policy_identity_key()
            key.policy = id
            key.identity = identity.id
            identities.append((key, bitmap))
        }
    }

    private mutating func compilePorts(_ clauses: [Clause]) {
        header.port_default = weft_clauses(clauses) { $0.port.isSatisfied { _ in false } }
        let listed = Set(clauses.flatMap { ($0.port.anyOf + $0.port.noneOf).joined() })
        for port in listed.sorted() {
            var key = weft_policy_port_key()
            key.policy = id
            key.port = port.bigEndian
            ports.append((key, weft_clauses(clauses) { $0.port.isSatisfied { $0 == port } }))
        }
    }

    private mutating func compileAddresses(_ clauses: [Clause]) {
        header.address_default = weft_clauses(clauses) { $0.address.isSatisfied { _ in false } }
        // While the source's address is not known, a constraint on it holds for a denial and not for a permission.
        header.address_unknown = weft_clauses(clauses) { clause in
            clause.address.isEmpty || clause.effect == .deny || clause.effect == .shadowDeny
        }
        addPrefixes(Set(clauses.flatMap { ($0.address.anyOf + $0.address.noneOf).joined() })) { index, isCovering in
            clauses[index].address.isSatisfied(isCovering)
        }
    }

    /// Makes the entries for the blocks that clauses speak of. Within a block, outside of the more specific ones, every
    /// address satisfies the same clauses: those of the blocks that cover the block.
    mutating func addPrefixes(
        _ blocks: Set<IPBlock>, _ isSatisfied: (_ clause: Int, _ isCovering: (IPBlock) -> Bool) -> Bool
    ) {
        var listed = blocks
        // IPv4 addresses lie inside ::/0 in the trie, but a block of IPv6 addresses does not speak of them.
        let mapped = IPBlock(address: IPAddress(v4: 0), prefixLength: 96)
        if listed.contains(where: {
            $0.prefixLength < 96 && mapped.address.masked(to: $0.prefixLength) == $0.address.masked(to: $0.prefixLength)
        }) {
            listed.insert(mapped)
        }
        for block in listed {
            let words = block.address.abi
            var key = weft_policy_address_key()
            key.prefix_length = UInt32(WEFT_POLICY_PREFIX_BASE) + UInt32(block.prefixLength)
            key.policy_words = (UInt32(truncatingIfNeeded: id), UInt32(truncatingIfNeeded: id >> 32))
            key.address = (
                UInt32(truncatingIfNeeded: words.high), UInt32(truncatingIfNeeded: words.high >> 32),
                UInt32(truncatingIfNeeded: words.low), UInt32(truncatingIfNeeded: words.low >> 32)
            )
            var value = weft_clauses()
            for index in 0..<Int(header.clause_count) {
                let isSet = isSatisfied(index) { other in
                    other.prefixLength <= block.prefixLength && other.contains(block.address)
                }
                if isSet { value.insert(index) }
            }
            prefixes.append((key, value))
        }
    }
}

/// FNV-1a over texts; for content-addressed names.
struct ContentHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ text: String) {
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        value = (value ^ 0xff) &* 0x100_0000_01b3
    }
}

extension weft_clauses {
    /// The bitmap of the clauses for which `isSet` holds.
    init<Clause>(_ clauses: [Clause], isSet: (Clause) -> Bool) {
        self.init()
        for (index, clause) in clauses.enumerated() where isSet(clause) { insert(index) }
    }

    mutating func insert(_ index: Int) {
        let bit = UInt64(1) << UInt64(index & 63)
        switch index >> 6 {
        case 0: words.0 |= bit
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        default: words.3 |= bit
        }
    }

    var array: [UInt64] { [words.0, words.1, words.2, words.3] }
}
