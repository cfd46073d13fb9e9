public import Mesh

/// Every AuthorizationPolicy of a snapshot, compiled for deciding about requests and connections: flat arrays that index
/// each other. It is immutable and shared by the workers; a decision allocates nothing and counts no references.
public final class AuthorizationTable: Sendable {
    // Found by the kernel's identifiers.
    let workloadIndex: KeyIndex
    let principals: FlatArray<WorkloadPrincipal>
    let workloadGroups: FlatArray<Int32>
    let requestPorts: FlatArray<RouteRun>
    let serviceIndex: KeyIndex
    /// The group of a workload that is not known: it denies everything, unless there is no policy that could apply; -1.
    let unknownGroup: Int32

    // Found by groups.
    let groups: FlatArray<AuthorizationGroup>
    let members: FlatArray<UInt32>
    let rules: FlatArray<AuthorizationRule>
    let clauses: FlatArray<RouteRun>
    let tests: FlatArray<AttributeTest>
    let patterns: FlatArray<TextPattern>
    let hosts: FlatArray<HostPattern>
    let paths: FlatArray<PolicyPath>
    let elements: FlatArray<TemplatePart>
    let blocks: FlatArray<BlockPattern>
    let ports: FlatArray<UInt16>
    let names: FlatArray<RouteText>
    let arena: FlatArray<UInt8>
    /// In the order of `providers`.
    let providerFacts: FlatArray<AuthorizationProvider>
    /// Proxies in front of the mesh whose X-Forwarded-For is believed (Istio's `numTrustedProxies`).
    let trustedHops: Int

    // For setting up, for logs and for people; not for requests.
    /// What decisions name rules by: `namespace/name[index]`, or `a/b,c/d (no rule matched)` for the denial of what no rule
    /// of ALLOW policies matches.
    public let ruleTitles: [String]
    /// Which policy a rule is of; nil: it stands for a denial that no single policy is behind.
    public let rulePolicies: [ObjectName?]
    /// What `AuthorizationDecision.provider` counts.
    public let providers: [String]
    let actions: [AuthorizationPolicy.Action]
    let shadowRules: [Bool]

    /// - Parameter trustedHops: proxies in front of the mesh whose X-Forwarded-For is believed; with none of them the client
    ///   is the peer of the connection, whatever that field says.
    public convenience init(_ snapshot: MeshSnapshot, identifiers: RouteIdentifiers, trustedHops: Int = 0) {
        var builder = AuthorizationTableBuilder(snapshot, identifiers: identifiers)
        builder.build()
        self.init(builder, trustedHops: trustedHops)
    }

    init(_ builder: consuming AuthorizationTableBuilder, trustedHops: Int) {
        workloadIndex = KeyIndex(builder.workloadKeys)
        principals = FlatArray(builder.principals)
        workloadGroups = FlatArray(builder.workloadGroups)
        requestPorts = FlatArray(builder.requestPorts)
        serviceIndex = KeyIndex(builder.serviceKeys)
        unknownGroup = builder.unknownGroup
        groups = FlatArray(builder.groups)
        members = FlatArray(builder.members)
        rules = FlatArray(builder.rules)
        clauses = FlatArray(builder.clauses)
        tests = FlatArray(builder.values.tests)
        patterns = FlatArray(builder.values.patterns)
        hosts = FlatArray(builder.values.hosts)
        paths = FlatArray(builder.values.paths)
        elements = FlatArray(builder.values.elements)
        blocks = FlatArray(builder.values.blocks)
        ports = FlatArray(builder.values.ports)
        names = FlatArray(builder.values.names)
        arena = FlatArray(builder.values.arena)
        self.trustedHops = trustedHops
        ruleTitles = builder.ruleTitles
        rulePolicies = builder.rulePolicies
        providers = builder.providers
        actions = builder.actions
        shadowRules = builder.shadowRules
        providerFacts = FlatArray(
            builder.providers.map { name in
                let provider = builder.snapshot.authorizers[name]
                return AuthorizationProvider(
                    timeout: provider?.timeout ?? 0, failsOpen: provider?.failsOpen ?? false,
                    statusOnError: provider?.statusOnError ?? 403)
            })
    }

    /// The policies of a workload; -1: there are none. A workload that is not known has a group that denies everything as
    /// soon as there is any policy.
    public func group(ofWorkload identifier: UInt64) -> Int32 {
        let place = workloadIndex.find(identifier)
        return place < 0 ? unknownGroup : workloadGroups[place]
    }

    /// The policies of a service (`targetRefs`), by any of its ports; -1: there are none.
    public func group(ofService identifier: UInt64) -> Int32 { Int32(serviceIndex.find(identifier)) }

    /// Whether a group's rules speak of requests, or leave the decision to somebody else.
    public func concernsRequests(_ group: Int32) -> Bool { group >= 0 && groups[Int(group)].concernsRequests }

    /// Whether requests at that port of a workload are read for rules about requests: nothing is decided about the
    /// connection itself.
    public func decidesRequests(workload identifier: UInt64, port: UInt16) -> Bool {
        let place = workloadIndex.find(identifier)
        guard place >= 0, concernsRequests(workloadGroups[place]) else { return false }
        for index in requestPorts[place].indices where ports[index] == port { return true }
        return false
    }

    /// What people and logs call a rule.
    @_lifetime(borrow self)
    func title(_ rule: Int32) -> RawSpan { text(rule < 0 ? .empty : rules[Int(rule)].title) }

    @_lifetime(borrow self)
    func principal(ofWorkload identifier: UInt64) -> RawSpan {
        let place = workloadIndex.find(identifier)
        return text(place < 0 ? .empty : principals[place].principal)
    }

    @_lifetime(borrow self)
    func namespace(ofWorkload identifier: UInt64) -> RawSpan {
        let place = workloadIndex.find(identifier)
        return text(place < 0 ? .empty : principals[place].namespace)
    }

    /// Bytes of the arena.
    @inline(__always)
    @_lifetime(borrow self)
    func text(_ text: RouteText) -> RawSpan {
        precondition(Int(text.start) + Int(text.count) <= arena.count)
        // The arena lives as long as the table does.
        let bytes = unsafe RawSpan(_unsafeStart: arena.memory + Int(text.start), byteCount: Int(text.count))
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
