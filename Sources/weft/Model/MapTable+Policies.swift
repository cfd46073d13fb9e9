import KernelPlane
import Mesh
import WeftABI

extension MapTable {
    static var policyTables: [MapTable] {
        [policies, policyIdentities, policyPorts, policyPrefixes, policyRanges, policyRules]
    }

    private static let policies = MapTable(
        "policies", "Policy groups: the clauses that guard a set of workloads", keyForm: "0x0123456789abcdef",
        reader: { $0.policies },
        parse: { text, resolver in try resolver.id(text, .policy) },
        key: { id, _ in hexadecimal(id) },
        fields: { id, policy, resolver in
            [
                .hidden("id", .identifier(id)),
                Field("policy", resolver.value(id)),
                Field("clauses", Value(policy.clause_count)),
                clauses("deny", policy.deny),
                clauses("allow", policy.allow),
                clauses("shadowDeny", policy.shadow_deny),
                clauses("shadowAllow", policy.shadow_allow),
                clauses("audit", policy.audit),
                Field("asksFor", .array(asked(policy.flags).map(Value.string))),
                .hidden("implicitRule", resolver.value(policy.implicit_rule)),
                .hidden("shadowImplicitRule", resolver.value(policy.shadow_implicit_rule)),
                .hidden("identityUnknown", list(policy.identity_unknown)),
                .hidden("identityDefault", list(policy.identity_default)),
                .hidden("portDefault", list(policy.port_default)),
                .hidden("addressDefault", list(policy.address_default)),
                .hidden("addressUnknown", list(policy.address_unknown)),
            ]
        })

    private static let policyIdentities = MapTable(
        "policy_ids", "Clauses that an identity satisfies", keyForm: "POLICY@spiffe://…",
        reader: { $0.policyIdentities },
        parse: { text, resolver in
            guard let (policy, identity) = split(text) else { return nil }
            return try weft_policy_identity_key(
                policy: resolver.id(policy, .policy), identity: resolver.id(identity, .identity))
        },
        key: { key, resolver in "\(resolver.name(key.policy))@\(resolver.name(key.identity))" },
        fields: { key, bits, resolver in
            [
                Field("policy", resolver.value(key.policy)), Field("identity", resolver.value(key.identity)),
                clauses("clauses", bits),
            ]
        })

    private static let policyPorts = MapTable(
        "policy_ports", "Clauses that a destination port satisfies", keyForm: "POLICY@8080",
        reader: { $0.policyPorts },
        parse: { text, resolver in
            guard let (policy, digits) = split(text), let port = UInt16(digits) else { return nil }
            return try weft_policy_port_key(policy: resolver.id(policy, .policy), port: port)
        },
        key: { key, resolver in "\(resolver.name(key.policy))@\(UInt16(bigEndian: key.port))" },
        fields: { key, bits, resolver in
            [
                Field("policy", resolver.value(key.policy)), Field("port", Value(UInt16(bigEndian: key.port))),
                clauses("clauses", bits),
            ]
        })

    private static let policyPrefixes = MapTable(
        "policy_prefixes", "Clauses that an address of the other end satisfies",
        keyForm: "POLICY@10.0.0.7 (the longest prefix that covers it)",
        reader: { $0.policyPrefixes },
        parse: { text, resolver in
            guard let (policy, host) = split(text), let address = IPAddress(host) else { return nil }
            return try weft_policy_address_key(policy: resolver.id(policy, .policy), address: weft_address(address))
        },
        key: { key, resolver in "\(resolver.name(key.policy))@\(key.block)" },
        fields: { key, bits, resolver in
            [
                Field("policy", resolver.value(key.policy)), Field("block", .string(key.block)),
                clauses("clauses", bits),
            ]
        })

    private static let policyRanges = MapTable(
        "policy_ranges", "Clauses of NetworkPolicies that a destination port satisfies",
        keyForm: "POLICY@8080/tcp (the longest prefix that covers it)",
        reader: { $0.policyRanges },
        parse: { text, resolver in
            guard let (policy, rest) = split(text), let slash = rest.firstIndex(of: "/"),
                let port = UInt16(rest[..<slash]),
                let transport = parseTransport(String(rest[rest.index(after: slash)...]))
            else { return nil }
            return try weft_policy_range_key(
                policy: resolver.id(policy, .policy), transport: transport, port: port)
        },
        key: { key, resolver in "\(resolver.name(key.policy))@\(key.ports)" },
        fields: { key, bits, resolver in
            [
                Field("policy", resolver.value(key.policy)), Field("ports", .string(key.ports)),
                clauses("clauses", bits),
            ]
        })

