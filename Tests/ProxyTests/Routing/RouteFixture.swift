import Mesh
import Testing

@testable import Proxy

/// A route table of the service `shop/web`, port 80, with services `a`, `b` and `c` as its rules' backends.
struct RouteFixture {
    static let web = ObjectName(namespace: "shop", name: "web")
    static let webID: UInt64 = 100

    let table: RouteTable
    let service: Int

    init(
        _ rules: [HTTPRule], precedence: HTTPRouting.Precedence = .specificity, port: UInt16 = 80,
        consumers: [String: [HTTPRule]] = [:], prepare: (inout MeshSnapshot) -> Void = { _ in }
    ) throws {
        var snapshot = MeshSnapshot(generation: 7)
        for (index, name) in ["a", "b", "c", "web"].enumerated() {
            let endpoint = MeshEndpoint(
                address: try #require(IPAddress("10.0.0.\(index + 1)")), port: 8080,
                workload: ObjectName(namespace: "shop", name: "\(name)-1"))
            let key = ObjectName(namespace: "shop", name: name)
            snapshot.services[key] = MeshService(
                name: key, addresses: [],
                ports: [
                    MeshServicePort(
                        name: "", port: name == "web" ? port : 80, transport: .tcp, endpoints: [endpoint])
                ],
                balancing: Balancing())
        }
        var routing = HTTPRouting(precedence: precedence, rules: rules)
        routing.consumers = consumers.mapValues { HTTPRouting(precedence: precedence, rules: $0) }
        snapshot.services[Self.web]?.ports[0].http = routing
        prepare(&snapshot)
        var identifiers = RouteIdentifiers(services: [
            .init(service: Self.web, port: port): [Self.webID, 101]
        ])
        for (index, name) in snapshot.workloads.keys.sorted().enumerated() {
            identifiers.workloads[name] = UInt64(index + 1)
        }
        table = RouteTable(snapshot, identifiers: identifiers)
        service = try #require(table.service(Self.webID))
        #expect(table.service(101) == service)
        #expect(table.service(99) == nil)
    }

    func decide(_ request: SyntheticRequest, random: UInt64 = 0) throws -> RouteDecision {
        try request.withView { view in table.route(service, view, random: random) }
    }

    /// The service that a request goes to, or how it is answered.
    func outcome(_ request: SyntheticRequest, random: UInt64 = 0) throws -> String {
        describe(try decide(request, random: random))
    }

    func describe(_ decision: RouteDecision) -> String {
        switch decision.kind {
        case .forward: table.clusters[Int(decision.cluster)].key.service.name
        case .refuse: "\(decision.status)"
        default: "\(decision.kind)"
        }
    }

    /// The head that is sent on for a request.
    func forwarded(
        _ request: SyntheticRequest, framing: BodyFraming = .none,
        connection: MessageOptions.Connection = .persistent,
        extra: String = "", random: UInt64 = 0
    ) throws -> String {
        let options = MessageOptions(framing: framing, connection: connection)
        let extra = Array(extra.utf8)
        return try request.withView { view in
            var scratch = Scratch()
            table.writeRequestHead(
                table.route(service, view, random: random), service: service, view, options,
                extra: unsafe extra.span.bytes, into: &scratch)
            return String(scratch.bytes)
        }
    }

    /// The whole answer to a request that no backend sees.
    func answer(
        _ request: SyntheticRequest, _ options: LocalResponse.Options = .init(), extra: String = "",
        random: UInt64 = 0
    ) throws -> String {
        let extra = Array(extra.utf8)
        return try request.withView { view in
            var scratch = Scratch()
            table.writeLocalResponse(
                table.route(service, view, random: random), service: service, view, options,
                extra: unsafe extra.span.bytes, into: &scratch)
            return String(scratch.bytes)
        }
    }

    /// The head that the client gets for a backend's.
    func returned(
        _ response: String, to request: SyntheticRequest, method: HTTPMethod = .get,
        framing: BodyFraming? = nil,
        connection: MessageOptions.Connection = .persistent, extra: String = "", random: UInt64 = 0
    ) throws -> String {
        let decision = try decide(request, random: random)
        let bytes = Array(response.utf8)
        let span = unsafe bytes.span.bytes
        var progress = HeadProgress()
        var head = ResponseHead()
        var fields = FieldTable()
        let result = ResponseParser.parse(
            span, method: method, progress: &progress, head: &head, fields: &fields)
        #expect(result == .complete)
        let origin = Array(
            (request.headers.first { $0.name.lowercased() == "origin" }?.value ?? "").utf8)
        let extra = Array(extra.utf8)
        var scratch = Scratch()
        table.writeResponseHead(
            decision, head, fields.fields, of: span, origin: unsafe origin.span.bytes,
            MessageOptions(framing: framing ?? head.framing, connection: connection),
            extra: unsafe extra.span.bytes,
            into: &scratch)
        return String(scratch.bytes)
    }
}

extension HTTPRule {
    /// A rule that forwards to services of the namespace `shop`.
    static func to(
        _ services: String..., index: Int = 0, matches: [HTTPMatch] = [], hosts: [String] = []
    ) -> HTTPRule {
        var rule = HTTPRule(
            origin: ObjectKey(.httpRoute, ObjectName(namespace: "shop", name: "route")), index: index,
            action: .forward(services.map { HTTPBackend(target: .shop($0)) }))
        rule.matches = matches
        rule.hostnames = hosts
        return rule
    }

    static func redirect(_ edit: (inout HTTPRedirect) -> Void, matches: [HTTPMatch] = []) -> HTTPRule {
        var redirect = HTTPRedirect()
        edit(&redirect)
        var rule = to()
        rule.action = .redirect(redirect)
        rule.matches = matches
        return rule
    }

    func with(_ edit: (inout HTTPRule) -> Void) -> HTTPRule {
        var rule = self
        edit(&rule)
        return rule
    }
}

extension HTTPBackend.Target {
    static func shop(_ name: String, subset: String? = nil) -> Self {
        .service(ObjectName(namespace: "shop", name: name), port: 80, subset: subset)
    }
}

extension HTTPMatch {
    static func path(_ path: PathMatch, _ edit: (inout HTTPMatch) -> Void = { _ in }) -> HTTPMatch {
        var match = HTTPMatch()
        match.path = path
        edit(&match)
        return match
    }

    static func any(_ edit: (inout HTTPMatch) -> Void) -> HTTPMatch {
        var match = HTTPMatch()
        edit(&match)
        return match
    }
}
