import Mesh

/// Compiles a snapshot's HTTP rules into the arrays of a route table.
struct RouteTableBuilder {
    let snapshot: MeshSnapshot
    let identifiers: RouteIdentifiers

    var serviceKeys: [(key: UInt64, value: Int)] = []
    var services: [RouteService] = []
    var ruleSets: [RouteRuleSet] = []
    var namespaces: [String: Int32] = [:]
    var serviceNames: [RouteIdentifiers.ServicePort] = []
    var hostSlots: [RouteHostSlot] = []
    var hostTables: [RouteHostTable] = []
    var nodes: [PathNode] = []
    var firstBytes: [UInt8] = []
    var candidates: [RouteCandidate] = []
    var ranking: [UInt32] = []
    var conditions: [RouteCondition] = []
    var conditionRuns: [RouteRun] = []
    var expressions: [String] = []
    var sourceSets: [RouteSources.Condition] = []
    var rules: [RouteRule] = []
    var ruleConfigs: [HTTPRule] = []
    var backends: [RouteBackend] = []
    var mirrors: [RouteMirror] = []
    var faults: [RouteFault] = []
    var retries: [RouteRetry] = []
    var retriableStatuses: [UInt16] = []
    var persistences: [RoutePersistence] = []
    var limits: [RouteRateLimit] = []
    var limitConfigs: [LimitConfig] = []
    var headerEdits: [RouteHeaderEdit] = []
    var names: [RouteText] = []
    var rewrites: [RouteRewrite] = []
    var redirects: [RouteRedirect] = []
    var responses: [RouteDirectResponse] = []
    var cors: [RouteCORS] = []
    var arena: [UInt8] = []
    var clusters: ClusterTable
    var authorizers: [String: (authorizer: ExternalAuthorizer, cluster: Int32)] = [:]

    // What is written once however often it occurs.
    private var texts: [String: RouteText] = [:]
    private var expressionPlaces: [String: UInt32] = [:]
    private var sourceSetPlaces: [RouteSources.Condition: UInt32] = [:]

    init(_ snapshot: MeshSnapshot, identifiers: RouteIdentifiers) {
        self.snapshot = snapshot
        self.identifiers = identifiers
        clusters = ClusterTable(snapshot, identifiers)
    }

    mutating func build() {
        // In the order of names, so that equal snapshots make equal tables.
        for service in snapshot.services.values.sorted(by: { $0.name < $1.name }) {
            for port in service.ports where port.transport == .tcp {
                guard let routing = port.http else { continue }
                add(service, port, routing)
            }
        }
        for (name, authorizer) in snapshot.authorizers.sorted(by: { $0.key < $1.key }) {
            var cluster: Int32 = -1
            if case .cluster(let place) = clusters.place(
                of: .service(authorizer.service, port: authorizer.port, subset: nil))
            {
                cluster = place
            }
            authorizers[name] = (authorizer, cluster)
        }
    }

    private mutating func add(_ service: MeshService, _ port: MeshServicePort, _ routing: HTTPRouting) {
        let place = services.count
        let name = RouteIdentifiers.ServicePort(service: service.name, port: port.port)
        for identifier in identifiers.services[name] ?? [] {
            serviceKeys.append((key: identifier, value: place))
        }
        serviceNames.append(name)
        var entry = RouteService(
            port: port.port, cluster: clusters.place(of: service, port),
            host: text("\(service.name.name).\(service.name.namespace)"))
        entry.limits = addLimits(
            service.traffic(port: port.port, subset: nil).rateLimits, of: name, rule: nil)
        let first = ruleSets.count
        addRuleSet(routing, namespace: -1, of: name)
        for (namespace, routing) in routing.consumers.sorted(by: { $0.key < $1.key }) {
            let number = namespaces[namespace] ?? Int32(namespaces.count)
            namespaces[namespace] = number
            addRuleSet(routing, namespace: number, of: name)
        }
        entry.hasPathRules =
            ([routing] + routing.consumers.values).contains { $0.rules.contains(where: \.looksAtPath) }
            || service.traffic(port: port.port, subset: nil).rateLimits.contains {
                $0.matches.contains(where: \.looksAtPath)
            }
        entry.ruleSets = RouteRun(start: UInt32(first), count: UInt32(ruleSets.count - first))
        services.append(entry)
    }

