public import Mesh

/// Every HTTP rule of a snapshot, compiled for matching: flat arrays that index each other.
///
/// It is immutable and shared by the workers; nothing that happens per request allocates or counts references in it.
public final class RouteTable: Sendable {
    // Found by requests.
    let serviceIndex: KeyIndex
    let services: FlatArray<RouteService>
    /// The rules of services, and those that clients of some namespaces have in their place.
    let ruleSets: FlatArray<RouteRuleSet>
    let hostSlots: FlatArray<RouteHostSlot>
    let hostTables: FlatArray<RouteHostTable>
    let nodes: FlatArray<PathNode>
    /// The first byte of each node's label, so that siblings are searched in one cache line.
    let firstBytes: FlatArray<UInt8>
    let candidates: FlatArray<RouteCandidate>
    /// The candidates of each host table in the order of precedence.
    let ranking: FlatArray<UInt32>
    let conditions: FlatArray<RouteCondition>
    let conditionRuns: FlatArray<RouteRun>
    let expressions: RegularExpressions
    let sources: RouteSources

    // Found by decisions.
    public let rules: FlatArray<RouteRule>
    public let backends: FlatArray<RouteBackend>
    public let mirrors: FlatArray<RouteMirror>
    public let faults: FlatArray<RouteFault>
    public let retries: FlatArray<RouteRetry>
    /// The status codes of `RouteRetry.statuses`.
    public let retriableStatuses: FlatArray<UInt16>
    public let persistences: FlatArray<RoutePersistence>
    public let limits: FlatArray<RouteRateLimit>
    let headerEdits: FlatArray<RouteHeaderEdit>
    let names: FlatArray<RouteText>
    let rewrites: FlatArray<RouteRewrite>
    let redirects: FlatArray<RouteRedirect>
    let responses: FlatArray<RouteDirectResponse>
    let cors: FlatArray<RouteCORS>
    let authentication: AuthenticationTable
    let templates: RouteTemplateTable
    let arena: FlatArray<UInt8>
    let schemes: (plain: RouteText, secure: RouteText)

    // For setting up, for logs and for people; not for requests.
    /// The snapshot's.
    public let generation: UInt64
    public let clusters: [ClusterConfig]
    /// Who decides for CUSTOM policies, by name, with the cluster of its service; -1: there is no such service.
    let authorizers: [String: (authorizer: ExternalAuthorizer, cluster: Int32)]
    /// In the order of `clusters`.
    public let clusterIdentities: [ClusterIdentity]
    public let limitConfigs: [LimitConfig]
    /// The rules as the model has them, in the order of `rules`.
    public let ruleConfigs: [HTTPRule]
    /// What people and logs call them, in the order of `rules`.
    public let ruleTitles: [String]
    /// The names of the services, in the order of `services`.
    public let serviceNames: [RouteIdentifiers.ServicePort]

    public convenience init(_ snapshot: MeshSnapshot, identifiers: RouteIdentifiers) {
        var builder = RouteTableBuilder(snapshot, identifiers: identifiers)
        builder.build()
        self.init(builder)
    }

