import Mesh

@testable import Proxy

/// Rules, policies and requests out of so few words that they often meet, and often only almost.
struct RandomRules {
    private var numbers: HTTPDifferentialTests.Numbers

    init(seed: UInt64) { numbers = HTTPDifferentialTests.Numbers(state: seed) }

    mutating func random() -> UInt64 { numbers.next() }

    private mutating func chance(_ percent: Int) -> Bool { Int(numbers.next() % 100) < percent }

    private mutating func one<Value>(_ values: [Value]) -> Value { values[Int(numbers.next() % UInt64(values.count))] }

    private mutating func some<Value>(_ percent: Int, _ make: (inout Self) -> Value) -> [Value] {
        guard chance(percent) else { return [] }
        return (0..<one([1, 1, 1, 2, 3])).map { _ in make(&self) }
    }

    // MARK: Words

    /// Their ends are on both sides of those of words, and of what is compared.
    private static let longPaths = [7, 8, 9, 15, 16, 17, 55, 56, 57, 62, 63, 64, 65, 66, 72].map { count in
        "/" + String(repeating: "s", count: count - 1)
    }
    private static let paths =
        ["/", "/a", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/b/c", "/b", "/b/a", "/admin", "/sss/ssss"] + longPaths
    private static let methods = ["GET", "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"]
    private static let principals = ["cluster.local/ns/shop/sa/client", "cluster.local/ns/pay/sa/client"]
    private static let namespaces = ["shop", "pay"]
    private static let words = ["1", "12", "2"]

    // MARK: Routes

    mutating func precedence() -> HTTPRouting.Precedence { chance(50) ? .specificity : .order }

    mutating func rules(_ precedence: HTTPRouting.Precedence) -> [HTTPRule] {
        (0..<1 + Int(numbers.next() % 8)).map { index in
            var rule = HTTPRule.to(index: index)
            rule.matches = (0..<Int(numbers.next() % 4)).map { _ in match(precedence) }
            rule.action =
                chance(90)
                ? .forward(backends()) : chance(50) ? .redirect(HTTPRedirect()) : .respond(DirectResponse(status: 200))
            if chance(25) { filter(&rule) }
            if chance(1) { rule.hostnames = ["x.y"] }
            return rule
        }
    }

    private mutating func match(_ precedence: HTTPRouting.Precedence) -> HTTPMatch {
        var match = HTTPMatch()
        let path = one(Self.paths)
        switch numbers.next() % 10 {
        case 0...2: match.path = .exact(path)
        case 3...6: match.path = .prefix(path)
        case 7: match.path = precedence == .order ? .textPrefix(path) : nil
        case 8 where chance(30): match.path = .regex("/[ab]/.*")
        default: break
        }
        if chance(30) { match.method = chance(90) ? .exact(one(Self.methods + ["BREW"])) : .prefix("P") }
        if chance(6) { match.headers = [NamedMatch(name: "h", value: .exact(one(Self.words)))] }
        if chance(6) { match.query = [NamedMatch(name: "q", value: .prefix("1"))] }
        if precedence == .order {
            if chance(4) { match.withoutHeaders = [NamedMatch(name: "h", value: .present)] }
            if chance(10) { match.sourceLabels = ["in": one(Self.namespaces)] }
            if chance(6) { match.sourceNamespace = one(Self.namespaces) }
            if chance(3) { match.authority = .exact(one(["x.y", "z"])) }
            if chance(3) { match.scheme = .exact(one(["http", "https"])) }
            if chance(4) { match.ignoresPathCase = true }
        }
        return match
    }

    private mutating func backends() -> [HTTPBackend] {
        (0..<(chance(4) ? 9 : one([1, 1, 1, 2, 3, 4, 0]))).map { _ in
            let target: HTTPBackend.Target =
                chance(4) ? .invalid("gone") : .service(.shop(one(["a", "b", "c", "web"])), port: 80, subset: nil)
            var backend = HTTPBackend(target: target, weight: one([0, 1, 1, 2, 5, 97, 1_000_000]))
            switch numbers.next() % 40 {
            case 0: backend.requestHeaders.set = [.init(name: "x-a", value: "b")]
            case 1: backend.responseHeaders.remove = ["server"]
            case 2: backend.rewrite = URLRewrite(path: .full("/z"))
            case 3: backend.redirect = HTTPRedirect()
            case 4: backend.mirrors = [HTTPMirror(target: .service(.shop("b"), port: 80, subset: nil))]
            default: break
            }
            return backend
        }
    }

    private mutating func filter(_ rule: inout HTTPRule) {
        switch numbers.next() % 11 {
        case 0: rule.requestHeaders.add = [.init(name: "x-a", value: "b")]
        case 1: rule.responseHeaders.set = [.init(name: "x-a", value: "b")]
        case 2: rule.rewrite = URLRewrite(hostname: "z")
        case 3: rule.mirrors = [HTTPMirror(target: .service(.shop("b"), port: 80, subset: nil), partsPerMillion: 5)]
        case 4: rule.fault = HTTPFault(abort: .init(status: 500, partsPerMillion: 1))
        case 5: rule.timeouts = HTTPTimeouts(request: 1000)
        case 6: rule.timeouts = HTTPTimeouts(backendRequest: 1000)
        case 7: rule.retry = RetryPolicy()
        case 8: rule.persistence = SessionPersistence(kind: .header, name: "x-session")
        case 9: rule.rateLimits = [RateLimit(name: "l\(rule.index)", requests: 5, window: .day)]
        default:
            rule.cors = CORSPolicy()
            rule.cors?.allowsAnyOrigin = true
        }
    }

    // MARK: Policies

    mutating func policies() -> [AuthorizationPolicy] {
        (0..<one([0, 0, 1, 1, 2, 3])).map { index in
            let rules = (0..<one([1, 1, 1, 2, 3])).map { _ in
                AuthorizationPolicy.Rule(
                    sources: some(40) { $0.source() }, operations: some(85) { $0.operation() },
                    conditions: some(12) { $0.condition() })
            }
            return .shop("p\(index)", chance(50) ? .allow : .deny, rules) { policy in
                if chance(2) { policy.isShadow = true }
                if chance(2) { policy.action = .audit }
                if chance(50) { policy.targetServices = ["web"] } else if chance(10) { policy.selector = ["app": "a"] }
            }
        }
    }

    private mutating func match(_ words: [String]) -> StringMatch {
        let word = one(words)
        switch numbers.next() % 16 {
        case 0: return .present
        case 1, 2: return .prefix(String(word.prefix(1 + Int(numbers.next() % UInt64(word.count)))))
        case 3: return .suffix(String(word.suffix(1 + Int(numbers.next() % UInt64(word.count)))))
        default: return .exact(word)
        }
    }

    private mutating func path() -> AuthorizationPolicy.PathMatch {
        if chance(3) { return .template([.literal("a"), .one]) }
        if chance(3) { return .template([.literal("a"), .any]) }
        return .text(match(Self.paths))
    }

    private mutating func source() -> AuthorizationPolicy.Source {
        var source = AuthorizationPolicy.Source()
        source.principals = some(40) { $0.match(Self.principals) }
        source.notPrincipals = some(15) { $0.match(Self.principals) }
        source.namespaces = some(35) { $0.match(Self.namespaces) }
        source.notNamespaces = some(15) { $0.match(Self.namespaces) }
        source.ipBlocks = some(4) { $0.block() }
        source.notIPBlocks = some(4) { $0.block() }
        source.requestPrincipals = some(5) { $0.match(["one/joe"]) }
        source.notRequestPrincipals = some(8) { $0.match(["one/joe"]) }
        source.remoteIPBlocks = some(3) { $0.block() }
        return source
    }

    private mutating func block() -> IPBlock {
        let address = IPAddress(one(["10.0.9.9", "10.1.0.0"])) ?? IPAddress(high: 0, low: 0)
        return IPBlock(address: address.masked(to: 112), prefixLength: 112)
    }

    private mutating func operation() -> AuthorizationPolicy.Operation {
        var operation = AuthorizationPolicy.Operation()
        operation.methods = some(40) { $0.match(Self.methods + ["PURGE"]) }
        operation.notMethods = some(15) { $0.match(Self.methods + ["PURGE"]) }
        operation.paths = some(55) { $0.path() }
        operation.notPaths = some(20) { $0.path() }
        operation.ports = some(4) { $0.one([40_000, 80]) }
        operation.notPorts = some(4) { $0.one([40_000, 80]) }
        operation.hosts = some(5) { $0.match(["x.y", "z"]) }
        operation.notHosts = some(5) { $0.match(["x.y", "z"]) }
        return operation
    }

    private mutating func condition() -> AuthorizationPolicy.Condition {
        switch numbers.next() % 8 {
        case 0:
            .sourcePrincipal(
                values: some(60) { $0.match(Self.principals) }, notValues: some(60) { $0.match(Self.principals) })
        case 1:
            .sourceNamespace(
                values: some(60) { $0.match(Self.namespaces) }, notValues: some(60) { $0.match(Self.namespaces) })
        case 2:
            .requestHeader(
                name: "h", values: some(60) { $0.match(Self.words) }, notValues: some(60) { $0.match(Self.words) })
        case 3:
            .requestHeader(
                name: ":path", values: some(60) { $0.match(Self.paths) }, notValues: some(60) { $0.match(Self.paths) })
        case 4:
            .requestHeader(
                name: ":method", values: some(60) { $0.match(Self.methods) },
                notValues: some(60) { $0.match(Self.methods) })
        case 5: .sourceIP(values: some(60) { $0.block() }, notValues: some(30) { $0.block() })
        case 6:
            .requestClaim(
                path: ["role"], values: some(60) { $0.match(Self.words) }, notValues: some(60) { $0.match(Self.words) })
        default:
            .destinationPort(values: some(60) { $0.one([40_000, 80]) }, notValues: some(30) { $0.one([40_000, 80]) })
        }
    }

    // MARK: Requests

    mutating func request(_ client: ShortcutFixture.Client) -> SyntheticRequest {
        let path = one(Self.paths) + one(["", "", "", "", "/", "/t", "t", "s", "/b"])
        var request = SyntheticRequest(
            method: one(Self.methods + ["BREW"]), target: path + (chance(20) ? "?q=\(one(Self.words))" : ""),
            host: ShortcutFixture.host, source: client.rawValue)
        if chance(25) { request.headers = [(name: "H", value: one(Self.words))] }
        return request
    }
}
