import Mesh

@testable import Proxy

/// Policies and requests out of so few words that they often meet.
struct RandomPolicies {
    var generator: SeededGenerator

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

    private mutating func one<Value>(_ values: [Value]) -> Value {
        values[Int.random(in: 0..<values.count, using: &generator)]
    }

    private mutating func some<Value>(_ percent: Int, _ make: (inout Self) -> Value) -> [Value] {
        guard chance(percent) else { return [] }
        return (0..<Int.random(in: 1...3, using: &generator)).map { _ in make(&self) }
    }

    private mutating func match(_ words: [String]) -> StringMatch {
        let word = one(words)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: return .present
        case 1, 2: return .prefix(String(word.prefix(Int.random(in: 1...word.count, using: &generator))))
        case 3, 4: return .suffix(String(word.suffix(Int.random(in: 1...word.count, using: &generator))))
        default: return .exact(word)
        }
    }

    private let principals = [
        "cluster.local/ns/shop/sa/client", "cluster.local/ns/shop/sa/web", "cluster.local/ns/pay/sa/client",
        "other.example/ns/shop/sa/client",
    ]
    private let namespaces = ["shop", "pay", "admin"]
    private let addresses = ["10.0.0.9", "10.0.1.9", "192.168.3.4", "fd00::9", "fd00:1::1"]
    private let hosts = ["web", "web.shop", "web.shop:8080", "WEB:80", "example.com.", "[::1]:8080"]
    private let methods = ["GET", "POST", "DELETE", "PURGE"]
    private let paths = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/admin", "/admin/x/users", "/%7C", "/a/b/c/d"]
    private let headers = ["x-a", "x-b", "user-agent"]
    private let words = ["yes", "no", "yesno", "1", "a b"]
    private let issuers = ["https://one.example", "two"]

    private mutating func block() -> IPBlock {
        let address = IPAddress(one(addresses)) ?? IPAddress(high: 0, low: 0)
        let length = address.isIPv4 ? one([96, 104, 112, 128]) : one([0, 16, 32, 128])
        return IPBlock(address: address.masked(to: UInt8(length)), prefixLength: UInt8(length))
    }

    private mutating func path() -> AuthorizationPolicy.PathMatch {
        guard chance(30) else { return .text(match(paths)) }
        var elements: [AuthorizationPolicy.TemplateElement] = []
        var hasAny = false
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0, 1: elements.append(.one)
            case 2 where !hasAny:
                elements.append(.any)
                hasAny = true
            default: elements.append(.literal(one(["a", "b", "admin", "users", "x", ""])))
            }
        }
        return .template(elements)
    }

    private mutating func source() -> AuthorizationPolicy.Source {
        var source = AuthorizationPolicy.Source()
        source.principals = some(35) { $0.match($0.principals) }
        source.notPrincipals = some(15) { $0.match($0.principals) }
        source.namespaces = some(25) { $0.match($0.namespaces) }
        source.notNamespaces = some(10) { $0.match($0.namespaces) }
        source.ipBlocks = some(20) { $0.block() }
        source.notIPBlocks = some(10) { $0.block() }
        source.requestPrincipals = some(15) { $0.match(["https://one.example/joe", "two/ann"]) }
        source.notRequestPrincipals = some(10) { $0.match(["https://one.example/joe", "two/ann"]) }
        source.remoteIPBlocks = some(10) { $0.block() }
        source.notRemoteIPBlocks = some(10) { $0.block() }
        return source
    }

    private mutating func operation() -> AuthorizationPolicy.Operation {
        var operation = AuthorizationPolicy.Operation()
        operation.ports = some(20) { $0.one([80, 8080, 9090]) }
        operation.notPorts = some(10) { $0.one([80, 8080, 9090]) }
        operation.hosts = some(25) { $0.match($0.hosts) }
        operation.notHosts = some(10) { $0.match($0.hosts) }
        operation.methods = some(30) { $0.match($0.methods) }
        operation.notMethods = some(10) { $0.match($0.methods) }
        operation.paths = some(40) { $0.path() }
        operation.notPaths = some(15) { $0.path() }
        return operation
    }

    private mutating func condition() -> AuthorizationPolicy.Condition {
        func lists<Value>(_ policies: inout Self, _ make: (inout Self) -> Value) -> (
            values: [Value], notValues: [Value]
        ) {
            (policies.some(70, make), policies.some(40, make))
        }
        switch Int.random(in: 0..<12, using: &generator) {
        case 0:
            let lists = lists(&self) { $0.match($0.principals) }
            return .sourcePrincipal(values: lists.values, notValues: lists.notValues)
        case 1:
            let lists = lists(&self) { $0.match($0.namespaces) }
            return .sourceNamespace(values: lists.values, notValues: lists.notValues)
        case 2:
            let lists = lists(&self) { $0.block() }
            return .sourceIP(values: lists.values, notValues: lists.notValues)
        case 3:
            let lists = lists(&self) { $0.block() }
            return .destinationIP(values: lists.values, notValues: lists.notValues)
        case 4:
            let lists = lists(&self) { $0.one([UInt16(80), 8080]) }
            return .destinationPort(values: lists.values, notValues: lists.notValues)
        case 5:
            let lists = lists(&self) { $0.block() }
            return .remoteIP(values: lists.values, notValues: lists.notValues)
        case 6:
            let lists = lists(&self) { $0.match($0.hosts) }
            return .connectionSNI(values: lists.values, notValues: lists.notValues)
        case 7:
            let lists = lists(&self) { $0.match(["https://one.example/joe", "two/ann"]) }
            return .requestPrincipal(values: lists.values, notValues: lists.notValues)
        case 8:
            let lists = lists(&self) { $0.match($0.words) }
            return .requestAudiences(values: lists.values, notValues: lists.notValues)
        case 9:
            let lists = lists(&self) { $0.match($0.words) }
            return .requestPresenter(values: lists.values, notValues: lists.notValues)
        case 10:
            let lists = lists(&self) { $0.match($0.words) }
            return .requestClaim(path: claimPath(), values: lists.values, notValues: lists.notValues)
        default:
            let lists = lists(&self) { $0.match($0.words) }
            return .requestHeader(name: one(headers), values: lists.values, notValues: lists.notValues)
        }
    }

    private mutating func claimPath() -> [String] {
        one([["role"], ["scope"], ["realm", "role"], ["realm", "x", "y"]])
    }

    mutating func policies() -> [AuthorizationPolicy] {
        (0..<Int.random(in: 0...4, using: &generator)).map { index in
            let action = one([AuthorizationPolicy.Action.allow, .allow, .deny, .deny, .custom, .audit])
            let rules = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                AuthorizationPolicy.Rule(
                    sources: some(50) { $0.source() }, operations: some(50) { $0.operation() },
                    conditions: some(40) { $0.condition() })
            }
            return .make("p\(index)", action, rules) { policy in
                policy.isShadow = chance(10)
                if action == .custom { policy.provider = one(["opa", "quota", "gone"]) }
            }
        }
    }

    mutating func facts() -> PolicyFacts {
        var facts = PolicyFacts()
        facts.principal = chance(25) ? nil : one(principals)
        facts.sourceAddress = one(addresses)
        facts.destinationAddress = one(addresses)
        facts.port = one([80, 8080, 9090])
        guard !chance(15) else {
            facts.request = nil
            return facts
        }
        let target = one(paths) + (chance(30) ? "?a=/admin" : "")
        facts.request = SyntheticRequest(method: one(methods), target: target, host: one(hosts))
        facts.request?.headers = some(60) { (name: $0.one($0.headers + ["X-A"]), value: $0.one($0.words + [""])) }
        if chance(50) {
            var claims: [String: TokenValue] = ["iss": .text(one(issuers))]
            if chance(80) { claims["sub"] = .text(one(["joe", "ann"])) }
            if chance(60) { claims["aud"] = chance(50) ? .text(one(words)) : .list([.text(one(words)), .number(1)]) }
            if chance(50) { claims["azp"] = .text(one(words)) }
            if chance(50) { claims["role"] = .list([.text(one(words)), .text(one(words))]) }
            if chance(50) { claims["scope"] = .text("\(one(words)) \(one(words))") }
            if chance(50) { claims["realm"] = .object(["role": .text(one(words)), "x": .object(["y": .number(3)])]) }
            facts.claims = .object(claims)
        }
        return facts
    }
}
