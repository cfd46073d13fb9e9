import Mesh
import Testing

@testable import Proxy

/// What each kind of rule means, by examples: a rule as an ALLOW policy of its own, and what it lets through.
@Suite struct PolicyGoldenTests {
    typealias Rule = AuthorizationPolicy.Rule

    private func allows(_ rule: Rule, _ facts: PolicyFacts, trustedHops: Int = 0) throws -> Bool {
        try PolicyFixture([.make("p", .allow, [rule])], trustedHops: trustedHops).verdict(facts) == "allow shop/p[0]"
    }

    private static func peer(_ principal: String?) -> PolicyFacts {
        var facts = PolicyFacts()
        facts.principal = principal
        return facts
    }

    // MARK: Source

    @Test(arguments: [
        ("cluster.local/ns/shop/sa/client", "cluster.local/ns/shop/sa/client", true),
        ("cluster.local/ns/shop/sa/client", "cluster.local/ns/shop/sa/client2", false),
        ("cluster.local/ns/shop/sa/client", "other/ns/shop/sa/client", false),
        ("cluster.local/ns/shop/*", "cluster.local/ns/shop/sa/client", true),
        ("*/sa/client", "other/ns/x/sa/client", true), ("*", "cluster.local/ns/shop/sa/client", true),
        ("*", nil, false), ("cluster.local/*", nil, false),
    ]) func principals(_ pattern: String, _ peer: String?, _ isAllowed: Bool) throws {
        #expect(try allows(.from { $0.principals = [StringMatch(pattern)] }, Self.peer(peer)) == isAllowed)
        #expect(try allows(.from { $0.notPrincipals = [StringMatch(pattern)] }, Self.peer(peer)) == !isAllowed)
        let condition = AuthorizationPolicy.Condition.sourcePrincipal(values: [StringMatch(pattern)], notValues: [])
        #expect(try allows(.when(condition), Self.peer(peer)) == isAllowed)
    }

    @Test(arguments: [
        ("shop", "cluster.local/ns/shop/sa/client", true), ("shop", "cluster.local/ns/shop2/sa/client", false),
        ("shop", "other/ns/shop/sa/client", true), ("sh*", "cluster.local/ns/shop/sa/client", true),
        ("shop", "cluster.local/x/shop/sa/client", false), ("*", nil, false), ("shop", nil, false),
    ]) func namespaces(_ pattern: String, _ peer: String?, _ isAllowed: Bool) throws {
        #expect(try allows(.from { $0.namespaces = [StringMatch(pattern)] }, Self.peer(peer)) == isAllowed)
        #expect(try allows(.from { $0.notNamespaces = [StringMatch(pattern)] }, Self.peer(peer)) == !isAllowed)
    }

    @Test(arguments: [
        ("10.0.0.0/24", "10.0.0.9", true), ("10.0.0.9", "10.0.0.9", true), ("10.0.0.8/29", "10.0.0.16", false),
        ("0.0.0.0/0", "10.0.0.9", true), ("0.0.0.0/0", "fd00::1", false), ("::/0", "10.0.0.9", false),
        ("::/0", "fd00::1", true), ("fd00::/8", "fd12::1", true),
    ]) func sourceAddresses(_ block: String, _ address: String, _ isAllowed: Bool) throws {
        let block = try #require(IPBlock(block))
        var facts = PolicyFacts()
        facts.sourceAddress = address
        #expect(try allows(.from { $0.ipBlocks = [block] }, facts) == isAllowed)
        #expect(try allows(.from { $0.notIPBlocks = [block] }, facts) == !isAllowed)
        #expect(try allows(.when(.remoteIP(values: [block], notValues: [])), facts) == isAllowed)
        facts.destinationAddress = address
        facts.sourceAddress = "192.0.2.1"
        #expect(try allows(.when(.destinationIP(values: [block], notValues: [])), facts) == isAllowed)
    }

    /// Each trusted proxy has added an address; what is left of those is what anybody may have written.
    @Test(arguments: [
        (0, "10.9.9.9", false), (1, "10.9.9.9", true), (1, "10.9.9.9, 192.0.2.1", false),
        (2, "10.9.9.9, 192.0.2.1", true), (1, "192.0.2.1,10.9.9.9", true), (2, "10.9.9.9", false),
        (1, "10.9.9.9:80", false), (1, "", false), (1, "nonsense", false), (3, "10.9.9.9,, 192.0.2.1", true),
    ]) func remoteAddresses(_ hops: Int, _ forwardedFor: String, _ isAllowed: Bool) throws {
        let block = try #require(IPBlock("10.9.9.0/24"))
        let facts = PolicyFacts.get("/", [("X-Forwarded-For", forwardedFor)])
        #expect(try allows(.from { $0.remoteIPBlocks = [block] }, facts, trustedHops: hops) == isAllowed)
        let parts = forwardedFor.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let split = PolicyFacts.get("/", parts.map { ("x-forwarded-for", $0) })
        #expect(try allows(.from { $0.remoteIPBlocks = [block] }, split, trustedHops: hops) == isAllowed)
    }

