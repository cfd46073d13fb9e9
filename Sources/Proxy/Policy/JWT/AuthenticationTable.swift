import Mesh

/// Where requests carry tokens and what is made of them, by services: the part of a route table that RequestAuthentications
/// are compiled to.
final class AuthenticationTable: Sendable {
    /// In the order of the route table's services.
    let services: FlatArray<ServiceAuthentication>
    let locations: FlatArray<TokenLocation>
    /// Places in `rules`.
    let members: FlatArray<UInt32>
    let rules: FlatArray<TokenRule>
    /// Lower-case names of fields that are made of claims: clients' own are removed.
    let dropped: FlatArray<RouteText>
    let outputs: FlatArray<ClaimOutput>
    let elements: FlatArray<RouteText>
    private let arena: FlatArray<UInt8>
    /// In the order of `rules`.
    let ruleConfigs: [JWTRule]

    init(_ builder: consuming AuthenticationTableBuilder) {
        services = FlatArray(builder.services)
        locations = FlatArray(builder.locations)
        members = FlatArray(builder.members)
        rules = FlatArray(builder.rules)
        dropped = FlatArray(builder.dropped)
        outputs = FlatArray(builder.outputs)
        elements = FlatArray(builder.elements)
        arena = FlatArray(builder.arena)
        ruleConfigs = builder.ruleConfigs
    }

    @inline(__always)
    @_lifetime(borrow self)
    func text(_ text: RouteText) -> RawSpan {
        precondition(Int(text.start) + Int(text.count) <= arena.count)
        // The arena lives as long as the table does.
        let bytes = unsafe RawSpan(_unsafeStart: arena.memory + Int(text.start), byteCount: Int(text.count))
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    /// Whether tokens of its requests are verified.
    @inline(__always)
    func applies(_ service: Int) -> Bool {
        service >= 0 && service < services.count && !services[service].locations.isEmpty
    }
}

struct ServiceAuthentication: BitwiseCopyable, Sendable {
    var locations = RouteRun.empty
    var dropped = RouteRun.empty
    var hasParameters = false
    var hasCookies = false
}

/// A place where tokens are looked for.
struct TokenLocation: BitwiseCopyable, Sendable {
    enum Kind: UInt8, BitwiseCopyable, Sendable { case header, parameter, cookie }

    var kind: Kind
    /// Of headers in lower case.
    var name: RouteText
    /// In front of the token; of the field Authorization without regard to case.
    var prefix = RouteText.empty
    var isAuthorization = false
    /// The rules whose tokens may be there.
    var rules = RouteRun.empty
    /// No rule wants the token forwarded: it is taken out of the request.
    var strips = true
    /// Even if the destination's node verifies tokens itself: some of the rules are the service's own.
    var isOfService = false
}

/// What is made of a rule's valid tokens.
struct TokenRule: BitwiseCopyable, Sendable {
    /// A field's name as it is written; empty: none.
    var payloadHeader = RouteText.empty
    var outputs = RouteRun.empty
}

struct ClaimOutput: BitwiseCopyable, Sendable {
    var header: RouteText
    /// The claim's path.
    var elements: RouteRun
}

/// Compiles RequestAuthentications.
struct AuthenticationTableBuilder {
    private let snapshot: MeshSnapshot
    fileprivate(set) var services: [ServiceAuthentication] = []
    fileprivate(set) var locations: [TokenLocation] = []
    fileprivate(set) var members: [UInt32] = []
    fileprivate(set) var rules: [TokenRule] = []
    fileprivate(set) var ruleConfigs: [JWTRule] = []
    fileprivate(set) var dropped: [RouteText] = []
    fileprivate(set) var outputs: [ClaimOutput] = []
    fileprivate(set) var elements: [RouteText] = []
    fileprivate(set) var arena: [UInt8] = []

    private var texts: [String: RouteText] = [:]

    init(_ snapshot: MeshSnapshot, services names: [RouteIdentifiers.ServicePort]) {
        self.snapshot = snapshot
        let all = snapshot.requestAuthentications.values.filter { !$0.rules.isEmpty }.sorted { $0.name < $1.name }
        for name in names {
            guard !all.isEmpty, let service = snapshot.services[name.service],
                let port = service.ports.first(where: { $0.port == name.port && $0.transport == .tcp })
            else {
                services.append(ServiceAuthentication())
                continue
            }
            let ofService = all.filter { policy in
                policy.name.namespace == service.name.namespace && policy.targetServices.contains(service.name.name)
            }
            let workloads = port.endpoints.compactMap { endpoint -> MeshWorkload? in
                // The node of others verifies what they receive.
                guard !endpoint.isTunnelled(in: snapshot) else { return nil }
                return endpoint.workload.flatMap { snapshot.workloads[$0] }
            }
            let ofWorkloads = all.filter { policy in
                policy.targetServices.isEmpty && workloads.contains { policy.selects($0) }
            }
            add(ofService.flatMap(\.rules), ofWorkloads.flatMap(\.rules))
        }
    }

