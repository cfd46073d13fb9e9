import Mesh

/// Compiles the policies of a snapshot: each policy once, and each set of policies that applies to somebody once.
struct AuthorizationTableBuilder {
    let snapshot: MeshSnapshot
    let identifiers: RouteIdentifiers
    var values = AuthorizationValues()
    var rules: [AuthorizationRule] = []
    var clauses: [RouteRun] = []
    var groups: [AuthorizationGroup] = []
    var members: [UInt32] = []
    var workloadKeys: [(key: UInt64, value: Int)] = []
    var principals: [WorkloadPrincipal] = []
    var workloadGroups: [Int32] = []
    var requestPorts: [RouteRun] = []
    var serviceKeys: [(key: UInt64, value: Int)] = []
    var unknownGroup: Int32 = -1
    var ruleTitles: [String] = []
    var rulePolicies: [ObjectName?] = []
    var actions: [AuthorizationPolicy.Action] = []
    var shadowRules: [Bool] = []
    let providers: [String]

    /// In the order in which their rules are tried.
    private let policies: [AuthorizationPolicy]
    /// The rules of each policy.
    private var ruleRuns: [Range<Int>] = []
    private var groupPlaces: [[Int]: Int32] = [:]

    init(_ snapshot: MeshSnapshot, identifiers: RouteIdentifiers) {
        self.snapshot = snapshot
        self.identifiers = identifiers
        providers = snapshot.authorizers.keys.sorted()
        let places = Dictionary(uniqueKeysWithValues: providers.enumerated().map { ($1, $0) })
        func order(_ policy: AuthorizationPolicy) -> Int { policy.provider.flatMap { places[$0] } ?? -1 }
        policies = snapshot.policies.values.sorted { (order($0), $0.name) < (order($1), $1.name) }
    }

    mutating func build() {
        for policy in policies { compile(policy) }
        addWorkloads()
        addServices()
        if policies.contains(where: { !$0.isShadow && $0.action != .audit && $0.targetServices.isEmpty }) {
            var group = AuthorizationGroup()
            group.deniesAll = true
            group.implicitRule = addRule(AuthorizationRule(), title: "unknown workload", policy: nil, action: .deny)
            unknownGroup = Int32(groups.count)
            groups.append(group)
        }
    }

    // MARK: Policies

    private mutating func compile(_ policy: AuthorizationPolicy) {
        let start = rules.count
        for (index, rule) in policy.rules.enumerated() {
            var compiled = AuthorizationRule()
            compiled.takesMissingAsMatch = policy.action == .deny || policy.action == .custom
            if policy.action == .custom {
                let place = policy.provider.flatMap { providers.firstIndex(of: $0) }
                compiled.provider = place.map(Int32.init) ?? AuthorizationRule.unknownProvider
            }
            compiled.sources = addClauses(rule.sources.map { source in values.addTests(of: source) })
            compiled.operations = addClauses(rule.operations.map { operation in values.addTests(of: operation) })
            let conditions = values.tests.count
            for condition in rule.conditions { values.addTests(of: condition) }
            compiled.conditions = Self.run(conditions, values.tests.count)
            addRule(
                compiled, title: "\(policy.name)[\(index)]", policy: policy.name, action: policy.action,
                isShadow: policy.isShadow)
        }
        ruleRuns.append(start..<rules.count)
    }

    private mutating func addClauses(_ runs: [RouteRun]) -> RouteRun {
        let start = clauses.count
        clauses.append(contentsOf: runs)
        return Self.run(start, clauses.count)
    }

    @discardableResult
    private mutating func addRule(
        _ rule: AuthorizationRule, title: String, policy: ObjectName?, action: AuthorizationPolicy.Action,
        isShadow: Bool = false
    ) -> Int32 {
        var rule = rule
        rule.title = values.text(title)
        rules.append(rule)
        ruleTitles.append(title)
        rulePolicies.append(policy)
        actions.append(action)
        shadowRules.append(isShadow)
        return Int32(rules.count - 1)
    }

    static func run(_ start: Int, _ end: Int) -> RouteRun {
        RouteRun(start: UInt32(start), count: UInt32(end - start))
    }

    // MARK: Whom they are for

