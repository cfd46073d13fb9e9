import Mesh
import WeftABI

/// Puts together what the programs decide by, from the tables that the workers decide by.
struct ShortcutCompiler {
    private typealias Rule = CompiledShortcuts.Rule
    private typealias PathTest = CompiledShortcuts.PathTest

    private let table: RouteTable
    private let authorization: AuthorizationTable
    private let source: UInt64
    /// Over how many endpoints requests to a cluster are spread evenly; nil: in another way.
    private let endpoints: (Int) -> Int?
    private var rules: [Rule] = []
    private var routes: [[CompiledShortcuts.Target]] = []
    private var routePlaces: [Int: UInt8] = [:]
    private var clusters: [(cluster: Int, endpoints: Int)] = []
    private var allowing: [(place: Int, rule: Int32)] = []

    /// - Parameters:
    ///   - service: as the kernel's maps name it.
    ///   - groups: the policies of the workloads at a cluster's endpoints, -1 for those without.
    ///   - endpoints: over how many endpoints requests to a cluster are spread evenly; nil: in another way.
    static func compile(
        _ table: RouteTable, _ authorization: AuthorizationTable, service: UInt64, source: UInt64, host: [UInt8],
        groups: (Int) -> Set<Int32>, endpoints: @escaping (Int) -> Int?
    ) throws(CompiledShortcuts.Refusal) -> CompiledShortcuts {
        guard let place = table.service(service) else { throw .unknownService }
        if table.authentication.applies(place) { throw .authentication }
        if !table.services[place].limits.isEmpty { throw .rateLimits }
        var compiler = ShortcutCompiler(table, authorization, source: source, endpoints: endpoints)
        try compiler.addRoutes(place)
        let routing = compiler.rules
        compiler.rules = []
        let needsAllow = try compiler.addPolicies(service, groups)
        compiler.rules += routing
        guard routing.contains(where: { $0.route != UInt8(WEFT_SHORTCUT_AGENT) }) else { throw .nothing }
        var compiled = try CompiledShortcuts(
            compiler.rules, routes: compiler.routes, clusters: compiler.clusters, needsAllow: needsAllow,
            hasTemplates: !table.templates.isEmpty, host: host, source: source, service: service)
        compiled.allowing = compiler.allowing
        return compiled
    }

    private init(
        _ table: RouteTable, _ authorization: AuthorizationTable, source: UInt64, endpoints: @escaping (Int) -> Int?
    ) {
        self.table = table
        self.authorization = authorization
        self.source = source
        self.endpoints = endpoints
    }

    // MARK: Routes

    private mutating func addRoutes(_ service: Int) throws(CompiledShortcuts.Refusal) {
        let set = table.ruleSets[table.ruleSet(of: service, for: source)]
        guard set.hasRules else {
            let route = route([(UInt64(1) << 32, Int(table.services[service].cluster))])
            rules.append(Rule(kind: WEFT_SHORTCUT_ROUTE, route: route))
            return
        }
        guard !set.hasExactHosts, !set.hasWildcardHosts, set.anyHost >= 0 else { throw .hostRules }
        for index in table.hostTables[Int(set.anyHost)].ranking.indices {
            add(table.candidates[Int(table.ranking[index])])
        }
    }

    private mutating func add(_ candidate: RouteCandidate) {
        var rule = Rule(kind: WEFT_SHORTCUT_ROUTE)
        var isDecidable = true
        for index in candidate.conditions.indices {
            let condition = table.conditions[index]
            switch condition.subject {
            case .source:
                if table.sources.contains(source, in: condition.index) == condition.isNegated { return }
            case .method:
                guard condition.test == .exact, let bit = Self.bit(of: condition.method) else {
                    isDecidable = false
                    continue
                }
                rule.methods &= condition.isNegated ? ~bit : bit
            default: isDecidable = false
            }
        }
        let path = bytes(candidate.path)
        if candidate.ignoresPathCase {
            isDecidable = false
        } else {
            switch candidate.pathKind {
            case .any: break
            case .regex: isDecidable = false
            case .exact: if !rule.take(WEFT_SHORTCUT_EXACT, path) { isDecidable = false }
            case .element: if !rule.take(WEFT_SHORTCUT_ELEMENTS, path) { isDecidable = false }
            case .text: if !rule.take(WEFT_SHORTCUT_PREFIX, path) { isDecidable = false }
            }
        }
        guard rule.methods != 0 else { return }
        if isDecidable {
            let route = route(ofRule: Int(candidate.rule))
            rule.route = route
        }
        rules.append(rule)
    }

