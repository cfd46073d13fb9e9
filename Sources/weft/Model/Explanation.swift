import KernelPlane
import Mesh
import WeftABI

/// What the connect hook would do with a connection, step by step, from the same maps and the same arithmetic.
struct Explanation {
    enum Outcome: String {
        case connects, denied, refused
        /// It depends on the backend that is selected.
        case mixed
    }

    struct Step: Equatable {
        var name: String
        var text: String
        var style: Style = .plain
    }

    struct Candidate {
        var backend: Backend
        var share: Double?
        var decision: PolicyDecision?
    }

    private(set) var outcome = Outcome.connects
    private(set) var lane = "passthrough"
    private(set) var service: UInt64 = 0
    private(set) var steps: [Step] = []
    private(set) var candidates: [Candidate] = []
    let source: Source
    let destination: Endpoint
    private let maps: NodeMaps
    private let resolver: Resolver

    init(_ destination: Endpoint, from source: Source, _ maps: NodeMaps, _ resolver: Resolver) throws {
        self.destination = destination
        self.source = source
        self.maps = maps
        self.resolver = resolver
        try explainSource()
        if let found = try maps.services.get(weft_service_key(destination)) {
            try explain(found)
        } else if let workload = try maps.workload(of: destination, seenFrom: source) {
            if workload == WEFT_WORKLOAD_AGENT {
                outcome = .denied
                add("destination", "\(destination) is the agent's own: connect() fails with EPERM", .bad)
            } else {
                try explain(workload: workload)
            }
        } else {
            try explainPassthrough()
        }
    }

    private mutating func add(_ name: String, _ text: String, _ style: Style = .plain) {
        steps.append(Step(name: name, text: text, style: style))
    }

    private mutating func explainSource() throws {
        guard source.workload != 0 else {
            add("source", "\(source.finding): it has no identity")
            return
        }
        let identity = try maps.workloads.get(source.workload)?.identity ?? 0
        add("source", source.finding)
        add("identity", resolver.name(identity, none: "none"))
    }

    // MARK: a service

    private mutating func explain(_ entry: weft_service) throws {
        service = entry.id
        lane = Terms.lane(entry.lane)
        add("service", "\(destination) is \(resolver.name(entry.id))")
        if lane == "proxy" {
            let isCaptured = try explainCapture(entry)
            if isCaptured { return }
        }
        let backends = try maps.backendsByService()[entry.id] ?? []
        let shares = try maps.shares(of: entry)
        let sticky = try explainAffinity(entry, backends)
        explainAlgorithm(entry)
        let hashed = sticky == nil ? try maglevBackend(of: entry) : nil

        for backend in backends where UInt32(backend.entry.state) == WEFT_BACKEND_ACTIVE.rawValue {
            var share = shares[backend.id] ?? 0
            if let chosen = sticky ?? hashed { share = chosen == backend.id ? 1 : 0 }
            let isCounted = sticky != nil || !shares.isEmpty || backends.isEmpty
            candidates.append(
                Candidate(backend: backend, share: isCounted ? share : nil, decision: try decision(for: backend)))
        }
        let possible = candidates.filter { $0.share != 0 }
        guard entry.backend_count > 0, !possible.isEmpty else {
            outcome = .refused
            add("backend", "none is active: connect() fails with ECONNREFUSED", .bad)
            return
        }
        summarize(possible)
        let tunnelled = try possible.filter {
            try isTunnelled($0.backend.entry.workload, port: $0.backend.endpoint.port)
        }
        if tunnelled.isEmpty {
            explainLane()
        } else {
            try explainTunnel(isCertain: tunnelled.count == possible.count)
        }
    }

    private mutating func explainAffinity(_ entry: weft_service, _ backends: [Backend]) throws -> UInt64? {
        guard entry.affinity_seconds > 0 else { return nil }
        let timeout =
            "session affinity for \(formatWholeSeconds(Double(entry.affinity_seconds))) after the last connection"
        guard let cookie = source.netnsCookie else {
            add(
                "affinity",
                "\(timeout); whether this client has an entry depends on its network namespace (--pid tells)")
            return nil
        }
        guard var found = try maps.affinity.get(affinityKey(entry.id, cookie)),
            unsafe weft_affinity_alive(&found, entry.affinity_seconds, monotonicNanoseconds()) != 0,
            backends.contains(where: {
                $0.id == found.backend && UInt32($0.entry.state) == WEFT_BACKEND_ACTIVE.rawValue
            })
        else {
            add("affinity", "\(timeout); this client has no entry that is alive: the algorithm decides")
            return nil
        }
        let age = formatSeconds(secondsSince(found.last_used_ns))
        add(
            "affinity",
            "\(timeout); this client came to \(resolver.backendName(found.backend)) \(age) ago and stays there")
        return found.backend
    }

