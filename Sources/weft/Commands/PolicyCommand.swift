import ArgumentParser
import WeftABI

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Policy rules: how often they decided, and what they would decide.",
        discussion: """
            EXAMPLES
              weft policy list
              weft policy test --from shop/client --to shop/web-1 --port 8080
              weft policy backtest flows.json --config ./mesh.d
            """,
        subcommands: [List.self, Test.self, Backtest.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the rules in force with the connections that they decided.",
            discussion: """
                ALLOWED and DENIED count what rules did; those of shadow rules count what they would have done. A rule \
                that is no longer in force is listed while its counts are kept.

                EXAMPLES
                  weft policy list
                  weft policy list -o json | jq '.[] | select(.denied > 0) | .rule'
                """)

        @OptionGroup var pins: PinOptions
        @OptionGroup var format: OutputOptions

        func run() throws {
            let maps = try pins.open()
            let resolver = Resolver(maps)
            format.print(try PolicyRules(maps, resolver).records(), empty: "no policies on this node")
        }
    }
}

/// The rules of all policy groups, each once, with what they counted.
private struct PolicyRules {
    private struct Rule {
        var action: String
        var isShadow: Bool
        var isImplicit: Bool
        var groups: Set<UInt64> = []
    }

    private let resolver: Resolver
    private var rules: [UInt64: Rule] = [:]
    /// By rule; then by verdict.
    private var counts: [UInt64: [UInt8: UInt64]] = [:]
    /// By group.
    private var guarded: [UInt64: Set<String>] = [:]

    init(_ maps: NodeMaps, _ resolver: Resolver) throws {
        self.resolver = resolver
        let policies = Dictionary(try maps.policies.entries().map { ($0.key, $0.value) }) { first, _ in first }
        for (key, rule) in try maps.policyRules.entries() {
            guard let policy = policies[key.policy] else { continue }
            let (action, isShadow) = Self.action(of: Int(key.clause), in: policy)
            add(rule, Rule(action: action, isShadow: isShadow, isImplicit: false), group: key.policy)
        }
        for (group, policy) in policies {
            add(policy.implicit_rule, Rule(action: "DENY", isShadow: false, isImplicit: true), group: group)
            add(policy.shadow_implicit_rule, Rule(action: "DENY", isShadow: true, isImplicit: true), group: group)
        }
        for (key, count) in try maps.ruleCounters.entries() {
            counts[key.rule, default: [:]][key.verdict, default: 0] &+= count
            if rules[key.rule] == nil, key.rule != 0, count > 0 {
                rules[key.rule] = Rule(
                    action: "-", isShadow: UInt32(key.mode) == WEFT_MODE_SHADOW.rawValue, isImplicit: false)
            }
        }
        for (id, workload) in try maps.workloads.entries() {
            for group in [workload.policy, workload.ingress, workload.egress] where group != 0 {
                guarded[group, default: []].insert(resolver.name(id))
            }
        }
    }

    private mutating func add(_ id: UInt64, _ rule: Rule, group: UInt64) {
        guard id != 0 else { return }
        rules[id, default: rule].groups.insert(group)
    }

    /// The kind of a clause is the bitmap that it is in.
    private static func action(of clause: Int, in policy: weft_policy) -> (String, isShadow: Bool) {
        func isIn(_ bits: weft_clauses) -> Bool { bits.indices.contains(clause) }
        if isIn(policy.deny) { return ("DENY", false) }
        if isIn(policy.allow) { return ("ALLOW", false) }
        if isIn(policy.shadow_deny) { return ("DENY", true) }
        if isIn(policy.shadow_allow) { return ("ALLOW", true) }
        return ("AUDIT", false)
    }

    func records() -> [Record] {
        rules.map { id, rule in
            let counts = counts[id] ?? [:]
            let workloads = rule.groups.reduce(into: Set<String>()) { $0.formUnion(guarded[$1] ?? []) }.sorted(
                by: naturally)
            let denied = counts[UInt8(WEFT_VERDICT_DENY.rawValue)] ?? 0
            return Record([
                Field("rule", resolver.value(id)),
                .hidden("id", .identifier(id)),
                Field("action", rule.action == "-" ? .null : .string(rule.action)),
                Field(
                    "mode", .string(Terms.mode(rule.isShadow ? 1 : 0)), style: rule.isShadow ? .caution : .plain),
                .hidden("implicit", .bool(rule.isImplicit)),
                .hidden("inForce", .bool(!rule.groups.isEmpty)),
                Field("allowed", Value(counts[UInt8(WEFT_VERDICT_ALLOW.rawValue)] ?? 0)),
                Field("denied", Value(denied), style: denied > 0 ? .bad : .plain),
                Field("audited", Value(counts[UInt8(WEFT_VERDICT_AUDIT.rawValue)] ?? 0)),
                Field(
                    "workloads", .array(workloads.map(Value.string)),
                    text: rule.groups.isEmpty ? "no longer in force" : nil),
            ])
        }.sorted { naturally($0.sortKey, $1.sortKey) }
    }
}