    init(_ builder: consuming RouteTableBuilder) {
        serviceIndex = KeyIndex(builder.serviceKeys)
        services = FlatArray(builder.services)
        ruleSets = FlatArray(builder.ruleSets)
        hostSlots = FlatArray(RouteHostSlot.table(of: builder.hostSlots))
        hostTables = FlatArray(builder.hostTables)
        nodes = FlatArray(builder.nodes)
        firstBytes = FlatArray(builder.firstBytes)
        candidates = FlatArray(builder.candidates)
        ranking = FlatArray(builder.ranking)
        conditions = FlatArray(builder.conditions)
        conditionRuns = FlatArray(builder.conditionRuns)
        expressions = RegularExpressions(builder.expressions)
        sources = RouteSources(
            builder.snapshot, builder.identifiers, sets: builder.sourceSets,
            namespaces: builder.namespaces)
        rules = FlatArray(builder.rules)
        backends = FlatArray(builder.backends)
        mirrors = FlatArray(builder.mirrors)
        faults = FlatArray(builder.faults)
        retries = FlatArray(builder.retries)
        retriableStatuses = FlatArray(builder.retriableStatuses)
        persistences = FlatArray(builder.persistences)
        limits = FlatArray(builder.limits)
        headerEdits = FlatArray(builder.headerEdits)
        names = FlatArray(builder.names)
        rewrites = FlatArray(builder.rewrites)
        redirects = FlatArray(builder.redirects)
        responses = FlatArray(builder.responses)
        cors = FlatArray(builder.cors)
        schemes = (builder.text("http"), builder.text("https"))
        authentication = AuthenticationTable(
            AuthenticationTableBuilder(builder.snapshot, services: builder.serviceNames))
        templates = RouteTemplateTable(builder.snapshot, builder.identifiers)
        arena = FlatArray(builder.arena)
        generation = builder.snapshot.generation
        authorizers = builder.authorizers
        clusters = builder.clusters.configs
        clusterIdentities = builder.clusters.identities
        limitConfigs = builder.limitConfigs
        ruleConfigs = builder.ruleConfigs
        ruleTitles = builder.ruleConfigs.map(\.title)
        serviceNames = builder.serviceNames
    }

    /// Bytes of the arena.
    @inline(__always)
    @_lifetime(borrow self)
    public func text(_ text: RouteText) -> RawSpan {
        precondition(Int(text.start) + Int(text.count) <= arena.count)
        // The arena lives as long as the table does.
        let bytes = unsafe RawSpan(
            _unsafeStart: arena.memory + Int(text.start), byteCount: Int(text.count))
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// The place of a service's port, by the kernel's identifier; nil if the proxy does not carry it.
    public func service(_ identifier: UInt64) -> Int? {
        let index = serviceIndex.find(identifier)
        return index < 0 ? nil : index
    }

    /// Whether paths with encoded slashes are refused: where rules look at the path, because backends differ in whether they
    /// take `%2F` for a separator.
    public func rejectsEncodedSlashes(_ service: Int) -> Bool { services[service].hasPathRules }

    /// The limits of the service itself, which come before those of rules: places in `limits`.
    public func limits(ofService service: Int) -> RouteRun { services[service].limits }

    /// The service account of a workload, as a number that is the same in every table; 0: unknown.
    public func identity(ofWorkload workload: UInt64) -> UInt64 { sources.identity(of: workload) }
}

/// A port of a service whose requests come through the proxy.
struct RouteService: BitwiseCopyable {
    var port: UInt16
    /// The service's own cluster.
    var cluster: Int32
    var limits = RouteRun.empty
    /// `name.namespace`, for requests that name no host.
    var host: RouteText
    /// Some of its rules or limits look at the path.
    var hasPathRules = false
    /// Its own rules first, then those for clients of one namespace each.
    var ruleSets = RouteRun.empty
}

/// Rules that are tried together.
struct RouteRuleSet: BitwiseCopyable {
    /// Of the clients that they are for; -1: of those that no other set of the service is for.
    var namespace: Int32
    /// Without rules every request goes to the service itself.
    var hasRules: Bool
    var hasExactHosts = false
    var hasWildcardHosts = false
    /// The table of the rules without host names; -1: none.
    var anyHost: Int32 = -1
}

/// The rules that a host name reaches.
struct RouteHostTable: BitwiseCopyable {
    /// Of the trie of paths.
    var root: UInt32
    /// Candidates whose paths are in no trie: expressions, and paths in any case.
    var others = RouteRun.empty
    /// All of them: places in `RouteTable.ranking`.
    var ranking = RouteRun.empty
}

/// One match of one rule for one host table.
struct RouteCandidate: BitwiseCopyable {
    /// The lowest that matches wins; unique in its host table.
    var rank: UInt32
    var rule: UInt32
    /// Of the match in its rule, for people.
    var match: UInt16
    var pathKind: RouteDecision.PathKind
    /// Whether `path` is lower-case and requests' paths are compared in any case.
    var ignoresPathCase: Bool
    /// Without the trailing slash of a prefix; the expression's text.
    var path: RouteText
    /// Everything but a path that is in the trie.
    var conditions: RouteRun
}