    private func affinityKey(_ service: UInt64, _ cookie: UInt64) -> weft_affinity_key {
        weft_affinity_key(
            service: service, netns_cookie: cookie, workload: source.workload,
            source: source.address.map { weft_address($0) } ?? weft_address(high: 0, low: 0))
    }

    private mutating func explainAlgorithm(_ entry: weft_service) {
        let text: String
        switch UInt32(entry.algorithm) {
        case WEFT_ALGORITHM_ROUND_ROBIN.rawValue: text = "round robin: each in its turn, in proportion to its weight"
        case WEFT_ALGORITHM_LEAST_CONNECTIONS.rawValue:
            text = "least connections: the less loaded of two drawn at random, by open connections per weight"
        case WEFT_ALGORITHM_MAGLEV.rawValue:
            text =
                "Maglev: the same client keeps its backend"
                + (source.netnsCookie == nil ? "; which one depends on its network namespace (--pid tells)" : "")
        default: text = "random: in proportion to the weights"
        }
        add("algorithm", text)
    }

    /// The backend that consistent hashing gives to this client, if the client is known well enough.
    private func maglevBackend(of entry: weft_service) throws -> UInt64? {
        guard UInt32(entry.algorithm) == WEFT_ALGORITHM_MAGLEV.rawValue, let cookie = source.netnsCookie,
            let table = try maps.maglev.get(entry.id), !table.isEmpty
        else { return nil }
        var key = affinityKey(entry.id, cookie)
        return table[Int(unsafe weft_client_hash(&key) % UInt64(table.count))]
    }

    private func decision(for backend: Backend) throws -> PolicyDecision? {
        let peer = backend.endpoint
        if let egress = try egress(to: backend.entry.workload, address: peer.address, port: peer.port), egress.isDenied
        {
            return egress
        }
        guard backend.entry.workload != 0 else { return nil }
        return try PolicyDecision(
            PolicyDecision.Question(
                source: source.workload, destination: backend.entry.workload,
                sourceAddress: source.address(towards: peer.address, maps), port: peer.port,
                transport: destination.transport), in: maps)
    }

    /// What the source's own NetworkPolicies say.
    private func egress(to workload: UInt64, address: IPAddress, port: UInt16) throws -> PolicyDecision? {
        try PolicyDecision(
            egressOf: source.workload, to: workload, address: address, port: port, transport: destination.transport,
            in: maps)
    }

    private mutating func summarize(_ possible: [Candidate]) {
        let denied = possible.filter { $0.decision?.isDenied == true }
        if denied.isEmpty {
            let reasons = Set(
                possible.map { $0.decision?.explanation(resolver) ?? "its backends belong to no workload" })
            add("policy", "allowed: " + reasons.sorted().joined(separator: "; "), .good)
        } else {
            outcome = denied.count == possible.count ? .denied : .mixed
            let reasons = Set(denied.compactMap { $0.decision?.explanation(resolver) }).sorted().joined(separator: "; ")
            let scope = outcome == .mixed ? " at \(denied.count) of \(possible.count) backends" : ""
            add("policy", "denied\(scope): \(reasons); connect() fails with EPERM", .bad)
        }
        addShadow(possible.compactMap(\.decision))
    }

    private mutating func addShadow(_ decisions: [PolicyDecision]) {
        let shadows = Set(
            decisions.filter { $0.shadow.map { $0.isDenied } != $0.isDenied }.compactMap {
                $0.shadowExplanation(resolver)
            })
        if !shadows.isEmpty { add("shadow", shadows.sorted().joined(separator: "; "), .caution) }
        let audits = Set(decisions.map(\.auditRule)).subtracting([0])
        if !audits.isEmpty {
            add("audit", "counted for \(audits.map { resolver.name($0) }.sorted().joined(separator: ", "))")
        }
    }