    private func bytes(_ text: RouteText) -> [UInt8] {
        let text = table.text(text)
        return (0..<text.byteCount).map { text[$0] }
    }

    private static func bit(of method: HTTPMethod) -> UInt16? {
        let bit: weft_shortcut_method
        switch method {
        case .get: bit = WEFT_SHORTCUT_GET
        case .head: bit = WEFT_SHORTCUT_HEAD
        case .post: bit = WEFT_SHORTCUT_POST
        case .put: bit = WEFT_SHORTCUT_PUT
        case .delete: bit = WEFT_SHORTCUT_DELETE
        case .patch: bit = WEFT_SHORTCUT_PATCH
        case .options: bit = WEFT_SHORTCUT_OPTIONS
        case .other, .connect, .trace: return nil
        }
        return UInt16(bit.rawValue)
    }

    /// The place of a rule's route, or that of what the agent does.
    private mutating func route(ofRule index: Int) -> UInt8 {
        if let known = routePlaces[index] { return known }
        let rule = table.rules[index]
        var place = UInt8(WEFT_SHORTCUT_AGENT)
        if rule.kind == .forward, rule.cors < 0, rule.fault < 0, rule.retry < 0, rule.persistence < 0,
            rule.limits.isEmpty, rule.requestTimeout == 0, rule.backendTimeout == 0, rule.totalWeight > 0
        {
            // The same share of 2^32 as the workers' of 2^64.
            place = route(
                rule.backends.indices.map { index in
                    let backend = table.backends[index]
                    let isPlain =
                        backend.requestEdit < 0 && backend.responseEdit < 0 && backend.rewrite < 0
                        && backend.redirect < 0 && backend.mirrors.isEmpty
                    let share = rule.totalWeight.dividingFullWidth(
                        (backend.threshold >> 32, backend.threshold << 32)
                    ).quotient
                    return (share, isPlain ? Int(backend.cluster) : -1)
                })
        }
        routePlaces[index] = place
        return place
    }

    private mutating func route(_ shares: [(threshold: UInt64, cluster: Int)]) -> UInt8 {
        let agent = UInt8(WEFT_SHORTCUT_AGENT)
        guard shares.count <= Int(WEFT_SHORTCUT_TARGETS), routes.count < Int(WEFT_SHORTCUT_ROUTES) else { return agent }
        let targets = shares.map { share in
            CompiledShortcuts.Target(threshold: share.threshold, cluster: target(share.cluster))
        }
        // What the programs left of a share the worker would draw anew, and the others would have more than theirs.
        var before: UInt64 = 0
        for target in targets {
            guard target.cluster != agent || target.threshold == before else { return agent }
            before = target.threshold
        }
        routes.append(targets)
        return UInt8(routes.count - 1)
    }

    private mutating func target(_ cluster: Int) -> UInt8 {
        if let known = clusters.firstIndex(where: { $0.cluster == cluster }) { return UInt8(known) }
        guard cluster >= 0, clusters.count < Int(WEFT_SHORTCUT_CLUSTERS), let count = endpoints(cluster), count > 0,
            count <= Int(UInt8.max)
        else { return UInt8(WEFT_SHORTCUT_AGENT) }
        clusters.append((cluster, count))
        return UInt8(clusters.count - 1)
    }

    // MARK: Policies

    /// - Returns: whether a request that no rule allows is denied.
    private mutating func addPolicies(
        _ service: UInt64, _ groups: (Int) -> Set<Int32>
    ) throws(CompiledShortcuts.Refusal) -> Bool {
        var ofEndpoints: Set<Int32> = []
        for cluster in clusters { ofEndpoints.formUnion(groups(cluster.cluster)) }
        guard ofEndpoints.count <= 1 else { throw .differentPolicies }
        let applying = ([authorization.group(ofService: service)] + ofEndpoints).filter { $0 >= 0 }
            .map { authorization.groups[Int($0)] }
        for group in applying {
            if !group.custom.isEmpty { throw .customPolicy }
            if group.hasShadow { throw .shadowPolicy }
            if group.deniesAll { throw .nothing }
            for index in group.deny.indices { addDenial(authorization.rules[Int(authorization.members[index])]) }
        }
        guard applying.filter(\.hasAllow).count <= 1 else { throw .twoPolicies }
        guard let allow = applying.first(where: \.hasAllow)?.allow else { return false }
        for index in allow.indices { addAllowance(Int32(authorization.members[index])) }
        return true
    }