    private static let policyRules = MapTable(
        "policy_rules", "The rule that a clause came from", keyForm: "POLICY@0",
        reader: { $0.policyRules },
        parse: { text, resolver in
            guard let (policy, digits) = split(text), let clause = UInt32(digits) else { return nil }
            return try weft_policy_rule_key(policy: resolver.id(policy, .policy), clause: clause, reserved: 0)
        },
        key: { key, resolver in "\(resolver.name(key.policy))@\(key.clause)" },
        fields: { key, rule, resolver in
            [
                Field("policy", resolver.value(key.policy)), Field("clause", Value(key.clause)),
                Field("rule", resolver.value(rule)),
            ]
        })

    private static func clauses(_ name: String, _ bits: weft_clauses) -> Field { Field(name, list(bits)) }

    private static func list(_ bits: weft_clauses) -> Value { .array(bits.indices.map { Value($0) }) }

    private static func asked(_ flags: UInt32) -> [String] {
        [(WEFT_POLICY_BY_IDENTITY, "identity"), (WEFT_POLICY_BY_ADDRESS, "address"), (WEFT_POLICY_BY_PORT, "port")]
            .filter { flags & $0.0.rawValue != 0 }.map(\.1)
    }

    /// `policy@rest`; the policy's own name may contain an `@`.
    private static func split(_ text: String) -> (String, String)? {
        guard let at = text.lastIndex(of: "@") else { return nil }
        return (String(text[..<at]), String(text[text.index(after: at)...]))
    }
}

extension weft_policy_port_key {
    /// - Parameter port: in host order.
    init(policy: UInt64, port: UInt16) {
        self.init()
        self.policy = policy
        self.port = port.bigEndian
    }
}

extension weft_policy_range_key {
    /// The key that finds the longest prefix for a port.
    init(policy: UInt64, transport: UInt8, port: UInt16) {
        self.init(
            prefix_length: UInt32(WEFT_POLICY_RANGE_BASE) + 16,
            policy_words: (UInt32(truncatingIfNeeded: policy), UInt32(policy >> 32)), protocol: transport, reserved: 0,
            port: port.bigEndian)
    }

    var policy: UInt64 { UInt64(policy_words.1) << 32 | UInt64(policy_words.0) }

    /// `80/tcp`, `8192-8319/tcp`.
    var ports: String {
        let first = UInt16(bigEndian: port)
        let last = first | UInt16(truncatingIfNeeded: 0xffff >> (prefix_length - UInt32(WEFT_POLICY_RANGE_BASE)))
        return
            "\(first)\(last == first ? "" : "-\(last)")/\(self.protocol == TransportProtocol.udp.number ? "udp" : "tcp")"
    }
}

extension weft_policy_address_key {
    /// The key that finds the longest prefix for an address.
    init(policy: UInt64, address: weft_address) {
        var address = address
        self.init(
            prefix_length: UInt32(WEFT_POLICY_PREFIX_BASE) + 128,
            policy_words: (UInt32(truncatingIfNeeded: policy), UInt32(policy >> 32)),
            address: (
                unsafe weft_address_word(&address, 0), unsafe weft_address_word(&address, 1),
                unsafe weft_address_word(&address, 2), unsafe weft_address_word(&address, 3)
            ))
    }

    var policy: UInt64 { UInt64(policy_words.1) << 32 | UInt64(policy_words.0) }

    /// The prefix as CIDR text; IPv4 ones with the length that they were written with.
    var block: String {
        let bits = Int(prefix_length) - Int(WEFT_POLICY_PREFIX_BASE)
        let prefix = IPAddress(weft_address_v6(address.0, address.1, address.2, address.3))
        return IPBlock(address: prefix, prefixLength: UInt8(clamping: bits)).description
    }
}