    private mutating func explainLane() {
        let why =
            switch lane {
            case "kernel": "no rule that applies needs more than the kernel can do"
            case "accelerated": "both ends are on this node and opted in to acceleration"
            case "shortcut": "its request rules are ones that the kernel can decide"
            default: "the service says so"
            }
        add("lane", "\(lane): \(why)")
    }

    // MARK: the tunnel lane

    /// Whether a connection to that workload goes to its node through a tunnel.
    private func isTunnelled(_ workload: UInt64, port: UInt16) throws -> Bool {
        guard destination.transport == TransportProtocol.tcp.number, workload != 0,
            let entry = try maps.workloads.get(workload), entry.flags & WEFT_WORKLOAD_LOCAL.rawValue == 0
        else { return false }
        let key = weft_inbound_key(workload: workload, port: port.bigEndian, reserved: (0, 0, 0, 0, 0, 0))
        if entry.flags & WEFT_WORKLOAD_INBOUND.rawValue != 0, let exception = try maps.inboundPorts.get(key) {
            return UInt32(exception.tls) != WEFT_PORT_TLS_NONE.rawValue
        }
        return entry.flags & WEFT_WORKLOAD_TUNNEL.rawValue != 0
    }

    /// What `enter_tunnel` of bpf/capture.h does with it.
    ///
    /// - Parameter isCertain: false if only some of the backends are reached through a tunnel.
    private mutating func explainTunnel(isCertain: Bool) throws {
        let why = "the destination is on another node, whose agent takes tunnels (mutual TLS) for it"
        if isCertain { lane = "tunnel" }
        add("lane", isCertain ? "tunnel: \(why)" : "\(lane), or tunnel where \(why)")
        let isRunning = try maps.settings.get(0).map { $0.agent_pid != 0 } ?? false
        guard isRunning, let agent = try maps.proxy.get(0), agent.outbound_port != 0 else {
            if outcome == .connects { outcome = isCertain ? .refused : .mixed }
            add("agent", "none runs, and nothing is sent in the clear instead: connect() fails with ECONNREFUSED", .bad)
            return
        }
        let address = destination.address.isIPv4 ? agent.outbound4 : agent.outbound6
        let listener = Endpoint(address, agent.outbound_port, destination.transport).host
        add("agent", "the connection goes to \(listener) in its network namespace, where the agent tunnels it")
    }

    // MARK: the proxy lane

    /// What bpf/capture.h does with it; false if the connection goes past the proxy.
    private mutating func explainCapture(_ entry: weft_service) throws -> Bool {
        let reason = resolver.text(Identifier.reason(service: entry.id)) ?? "its rules"
        guard let capture = try maps.captures.get(entry.id), let agent = try maps.proxy.get(0) else {
            outcome = .refused
            add("lane", "proxy: demanded by \(reason)")
            add("capture", "its entry is missing: connect() fails with ECONNREFUSED", .bad)
            return true
        }
        let isRunning = try maps.settings.get(0).map { $0.agent_pid != 0 } ?? false
        guard isRunning || !capture.isOpen else {
            add(
                "failure mode",
                "Open, and no agent runs: the connection is balanced without the rules of \(reason)", .caution)
            lane = "kernel"
            return false
        }
        add("lane", "proxy: demanded by \(reason)")
        try explainGuards(capture)
        let address = destination.address.isIPv4 ? agent.outbound4 : agent.outbound6
        let listener = Endpoint(address, agent.outbound_port, destination.transport).host
        if !isRunning {
            if outcome == .connects { outcome = .refused }
            add("agent", "none runs, and the service's failure mode is Closed: connect() fails with ECONNREFUSED", .bad)
        } else {
            add("agent", "the connection goes to \(listener) in its network namespace, where the agent takes it")
            add("backend", "chosen for each request ('weft explain request')")
        }
        return true
    }

