import Mesh
import Testing

@testable import Proxy

/// A workload `shop/web` and a service of that name, under policies.
struct PolicyFixture {
    static let web = ObjectName(namespace: "shop", name: "web")
    static let webID: UInt64 = 7
    static let serviceID: UInt64 = 70

    let table: AuthorizationTable

    init(_ policies: [AuthorizationPolicy], trustedHops: Int = 0, requestPorts: Set<UInt16> = [8080]) {
        var workload = MeshWorkload(name: Self.web, serviceAccount: "web", labels: ["app": "web"])
        workload.requestPorts = requestPorts
        let client = MeshWorkload(name: ObjectName(namespace: "shop", name: "client"), serviceAccount: "client")
        var snapshot = MeshSnapshot(
            workloads: [workload.name: workload, client.name: client],
            policies: Dictionary(uniqueKeysWithValues: policies.map { ($0.name, $0) }))
        for name in ["opa", "quota"] {
            snapshot.authorizers[name] = ExternalAuthorizer(
                name: name, api: .grpc, service: ObjectName(namespace: "auth", name: name), port: 9000)
        }
        let identifiers = RouteIdentifiers(
            services: [.init(service: Self.web, port: 80): [Self.serviceID, Self.serviceID + 1]],
            workloads: [Self.web: Self.webID, client.name: 8])
        table = AuthorizationTable(snapshot, identifiers: identifiers, trustedHops: trustedHops)
    }

    /// `allow`, `deny` or `ask PROVIDER`, with the rule that says so.
    func verdict(_ facts: PolicyFacts, group: Int32? = nil, after provider: Int32 = -1) throws -> String {
        let decision = try decide(facts, group: group, after: provider)
        let verdict =
            switch decision.verdict {
            case .allowed: "allow"
            case .denied: "deny"
            case .external: "ask \(table.providers[Int(decision.provider)])"
            }
        return decision.rule < 0 ? verdict : "\(verdict) \(table.ruleTitles[Int(decision.rule)])"
    }

    func decide(_ facts: PolicyFacts, group: Int32? = nil, after provider: Int32 = -1) throws -> AuthorizationDecision {
        let group = group ?? table.group(ofWorkload: Self.webID)
        let principal = Array((facts.principal ?? "").utf8)
        let span = unsafe principal.span.bytes
        let namespace = PeerPrincipals.namespace(of: span)
        guard let request = facts.request else {
            return table.evaluate(
                group,
                AuthorizationAttributes(
                    principal: span, namespace: namespace, source: facts.source, destination: facts.destination),
                after: provider)
        }
        return try request.withView { view in
            func decide(_ claims: RequestClaims?) -> AuthorizationDecision {
                table.evaluate(
                    group,
                    AuthorizationAttributes(
                        principal: span, namespace: namespace, source: facts.source, destination: facts.destination,
                        request: view, claims: claims), after: provider)
            }
            guard let text = facts.claims?.json, let claims = ClaimSet(json: Array(text.utf8)) else {
                return decide(nil)
            }
            return decide(claims.claims)
        }
    }
}

/// A connection to the fixture's workload, and perhaps a request on it.
struct PolicyFacts {
    /// nil: a plain peer.
    var principal: String? = "cluster.local/ns/shop/sa/client"
    var sourceAddress = "10.0.0.9"
    var destinationAddress = "10.1.0.1"
    var port: UInt16 = 8080
    /// nil: nothing is known but the connection.
    var request: SyntheticRequest? = SyntheticRequest(host: "web")
    var claims: TokenValue?

    var source: ClientAddress { Self.address(sourceAddress, 40_000) }
    var destination: ClientAddress { Self.address(destinationAddress, port) }

    private static func address(_ text: String, _ port: UInt16) -> ClientAddress {
        ClientAddress(address: IPAddress(text) ?? IPAddress(high: 0, low: 0), port: port)
    }

    static func get(
        _ target: String = "/", host: String = "web", method: String = "GET", _ headers: [(String, String)] = []
    ) -> Self {
        var facts = PolicyFacts()
        facts.request = SyntheticRequest(
            method: method, target: target, host: host, headers: headers.map { (name: $0.0, value: $0.1) })
        return facts
    }
}

/// A value in a token's payload.
indirect enum TokenValue {
    case text(String)
    case number(Int)
    case list([TokenValue])
    case object([String: TokenValue])

    var json: String {
        switch self {
        case .text(let text): "\"\(text)\""
        case .number(let number): "\(number)"
        case .list(let values): "[\(values.map(\.json).joined(separator: ","))]"
        case .object(let members):
            "{\(members.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value.json)" }.joined(separator: ","))}"
        }
    }
}

extension AuthorizationPolicy {
    /// A policy of `shop` with rules that are made up in place.
    static func make(
        _ name: String, _ action: Action = .allow, _ rules: [Rule] = [], _ change: (inout Self) -> Void = { _ in }
    ) -> Self {
        var policy = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: name), action: action, rules: rules)
        if action == .custom { policy.provider = "opa" }
        change(&policy)
        return policy
    }
}

extension AuthorizationPolicy.Rule {
    static func from(_ change: (inout AuthorizationPolicy.Source) -> Void) -> Self {
        var source = AuthorizationPolicy.Source()
        change(&source)
        return Self(sources: [source])
    }

    static func to(_ change: (inout AuthorizationPolicy.Operation) -> Void) -> Self {
        var operation = AuthorizationPolicy.Operation()
        change(&operation)
        return Self(operations: [operation])
    }

    static func when(_ conditions: AuthorizationPolicy.Condition...) -> Self { Self(conditions: conditions) }
}

extension StringMatch {
    /// As policies write it.
    init(_ text: String) {
        if text == "*" {
            self = .present
        } else if text.hasPrefix("*") {
            self = .suffix(String(text.dropFirst()))
        } else if text.hasSuffix("*") {
            self = .prefix(String(text.dropLast()))
        } else {
            self = .exact(text)
        }
    }
}