    /// Everything that the rule may deny is denied: the agent looks closer.
    private mutating func addDenial(_ rule: AuthorizationRule) {
        guard holdsAny(rule.sources) != false, holds(rule.conditions) != false else { return }
        for clause in operations(rule) {
            var operation = Operation()
            for index in clause.indices { restrict(&operation, authorization.tests[index]) }
            guard !operation.isImpossible, operation.methods != 0 else { continue }
            append(operation, WEFT_SHORTCUT_DENY)
        }
    }

    /// Only what the rule certainly allows is allowed.
    private mutating func addAllowance(_ index: Int32) {
        let rule = authorization.rules[Int(index)]
        guard holdsAny(rule.sources) == true, holds(rule.conditions) == true else { return }
        for clause in operations(rule) {
            var operation = Operation()
            for index in clause.indices { restrict(&operation, authorization.tests[index]) }
            guard operation.isExact, !operation.isImpossible, operation.methods != 0 else { continue }
            let first = rules.count
            append(operation, WEFT_SHORTCUT_ALLOW)
            allowing += (first..<rules.count).map { ($0, index) }
        }
    }

    private func operations(_ rule: AuthorizationRule) -> [RouteRun] {
        rule.operations.isEmpty ? [.empty] : rule.operations.indices.map { authorization.clauses[$0] }
    }

    private mutating func append(_ operation: Operation, _ kind: weft_shortcut_kind) {
        for path in operation.paths {
            rules.append(Rule(kind: kind, methods: operation.methods, path: path))
        }
    }

    /// What a clause asks of an operation: at least what is said here, and exactly that if it is exact.
    private struct Operation {
        var methods = Rule.anyMethod
        var paths = [PathTest.any]
        var isExact = true
        var isImpossible = false
    }

    private func restrict(_ operation: inout Operation, _ test: AttributeTest) {
        switch test.attribute {
        case .method:
            guard let methods = methods(test.values) else {
                operation.isExact = false
                return
            }
            operation.methods &= test.isNegated ? ~methods : methods
        case .path:
            guard !test.isNegated, operation.paths == [.any], let paths = paths(test.values) else {
                operation.isExact = false
                return
            }
            operation.paths = paths
        default:
            switch holds(test) {
            case true: break
            case false: operation.isImpossible = true
            case nil: operation.isExact = false
            }
        }
    }

    /// nil: they cannot be told apart.
    private func methods(_ values: RouteRun) -> UInt16? {
        var methods: UInt16 = 0
        for index in values.indices {
            let pattern = authorization.patterns[index]
            switch pattern.kind {
            case .present: return Rule.anyMethod
            case .exact:
                let text = authorization.text(pattern.text)
                let method = HTTPMethod(HeadSlice(from: 0, to: text.byteCount), in: text)
                // Others are never taken.
                methods |= Self.bit(of: method) ?? 0
            case .prefix, .suffix: return nil
            }
        }
        return methods
    }

    private func paths(_ values: RouteRun) -> [PathTest]? {
        var paths: [PathTest] = []
        for index in values.indices {
            guard let pattern = authorization.paths[index].text else { return nil }
            let text = authorization.text(pattern.text)
            let bytes = (0..<text.byteCount).map { text[$0] }
            guard bytes.count <= Int(WEFT_SHORTCUT_TEXT) else { return nil }
            switch pattern.kind {
            case .present: paths.append(.any)
            case .exact: paths.append(PathTest(test: WEFT_SHORTCUT_EXACT, text: bytes))
            case .prefix: paths.append(PathTest(test: WEFT_SHORTCUT_PREFIX, text: bytes))
            case .suffix: return nil
            }
        }
        return paths
    }

    // MARK: What is known of the client

    /// Whether one of the clauses holds; nil: that depends on the request.
    private func holdsAny(_ run: RouteRun) -> Bool? {
        if run.isEmpty { return true }
        var result: Bool? = false
        for index in run.indices {
            switch holds(authorization.clauses[index]) {
            case true: return true
            case nil: result = nil
            case false: break
            }
        }
        return result
    }

    /// Whether all tests hold.
    private func holds(_ run: RouteRun) -> Bool? {
        var result: Bool? = true
        for index in run.indices {
            switch holds(authorization.tests[index]) {
            case false: return false
            case nil: result = nil
            case true: break
            }
        }
        return result
    }

    private func holds(_ test: AttributeTest) -> Bool? {
        switch test.attribute {
        case .principal:
            return authorization.passes(authorization.principal(ofWorkload: source), test.values) != test.isNegated
        case .namespace:
            return authorization.passes(authorization.namespace(ofWorkload: source), test.values) != test.isNegated
        // Without a token there are no claims.
        case .requestPrincipal, .audiences, .presenter, .claim: return test.isNegated
        default: return nil
        }
    }
}