    // MARK: Operation

    @Test func ports() throws {
        #expect(try allows(.to { $0.ports = [80, 8080] }, .get()))
        #expect(try !allows(.to { $0.ports = [80] }, .get()))
        #expect(try allows(.to { $0.notPorts = [80] }, .get()))
        #expect(try !allows(.to { $0.notPorts = [8080] }, .get()))
        #expect(try allows(.when(.destinationPort(values: [8080], notValues: [])), .get()))
    }

    @Test(arguments: [
        ("web", "web", true), ("web", "WEB", true), ("Web", "web", true), ("web", "web:8080", true),
        ("web", "web.", true), ("web", "web.:80", true), ("web:8080", "web:8080", true), ("web:8080", "web", false),
        ("web:8080", "web:80", false), ("web:*", "web:80", true), ("web:*", "web", false), ("web*", "website", true),
        ("*.example.com", "a.example.com:1", true), ("*.example.com", "example.com", false), ("*", "x", true),
        ("*.example.com:80", "a.example.com:80", true), ("*.example.com:80", "a.example.com:8080", false),
        ("[fd00::1]", "[fd00::1]:80", true), ("[fd00::1]:80", "[FD00::1]:80", true),
        ("[fd00::1]:80", "[fd00::1]", false),
        ("[fd00:*", "[fd00::1]:80", true),
    ]) func hosts(_ pattern: String, _ host: String, _ isAllowed: Bool) throws {
        #expect(try allows(.to { $0.hosts = [StringMatch(pattern)] }, .get(host: host)) == isAllowed)
        #expect(try allows(.to { $0.notHosts = [StringMatch(pattern)] }, .get(host: host)) == !isAllowed)
    }

    @Test func methods() throws {
        #expect(try allows(.to { $0.methods = [.exact("GET")] }, .get()))
        #expect(try !allows(.to { $0.methods = [.exact("GET")] }, .get(method: "POST")))
        #expect(try allows(.to { $0.methods = [.prefix("P")] }, .get(method: "PURGE")))
        #expect(try !allows(.to { $0.notMethods = [.exact("PURGE")] }, .get(method: "PURGE")))
        #expect(try !allows(.to { $0.methods = [.exact("get")] }, .get()))
    }

    @Test(arguments: [
        ("/a", "/a", true), ("/a", "/a?b", true), ("/a", "/a/", false), ("/a*", "/ab/c", true), ("*/c", "/a/b/c", true),
        ("*", "/", true), ("/a", "//a", true), ("/a", "/x/../a", true), ("/a", "/%61", true), ("/A", "/a", false),
        ("*.txt", "/a?.txt", false),
    ]) func paths(_ pattern: String, _ target: String, _ isAllowed: Bool) throws {
        #expect(try allows(.to { $0.paths = [.text(StringMatch(pattern))] }, .get(target)) == isAllowed)
        #expect(try allows(.to { $0.notPaths = [.text(StringMatch(pattern))] }, .get(target)) == !isAllowed)
    }