    private mutating func addWorkloads() {
        var wide: [Int] = []
        var byNamespace: [String: [Int]] = [:]
        for (place, policy) in policies.enumerated() where policy.targetServices.isEmpty {
            if policy.isMeshWide {
                wide.append(place)
            } else {
                byNamespace[policy.name.namespace, default: []].append(place)
            }
        }
        for (name, identifier) in identifiers.workloads {
            guard let workload = snapshot.workloads[name] else { continue }
            let selected = (wide + (byNamespace[name.namespace] ?? [])).filter { policies[$0].selects(workload) }
            workloadKeys.append((identifier, principals.count))
            addPrincipal(workload)
            workloadGroups.append(group(selected.sorted()))
            let start = values.ports.count
            values.ports.append(contentsOf: workload.requestPorts.sorted())
            requestPorts.append(Self.run(start, values.ports.count))
        }
    }

    private mutating func addPrincipal(_ workload: MeshWorkload) {
        var principal = WorkloadPrincipal()
        principal.principal = values.text(workload.principal(trustDomain: snapshot.trustDomain))
        principal.namespace = values.text(workload.name.namespace)
        for address in workload.addresses.reversed() {
            let address = ClientAddress(address: address, port: 0)
            if address.isIPv4 { principal.address = address } else { principal.address6 = address }
        }
        principal.decidesAtHome = !workload.isLocal && workload.takesTunnel
        principal.isPlain = workload.mutualTLS == .disable
        let start = values.ports.count
        for (port, mode) in workload.portMutualTLS where (mode == .disable) != principal.isPlain {
            values.ports.append(port)
        }
        principal.plainPorts = Self.run(start, values.ports.count)
        principals.append(principal)
    }

    private mutating func addServices() {
        var targets: [ObjectName: [Int]] = [:]
        for (place, policy) in policies.enumerated() {
            for service in Set(policy.targetServices) {
                targets[ObjectName(namespace: policy.name.namespace, name: service), default: []].append(place)
            }
        }
        for (key, services) in identifiers.services {
            guard let selected = targets[key.service] else { continue }
            let group = group(selected)
            for identifier in services { serviceKeys.append((identifier, Int(group))) }
        }
    }

    /// - Parameter selected: places of policies, in order.
    private mutating func group(_ selected: [Int]) -> Int32 {
        guard !selected.isEmpty else { return -1 }
        if let known = groupPlaces[selected] { return known }
        var group = AuthorizationGroup()
        group.custom = addMembers(selected) { $0.action == .custom && !$0.isShadow }
        group.deny = addMembers(selected) { $0.action == .deny && !$0.isShadow }
        group.allow = addMembers(selected) { $0.action == .allow && !$0.isShadow }
        group.shadowDeny = addMembers(selected) { ($0.action == .deny || $0.action == .custom) && $0.isShadow }
        group.shadowAllow = addMembers(selected) { $0.action == .allow && $0.isShadow }
        group.audit = addMembers(selected) { $0.action == .audit }
        let chosen = selected.map { policies[$0] }
        group.concernsRequests = chosen.contains(where: \.concernsRequests)
        group.hasPaths = chosen.contains { policy in
            policy.rules.contains { rule in
                rule.operations.contains { !($0.paths.isEmpty && $0.notPaths.isEmpty) }
            }
        }
        let allow = chosen.filter { $0.action == .allow && !$0.isShadow }
        if !allow.isEmpty {
            group.hasAllow = true
            group.implicitRule = addImplicitRule(allow)
        }
        let shadowAllow = chosen.filter { $0.action == .allow && $0.isShadow }
        if !shadowAllow.isEmpty {
            group.hasShadowAllow = true
            group.shadowImplicitRule = addImplicitRule(shadowAllow)
        }
        let place = Int32(groups.count)
        groups.append(group)
        groupPlaces[selected] = place
        return place
    }

    /// The name is that of the kernel's counters for the same denial.
    private mutating func addImplicitRule(_ policies: [AuthorizationPolicy]) -> Int32 {
        let title = policies.map(\.name).sorted().map(\.description).joined(separator: ",") + " (no rule matched)"
        if let known = ruleTitles.firstIndex(of: title) { return Int32(known) }
        return addRule(
            AuthorizationRule(), title: title, policy: policies.count == 1 ? policies[0].name : nil, action: .allow,
            isShadow: policies[0].isShadow)
    }

    private mutating func addMembers(_ selected: [Int], where isWanted: (AuthorizationPolicy) -> Bool) -> RouteRun {
        let start = members.count
        for place in selected where isWanted(policies[place]) {
            members.append(contentsOf: ruleRuns[place].map(UInt32.init))
        }
        return Self.run(start, members.count)
    }
}