    /// Each place that a request may be sent to has to allow the source.
    private mutating func explainGuards(_ capture: weft_capture) throws {
        let address = try source.address(towards: destination.address, maps)
        let decisions = try capture.guarded.flatMap { place in
            let port = UInt16(bigEndian: place.port)
            var decisions: [PolicyDecision] = []
            if let egress = try egress(to: place.workload, address: IPAddress(place.address), port: port) {
                decisions.append(egress)
            }
            if place.workload != 0 {
                let question = PolicyDecision.Question(
                    source: source.workload, destination: place.workload, sourceAddress: address, port: port)
                decisions.append(try PolicyDecision(question, in: maps))
            }
            return decisions.map { (place, $0) }
        }
        if let (place, denial) = decisions.first(where: { $0.1.isDenied }) {
            outcome = .denied
            add(
                "policy",
                "denied: \(denial.explanation(resolver)), at \(resolver.name(place.workload)), where its requests may be"
                    + " sent; connect() fails with EPERM", .bad)
        } else {
            let reasons = Set(decisions.map { $0.1.explanation(resolver) })
            add(
                "policy",
                "allowed: "
                    + (reasons.isEmpty
                        ? "no policy applies to its destinations" : reasons.sorted().joined(separator: "; ")),
                .good)
        }
        addShadow(decisions.map(\.1))
    }

    // MARK: no service

    private mutating func explain(workload: UInt64) throws {
        lane = "kernel"
        add("workload", "\(destination) is no service but an address of workload \(resolver.name(workload))")
        var decision = try PolicyDecision(
            PolicyDecision.Question(
                source: source.workload, destination: workload,
                sourceAddress: source.address(towards: destination.address, maps), port: destination.port,
                transport: destination.transport), in: maps)
        if let egress = try egress(to: workload, address: destination.address, port: destination.port), egress.isDenied
        {
            decision = egress
        }
        if decision.isDenied {
            outcome = .denied
            add("policy", "\(decision.sentence(resolver)); connect() fails with EPERM", .bad)
        } else {
            add("policy", decision.sentence(resolver), .good)
        }
        addShadow([decision])
        if try isTunnelled(workload, port: destination.port) {
            try explainTunnel(isCertain: true)
        } else {
            explainLane()
        }
    }

    private mutating func explainPassthrough() throws {
        var address = weft_address(destination.address)
        let addressClass = Terms.addressClass(UInt8(unsafe weft_address_class_of(&address).rawValue))
        add("destination", "\(destination) is neither a service nor an address of a workload")
        if let egress = try egress(to: 0, address: destination.address, port: destination.port) {
            if egress.isDenied { outcome = .denied }
            add(
                "policy", egress.sentence(resolver) + (egress.isDenied ? "; connect() fails with EPERM" : ""),
                egress.isDenied ? .bad : .good)
        }
        add(
            "lane",
            "passthrough: the connection is left alone"
                + (source.workload == 0 ? "" : " and counted as traffic to a \(addressClass) address"))
    }

    // MARK: output

    var value: Value {
        [
            "destination": .string(destination.description),
            "source": resolver.value(source.workload),
            "outcome": .string(outcome.rawValue),
            "lane": .string(lane),
            "service": resolver.value(service),
            "steps": .array(steps.map { ["step": .string($0.name), "text": .string($0.text)] }),
            "candidates": .array(candidateRecords.map(\.value)),
        ]
    }

    var candidateRecords: [Record] {
        candidates.map { candidate in
            var fields = [
                Field("endpoint", .string(candidate.backend.endpoint.host)),
                Field("workload", resolver.value(candidate.backend.entry.workload)),
                Field("weight", Value(candidate.backend.entry.weight)),
                Field("openConnections", Value(candidate.backend.open), title: "OPEN"),
                Field(
                    "probability", candidate.share.map(Value.number) ?? .null, title: "CHANCE",
                    text: candidate.share.map(formatShare) ?? "-"),
            ]
            let isDenied = candidate.decision?.isDenied == true
            fields.append(
                Field("policy", .string(isDenied ? "denied" : "allowed"), style: isDenied ? .bad : .good))
            fields.append(Field("rule", resolver.value(candidate.decision?.rule ?? 0)))
            return Record(fields)
        }
    }

    func page(_ terminal: Terminal) -> String {
        var page = Page(terminal)
        page.facts(steps.map { ($0.name, $0.text, $0.style) })
        page.table("Candidates", candidateRecords)
        return page.text
    }
}
