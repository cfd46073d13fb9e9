import Mesh
import WeftABI

@testable import Proxy

/// A service `shop/web`, port 80, whose rules lead to the services `a`, `b` and `c`, each with one workload; and clients.
struct ShortcutFixture {
    static let webID: UInt64 = 100
    static let host = "x.y"

    enum Client: UInt64, CaseIterable { case shop = 1, pay = 2, unknown = 99 }

    let routes: RouteTable
    let authorization: AuthorizationTable

    init(
        _ rules: [HTTPRule], precedence: HTTPRouting.Precedence = .specificity, policies: [AuthorizationPolicy] = [],
        prepare: (inout MeshSnapshot) -> Void = { _ in }
    ) {
        var snapshot = MeshSnapshot(generation: 1)
        var identifiers = RouteIdentifiers(services: [.init(service: .shop("web"), port: 80): [Self.webID]])
        for (index, name) in ["a", "b", "c", "web"].enumerated() {
            let workload = ObjectName.shop("\(name)-1")
            let endpoint = MeshEndpoint(
                address: IPAddress("10.0.0.\(index + 1)") ?? IPAddress(high: 0, low: 0), port: 8080, workload: workload)
            snapshot.services[.shop(name)] = MeshService(
                name: .shop(name), addresses: [],
                ports: [MeshServicePort(name: "", port: 80, transport: .tcp, endpoints: [endpoint])],
                balancing: Balancing())
            var member = MeshWorkload(name: workload, serviceAccount: name, labels: ["app": name])
            member.requestPorts = [8080]
            snapshot.workloads[workload] = member
            identifiers.workloads[workload] = UInt64(10 + index)
        }
        for (client, namespace) in [(Client.shop, "shop"), (.pay, "pay")] {
            let name = ObjectName(namespace: namespace, name: "client")
            snapshot.workloads[name] = MeshWorkload(
                name: name, serviceAccount: "client", labels: ["app": "client", "in": namespace])
            identifiers.workloads[name] = client.rawValue
        }
        snapshot.services[.shop("web")]?.ports[0].http = HTTPRouting(precedence: precedence, rules: rules)
        snapshot.policies = Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) })
        prepare(&snapshot)
        routes = RouteTable(snapshot, identifiers: identifiers)
        authorization = AuthorizationTable(snapshot, identifiers: identifiers)
    }

    func compile(
        _ client: Client = .shop, service: UInt64 = webID, host: String = host
    ) throws(CompiledShortcuts.Refusal) -> CompiledShortcuts {
        try ShortcutCompiler.compile(
            routes, authorization, service: service, source: client.rawValue, host: Array(host.utf8), groups: groups,
            endpoints: { _ in 1 })
    }

    /// The policies of the workloads at a cluster's endpoints.
    private func groups(ofCluster cluster: Int) -> Set<Int32> {
        let workloads = routes.clusterIdentities[cluster].workloads
        return Set(
            routes.clusters[cluster].endpoints.enumerated().map { index, endpoint in
                authorization.group(ofEndpoint: endpoint, workload: index < workloads.count ? workloads[index] : 0)
            })
    }

    // MARK: What the workers do

    /// What the workers make of a request.
    struct Outcome {
        var decision: RouteDecision
        var isAllowed = true
        /// The rules of policies that allow it.
        var allowing: Set<Int32> = []
        /// Nothing of the rule that routes it changes it, waits for it or counts it.
        var isPlain = true

        var isForwarded: Bool { decision.kind == .forward && decision.cluster >= 0 }
    }

    func outcome(_ request: SyntheticRequest, random: UInt64) throws -> Outcome {
        let service = routes.service(Self.webID) ?? -1
        return try request.withView { view in
            var outcome = Outcome(decision: routes.route(service, view, random: random))
            outcome.isPlain = isPlain(outcome.decision)
            let group = authorization.group(ofService: Self.webID)
            evaluate(group, view, &outcome)
            guard outcome.isForwarded else { return outcome }
            for group in groups(ofCluster: Int(outcome.decision.cluster)) { evaluate(group, view, &outcome) }
            return outcome
        }
    }

    private func evaluate(_ group: Int32, _ view: RequestView, _ outcome: inout Outcome) {
        guard group >= 0 else { return }
        let address = ClientAddress(address: IPAddress("10.0.9.9") ?? IPAddress(high: 0, low: 0), port: 40_000)
        let attributes = AuthorizationAttributes(
            principal: authorization.principal(ofWorkload: view.source),
            namespace: authorization.namespace(ofWorkload: view.source), source: address, destination: address,
            request: view, claims: nil)
        if authorization.evaluate(group, attributes).verdict != .allowed { outcome.isAllowed = false }
        for index in authorization.groups[Int(group)].allow.indices {
            let rule = authorization.members[index]
            if authorization.matches(authorization.rules[Int(rule)], attributes) {
                outcome.allowing.insert(Int32(rule))
            }
        }
    }

    /// As the model has it, not its compiled form.
    private func isPlain(_ decision: RouteDecision) -> Bool {
        guard decision.rule >= 0 else { return true }
        let rule = routes.ruleConfigs[Int(decision.rule)]
        guard case .forward(let backends) = rule.action, rule.requestHeaders.isEmpty, rule.responseHeaders.isEmpty,
            rule.rewrite == nil, rule.cors == nil, rule.mirrors.isEmpty, rule.fault == nil,
            rule.timeouts == HTTPTimeouts(), rule.retry == nil, rule.persistence == nil, rule.rateLimits.isEmpty
        else { return false }
        guard decision.backend >= 0 else { return true }
        let first = Int(routes.rules[Int(decision.rule)].backends.start)
        let backend = backends[Int(decision.backend) - first]
        return backend.requestHeaders.isEmpty && backend.responseHeaders.isEmpty && backend.rewrite == nil
            && backend.redirect == nil && backend.mirrors.isEmpty && backend.weight > 0
    }
}