    private mutating func addRuleSet(
        _ routing: HTTPRouting, namespace: Int32, of service: RouteIdentifiers.ServicePort
    ) {
        let place = ruleSets.count
        var entry = RouteRuleSet(namespace: namespace, hasRules: !routing.rules.isEmpty)
        // Host names that the same rules have share a table.
        let first = rules.count
        for rule in routing.rules { add(rule, of: service) }
        var members: [String?: [Int]] = [:]
        var order: [String?] = []
        for (index, rule) in routing.rules.enumerated() {
            let hosts = rule.hostnames.isEmpty ? [nil] : rule.hostnames.map(Optional.some)
            for host in hosts where members[host]?.last != index {
                if members[host] == nil { order.append(host) }
                members[host, default: []].append(index)
            }
        }
        var tables: [[Int]: Int32] = [:]
        for host in order {
            let rulePlaces = members[host] ?? []
            let table =
                tables[rulePlaces]
                ?? addHostTable(rulePlaces.map { (first + $0, routing.rules[$0]) }, routing.precedence)
            tables[rulePlaces] = table
            guard let host, host != "*" else {
                entry.anyHost = table
                continue
            }
            let isWildcard = host.hasPrefix("*.")
            if isWildcard { entry.hasWildcardHosts = true } else { entry.hasExactHosts = true }
            let name = (isWildcard ? String(host.dropFirst(2)) : host).lowercased()
            let bytes = Array(name.utf8)
            let hash = unsafe RouteHostSlot.hash(
                ruleSet: UInt32(place), isWildcard: isWildcard, bytes.span.bytes)
            hostSlots.append(
                RouteHostSlot(
                    hash: hash, ruleSet: UInt32(place), isWildcard: isWildcard, name: text(name), table: table
                ))
        }
        ruleSets.append(entry)
    }

    // MARK: - Bytes, expressions, sets

    /// The place of a text's bytes in the arena.
    mutating func text(_ text: String) -> RouteText {
        if let known = texts[text] { return known }
        let place = bytes(Array(text.utf8)[...])
        texts[text] = place
        return place
    }

    mutating func bytes(_ bytes: ArraySlice<UInt8>) -> RouteText {
        let start = arena.count
        arena.append(contentsOf: bytes)
        return RouteText(start: UInt32(start), count: UInt32(bytes.count))
    }

    mutating func expression(_ expression: String) -> UInt32 {
        if let known = expressionPlaces[expression] { return known }
        let place = UInt32(expressions.count)
        expressions.append(expression)
        expressionPlaces[expression] = place
        return place
    }

    mutating func sourceSet(_ condition: RouteSources.Condition) -> UInt32 {
        if let known = sourceSetPlaces[condition] { return known }
        let place = UInt32(sourceSets.count)
        sourceSets.append(condition)
        sourceSetPlaces[condition] = place
        return place
    }

    mutating func appendNode(_ node: PathNode, firstByte: UInt8) {
        nodes.append(node)
        firstBytes.append(firstByte)
    }

    mutating func append(candidates new: some Sequence<RouteCandidate>) -> RouteRun {
        let start = candidates.count
        candidates.append(contentsOf: new)
        return RouteRun(start: UInt32(start), count: UInt32(candidates.count - start))
    }
}

extension HTTPRule {
    fileprivate var looksAtPath: Bool {
        matches.contains(where: \.looksAtPath) || rateLimits.contains { $0.matches.contains(where: \.looksAtPath) }
    }
}

extension HTTPMatch {
    fileprivate var looksAtPath: Bool { path != nil && path != .prefix("/") && path != .textPrefix("/") }
}

extension Array {
    /// Appends elements and says where they are.
    mutating func appendRun(_ elements: [Element]) -> RouteRun {
        let start = count
        append(contentsOf: elements)
        return RouteRun(start: UInt32(start), count: UInt32(elements.count))
    }

    /// Appends an element and says where it is.
    mutating func appendPlace(_ element: Element) -> Int32 {
        append(element)
        return Int32(count - 1)
    }
}