    /// The examples of Istio's documentation, and the edges of their meaning.
    @Test(arguments: [
        ("/foo/{*}", "/foo/bar", true), ("/foo/{*}", "/foo/bar/baz", false), ("/foo/{*}", "/foo/", false),
        ("/foo/{*}", "/foo", false), ("/foo/{**}", "/foo/", true), ("/foo/{**}", "/foo/a/b", true),
        ("/foo/{**}", "/foo", false), ("/foo/{**}/bar", "/foo/x/bar", true), ("/foo/{**}/bar", "/foo/x/y/bar", true),
        ("/foo/{**}/bar", "/foo/bar", false), ("/foo/{*}/bar/{**}", "/foo/buzz/bar/", true),
        ("/foo/{*}/bar/{**}", "/foo/buzz/bar/baz", true), ("/foo/{*}/bar/{**}", "/foo/buzz/bar", false),
        ("/{*}/x", "/a/x", true), ("/{*}/x", "/a/b/x", false), ("/{**}/x/{*}", "/a/b/x/y", true),
        ("/{**}/x/{*}", "/x/y", false), ("/foo/{*}", "/Foo/bar", false), ("/{*}", "/a?b/c", true),
    ]) func pathTemplates(_ template: String, _ target: String, _ isAllowed: Bool) throws {
        let elements = template.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
            $0 == "{*}" ? AuthorizationPolicy.TemplateElement.one : $0 == "{**}" ? .any : .literal(String($0))
        }
        #expect(try allows(.to { $0.paths = [.template(elements)] }, .get(target)) == isAllowed)
    }

    // MARK: Conditions

    @Test(
        arguments: [
            ([], ["yes"], [], false), ([("X-A", "yes")], ["yes"], [], true), ([("x-a", "yes")], ["y*"], [], true),
            ([("x-a", "yes"), ("X-A", "no")], ["yes"], [], false),
            ([("x-a", "yes"), ("X-A", "no")], ["yes,no"], [], true),
            ([("x-a", "yes"), ("X-A", "no")], ["*no"], [], true), ([("x-a", "")], ["*"], [], true),
            ([], ["*"], [], false),
            ([], [], ["yes"], true), ([("x-a", "yes")], [], ["yes"], false), ([("x-a", "no")], [], ["yes"], true),
            ([("x-a", "")], [], ["*"], false), ([("x-ab", "yes")], ["yes"], [], false),
            ([("x-a", "yes")], ["yes"], ["y*"], false),
        ] as [([(String, String)], [String], [String], Bool)])
    func headers(_ fields: [(String, String)], _ values: [String], _ notValues: [String], _ isAllowed: Bool) throws {
        let condition = AuthorizationPolicy.Condition.requestHeader(
            name: "x-a", values: values.map { StringMatch($0) }, notValues: notValues.map { StringMatch($0) })
        #expect(try allows(.when(condition), .get("/", fields)) == isAllowed)
    }

    @Test(arguments: [
        (":authority", "web:80", true), ("host", "web:80", true), ("host", "web", false), (":method", "GET", true),
        (":path", "/a?b=c", true), (":path", "/a", false),
    ]) func partsOfTheRequestAsHeaders(_ name: String, _ value: String, _ isAllowed: Bool) throws {
        let condition = AuthorizationPolicy.Condition.requestHeader(
            name: name, values: [StringMatch(value)], notValues: [])
        #expect(try allows(.when(condition), .get("/a?b=c", host: "web:80")) == isAllowed)
    }

    private static func token(_ members: [String: TokenValue]) -> PolicyFacts {
        var facts = PolicyFacts()
        facts.claims = .object(members.merging(["iss": .text("https://i"), "sub": .text("joe")]) { old, _ in old })
        return facts
    }

    @Test func tokens() throws {
        let facts = Self.token([
            "aud": .list([.text("a"), .text("b")]), "azp": .text("app"), "scope": .text("read write"),
            "realm": .object(["roles": .list([.text("admin"), .text("dev")])]), "age": .number(3),
        ])
        func claim(_ path: [String], _ value: String) -> Rule {
            .when(.requestClaim(path: path, values: [StringMatch(value)], notValues: []))
        }
        #expect(try allows(.from { $0.requestPrincipals = [.exact("https://i/joe")] }, facts))
        #expect(try allows(.from { $0.requestPrincipals = [.present] }, facts))
        #expect(try !allows(.from { $0.notRequestPrincipals = [.present] }, facts))
        #expect(try allows(.when(.requestAudiences(values: [.exact("b")], notValues: [])), facts))
        #expect(try !allows(.when(.requestAudiences(values: [], notValues: [.exact("b")])), facts))
        #expect(try allows(.when(.requestPresenter(values: [.exact("app")], notValues: [])), facts))
        #expect(try allows(claim(["scope"], "write"), facts))
        #expect(try !allows(claim(["scope"], "read write"), facts))
        #expect(try allows(claim(["realm", "roles"], "dev"), facts))
        #expect(try !allows(claim(["realm"], "*"), facts))
        #expect(try !allows(claim(["age"], "3"), facts))
        #expect(try !allows(claim(["nothing", "there"], "*"), facts))
    }

    @Test func withoutATokenNothingOfItMatches() throws {
        #expect(try !allows(.from { $0.requestPrincipals = [.present] }, .get()))
        #expect(try allows(.from { $0.notRequestPrincipals = [.present] }, .get()))
        #expect(try !allows(.when(.requestAudiences(values: [.present], notValues: [])), .get()))
        #expect(try allows(.when(.requestClaim(path: ["a"], values: [], notValues: [.present])), .get()))
    }
}