/// A table as the program decides by it.
@safe final class ShortcutDecider {
    private let table: UnsafeMutablePointer<weft_shortcut_table>
    private let reader = ShortcutReader()
    private(set) var choice = weft_shortcut_choice()

    init(_ compiled: CompiledShortcuts) {
        unsafe table = .allocate(capacity: 1)
        unsafe table.initialize(to: compiled.table)
    }

    deinit { unsafe table.deallocate() }

    /// nil: the program does not understand the head.
    func decide(_ request: SyntheticRequest, random: UInt32) -> weft_shortcut_reason? {
        var text = "\(request.method) \(request.target) HTTP/1.1\r\nHost: \(request.host)\r\n"
        for header in request.headers { text += "\(header.name): \(header.value)\r\n" }
        guard reader.reads(text + "\r\n", .request) else { return nil }
        return decideAgain(random: random)
    }

    /// About the request that was read last.
    func decideAgain(random: UInt32) -> weft_shortcut_reason {
        var head = reader.head
        return unsafe weft_shortcut_reason(UInt32(weft_shortcut_decide(table, &head, &choice, random)))
    }
}

extension ObjectName {
    static func shop(_ name: String) -> ObjectName { ObjectName(namespace: "shop", name: name) }
}

extension HTTPRule {
    /// A rule that forwards to services of the namespace `shop`.
    static func to(_ services: String..., index: Int = 0, change: (inout HTTPRule) -> Void = { _ in }) -> HTTPRule {
        let backends = services.map { HTTPBackend(target: .service(.shop($0), port: 80, subset: nil)) }
        var rule = HTTPRule(
            origin: ObjectKey(.httpRoute, .shop("route")), index: index, action: .forward(backends))
        change(&rule)
        return rule
    }
}

extension AuthorizationPolicy {
    static func shop(
        _ name: String, _ action: Action, _ rules: [Rule] = [Rule()],
        change: (inout AuthorizationPolicy) -> Void = { _ in }
    ) -> AuthorizationPolicy {
        var policy = AuthorizationPolicy(name: .shop(name), action: action, rules: rules)
        change(&policy)
        return policy
    }
}