    private struct Location: Hashable {
        var kind: TokenLocation.Kind
        var name: String
        var prefix: String
    }

    private mutating func add(_ ofService: [JWTRule], _ ofWorkloads: [JWTRule]) {
        var order: [Location] = []
        var found: [Location: TokenLocation] = [:]
        var rulesOf: [Location: [UInt32]] = [:]
        var names: [String] = []
        for (number, rule) in (ofService + ofWorkloads).enumerated() {
            let place = self.place(of: rule)
            for location in Self.locations(of: rule) {
                if found[location] == nil {
                    order.append(location)
                    found[location] = TokenLocation(
                        kind: location.kind, name: text(location.name), prefix: text(location.prefix),
                        isAuthorization: location.kind == .header && location.name == "authorization")
                }
                if rule.forwardsToken { found[location]?.strips = false }
                if number < ofService.count { found[location]?.isOfService = true }
                if !(rulesOf[location] ?? []).contains(place) { rulesOf[location, default: []].append(place) }
            }
            names += rule.outputClaims.map { $0.header.lowercased() }
            if let header = rule.outputPayloadHeader { names.append(header.lowercased()) }
        }
        var entry = ServiceAuthentication()
        let first = locations.count
        for location in order {
            guard var compiled = found[location], let places = rulesOf[location] else { continue }
            compiled.rules = RouteRun(start: UInt32(members.count), count: UInt32(places.count))
            members += places
            locations.append(compiled)
            if location.kind == .parameter { entry.hasParameters = true }
            if location.kind == .cookie { entry.hasCookies = true }
        }
        entry.locations = RouteRun(start: UInt32(first), count: UInt32(locations.count - first))
        let outputs = Set(names.filter(Self.isOutput)).sorted()
        entry.dropped = RouteRun(start: UInt32(dropped.count), count: UInt32(outputs.count))
        dropped += outputs.map { text($0) }
        services.append(entry)
    }

    private static func locations(of rule: JWTRule) -> [Location] {
        guard rule.fromHeaders.count + rule.fromParameters.count + rule.fromCookies.count > 0 else {
            return [
                Location(kind: .header, name: "authorization", prefix: "Bearer "),
                Location(kind: .parameter, name: "access_token", prefix: ""),
            ]
        }
        return rule.fromHeaders.map { Location(kind: .header, name: $0.name.lowercased(), prefix: $0.prefix) }
            + rule.fromParameters.map { Location(kind: .parameter, name: $0, prefix: "") }
            + rule.fromCookies.map { Location(kind: .cookie, name: $0, prefix: "") }
    }

    /// Whether a field of this name may be made of claims.
    private static func isOutput(_ name: String) -> Bool {
        HeaderEditBuilder.isToken(name) && !HeaderEditBuilder.reserved.contains(name.lowercased())
            && name.lowercased() != "host"
    }

    private mutating func place(of rule: JWTRule) -> UInt32 {
        if let known = ruleConfigs.firstIndex(of: rule) { return UInt32(known) }
        var entry = TokenRule()
        if let header = rule.outputPayloadHeader, Self.isOutput(header) { entry.payloadHeader = text(header) }
        let first = outputs.count
        for output in rule.outputClaims where Self.isOutput(output.header) {
            let start = elements.count
            for element in output.claim { elements.append(text(element)) }
            outputs.append(
                ClaimOutput(
                    header: text(output.header),
                    elements: RouteRun(start: UInt32(start), count: UInt32(output.claim.count))))
        }
        entry.outputs = RouteRun(start: UInt32(first), count: UInt32(outputs.count - first))
        rules.append(entry)
        ruleConfigs.append(rule)
        return UInt32(rules.count - 1)
    }

    private mutating func text(_ string: String) -> RouteText {
        if let known = texts[string] { return known }
        let text = RouteText(start: UInt32(arena.count), count: UInt32(string.utf8.count))
        arena += string.utf8
        texts[string] = text
        return text
    }
}

extension MeshEndpoint {
    /// Whether connections to it are tunnelled to its node, which decides what it receives.
    func isTunnelled(in snapshot: MeshSnapshot) -> Bool {
        guard let workload = workload.flatMap({ snapshot.workloads[$0] }) else { return false }
        return !workload.isLocal && workload.takesTunnel && workload.mutualTLS(port: port) != .disable
    }
}
