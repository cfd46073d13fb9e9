import Mesh
import Proxy
import Testing

/// Expected values are those of the Gateway API's conformance tests of the same names.
@Suite struct MatchingTests {
    /// HTTPRouteExactPathMatching.
    @Test(arguments: [
        ("/one", "a"), ("/two", "b"), ("/", "404"), ("/one/example", "404"), ("/two/", "404"),
        ("/Two", "404"),
    ])
    func exactPath(_ target: String, _ expected: String) throws {
        let fixture = try RouteFixture([
            .to("a", matches: [.path(.exact("/one"))]), .to("b", matches: [.path(.exact("/two"))]),
        ])
        #expect(try fixture.outcome(SyntheticRequest(target: target, host: "web")) == expected)
    }

    /// HTTPRoutePathMatchOrder.
    @Test(arguments: [
        ("/match/exact/one", "c"), ("/match/exact", "b"), ("/match", "a"),
        ("/match/prefix/one/any", "b"),
        ("/match/prefix/any", "a"), ("/match/any", "c"),
    ])
    func pathOrder(_ target: String, _ expected: String) throws {
        let fixture = try RouteFixture([
            .to("a", matches: [.path(.exact("/match"))]),
            .to("b", matches: [.path(.exact("/match/exact"))]),
            .to("c", matches: [.path(.exact("/match/exact/one"))]),
            .to("c", matches: [.path(.prefix("/match/"))]),
            .to("a", matches: [.path(.prefix("/match/prefix/"))]),
            .to("b", matches: [.path(.prefix("/match/prefix/one"))]),
        ])
        #expect(try fixture.outcome(SyntheticRequest(target: target, host: "web")) == expected)
    }

    /// HTTPRouteMatching, and Mesh of that name.
    @Test(
        arguments: [
            ("/", [:], "a"), ("/example", [:], "a"), ("/", ["version": "one"], "a"), ("/v2", [:], "b"),
            ("/v2/example", [:], "b"), ("/", ["version": "two"], "b"), ("/v2/", [:], "b"),
            ("/v2example", [:], "a"),
            ("/foo/v2/example", [:], "a"),
        ] as [(String, KeyValuePairs<String, String>, String)])
    func pathAndHeader(_ target: String, _ headers: KeyValuePairs<String, String>, _ expected: String)
        throws
    {
        let fixture = try RouteFixture([
            .to(
                "a",
                matches: [
                    .path(.prefix("/")),
                    .any { $0.headers = [NamedMatch(name: "version", value: .exact("one"))] },
                ]),
            .to(
                "b",
                matches: [
                    .path(.prefix("/v2")),
                    .any { $0.headers = [NamedMatch(name: "version", value: .exact("two"))] },
                ]),
        ])
        let request = SyntheticRequest(
            target: target, host: "web", headers: headers.map { ($0.key, $0.value) })
        #expect(try fixture.outcome(request) == expected)
    }

    /// HTTPRouteHeaderMatching.
    @Test(
        arguments: [
            (["Version": "one"], "a"), (["Version": "two"], "b"),
            (["Version": "two", "Color": "orange"], "a"),
            (["Color": "blue"], "a"), (["Color": "green"], "a"), (["Color": "red"], "b"),
            (["Color": "yellow"], "b"),
            (["Color": "purple"], "404"), (["Version": "one", "Color": "blue"], "a"),
            (["VERSION": "two"], "b"),
            (["version": "TWO"], "404"), ([:], "404"),
        ] as [(KeyValuePairs<String, String>, String)])
    func headers(_ headers: KeyValuePairs<String, String>, _ expected: String) throws {
        func header(_ pairs: KeyValuePairs<String, String>) -> HTTPMatch {
            .any { $0.headers = pairs.map { NamedMatch(name: $0.key, value: .exact($0.value)) } }
        }
        let fixture = try RouteFixture([
            .to("a", matches: [header(["version": "one"])]),
            .to("b", matches: [header(["version": "two"])]),
            .to("a", matches: [header(["version": "two", "color": "orange"])]),
            .to("a", matches: [header(["color": "blue"]), header(["color": "green"])]),
            .to("b", matches: [header(["color": "red"]), header(["color": "yellow"])]),
        ])
        let request = SyntheticRequest(host: "web", headers: headers.map { ($0.key, $0.value) })
        #expect(try fixture.outcome(request) == expected)
    }

    /// HTTPRouteQueryParamMatching.
    @Test(arguments: [
        ("/?animal=whale", "a"), ("/?animal=dolphin", "b"), ("/?animal=dolphin&color=blue", "c"),
        ("/?color=blue", "404"), ("/?animal=shark", "404"), ("/?ANIMAL=whale", "404"),
        ("/path1?animal=whale", "a"),
        ("/?x=1&animal=whale&y", "a"), ("/?animal=whale&animal=dolphin", "a"),
        ("/?animalx=whale", "404"),
        ("/?xanimal=whale", "404"), ("/?animal", "404"), ("/?", "404"), ("/", "404"),
    ])
    func query(_ target: String, _ expected: String) throws {
        func query(_ pairs: KeyValuePairs<String, String>) -> HTTPMatch {
            .any { $0.query = pairs.map { NamedMatch(name: $0.key, value: .exact($0.value)) } }
        }
        let fixture = try RouteFixture([
            .to("a", matches: [query(["animal": "whale"])]),
            .to("b", matches: [query(["animal": "dolphin"])]),
            .to("c", matches: [query(["animal": "dolphin", "color": "blue"])]),
        ])
        #expect(try fixture.outcome(SyntheticRequest(target: target, host: "web")) == expected)
    }

    /// HTTPRouteMethodMatching.
    @Test(
        arguments: [
            ("POST", "/", [:], "a"), ("GET", "/", [:], "b"), ("HEAD", "/", [:], "404"),
            ("GET", "/path1", [:], "a"),
            ("PUT", "/", ["version": "one"], "b"), ("POST", "/path2", ["version": "two"], "c"),
            ("PATCH", "/path3", [:], "c"), ("BREW", "/", [:], "a"),
        ] as [(String, String, KeyValuePairs<String, String>, String)])
    func method(
        _ method: String, _ target: String, _ headers: KeyValuePairs<String, String>, _ expected: String
    ) throws {
        func match(_ method: String, path: String? = nil, version: String? = nil) -> HTTPMatch {
            .any { match in
                match.method = .exact(method)
                match.path = path.map { .prefix($0) }
                match.headers = version.map { [NamedMatch(name: "version", value: .exact($0))] } ?? []
            }
        }
        let fixture = try RouteFixture([
            .to("a", matches: [match("POST")]), .to("b", matches: [match("GET")]),
            .to("a", matches: [match("GET", path: "/path1")]),
            .to("b", matches: [match("PUT", version: "one")]),
            .to("c", matches: [match("POST", path: "/path2", version: "two")]),
            .to("c", matches: [match("PATCH", path: "/path3"), match("POST", path: "/path4")]),
            .to("a", matches: [match("BREW")]),
        ])
        let request = SyntheticRequest(
            method: method, target: target, host: "web", headers: headers.map { ($0.key, $0.value) })
        #expect(try fixture.outcome(request) == expected)
    }

    /// MeshFrontendHostname, HTTPRouteHostnameIntersection: exact before wildcards, longer wildcards before shorter ones,
    /// and any host last.
    @Test(arguments: [
        ("very.specific.com", "a"), ("VERY.specific.com:8080", "a"), ("foo.specific.com", "b"),
        ("x.foo.specific.com", "c"), ("specific.com", "web"), ("foo.specific.com.", "b"),
        ("10.1.2.3", "web"),
        ("[::1]:80", "web"), ("foospecific.com", "web"),
    ])
    func hostnames(_ host: String, _ expected: String) throws {
        let fixture = try RouteFixture([
            .to("web"), .to("c", hosts: ["*.foo.specific.com"]), .to("b", hosts: ["*.specific.com"]),
            .to("a", hosts: ["very.specific.com"]),
        ])
        #expect(try fixture.outcome(SyntheticRequest(host: host)) == expected)
    }

    /// Precedence is one among rules that match: a more specific host name does not hide other rules.
    @Test func hostnamesThatDoNotMatchOtherwiseLeaveTheRequestToOthers() throws {
        let fixture = try RouteFixture([
            .to("a", matches: [.path(.prefix("/a"))], hosts: ["web.shop"]),
            .to("b", matches: [.path(.prefix("/b"))], hosts: ["*.shop"]), .to("c"),
        ])
        #expect(try fixture.outcome(SyntheticRequest(target: "/a", host: "web.shop")) == "a")
        #expect(try fixture.outcome(SyntheticRequest(target: "/b", host: "web.shop")) == "b")
        #expect(try fixture.outcome(SyntheticRequest(target: "/c", host: "web.shop")) == "c")
    }

    /// "Largest number of header matches", then of query parameters, then the order of the rules.
    @Test(
        arguments: [
            ("/p", [:], "a"), ("/p", ["x": "1"], "b"), ("/p?q=1", ["x": "1"], "b"), ("/p?q=1", [:], "c"),
            ("/p?q=1", ["x": "1", "y": "1"], "web"),
        ] as [(String, KeyValuePairs<String, String>, String)])
    func moreConditionsWin(
        _ target: String, _ headers: KeyValuePairs<String, String>, _ expected: String
    ) throws {
        func named(_ names: String...) -> [NamedMatch] {
            names.map { NamedMatch(name: $0, value: .exact("1")) }
        }
        let fixture = try RouteFixture([
            .to("a", matches: [.path(.prefix("/p"))]), .to("b", matches: [.path(.prefix("/p"))]),
            .to("c", matches: [.path(.prefix("/p")) { $0.query = named("q") }]),
            .to("b", matches: [.path(.prefix("/p")) { $0.headers = named("x") }]),
            .to("web", matches: [.path(.prefix("/p")) { $0.headers = named("x", "y") }]),
        ])
        let request = SyntheticRequest(
            target: target, host: "web", headers: headers.map { ($0.key, $0.value) })
        #expect(try fixture.outcome(request) == expected)
    }

    @Test(arguments: [
        ("/users/17", "b"), ("/users/17/x", "a"), ("/users/", "a"), ("/items/aab", "c"),
        ("/items/b", "a"),
        ("/exact/1", "web"),
    ])
    func expressionsComeAfterPrefixesAndBeforeTheCatchAll(_ target: String, _ expected: String) throws {
        let fixture = try RouteFixture([
            .to("a"), .to("b", matches: [.path(.regex("/users/[0-9]+"))]),
            .to("c", matches: [.path(.regex("/items/a+b")), .path(.regex("/exact/.*"))]),
            .to("web", matches: [.path(.prefix("/exact"))]),
        ])
        #expect(try fixture.outcome(SyntheticRequest(target: target, host: "web")) == expected)
    }

    @Test(
        arguments: [
            (["x": "one"], "a"), (["x": "onetwo"], "b"), (["x": "1234"], "c"), (["x": "1234a"], "web"),
            (["x": ""], "web"),
            ([:], "404"),
        ] as [(KeyValuePairs<String, String>, String)])
    func waysToMatchText(_ headers: KeyValuePairs<String, String>, _ expected: String) throws {
        func header(_ value: TextMatch) -> [HTTPMatch] {
            [.any { $0.headers = [NamedMatch(name: "X", value: value)] }]
        }
        let fixture = try RouteFixture(
            [
                .to("a", matches: header(.exact("one"))), .to("b", matches: header(.prefix("one"))),
                .to("c", matches: header(.regex("[0-9]+"))), .to("web", matches: header(.present)),
            ], precedence: .order)
        let request = SyntheticRequest(host: "web", headers: headers.map { ($0.key, $0.value) })
        #expect(try fixture.outcome(request) == expected)
    }

    /// RFC 9110 section 5.3: several lines are one value, joined by commas.
    @Test func repeatedHeadersAreOneValue() throws {
        let fixture = try RouteFixture([
            .to("a", matches: [.any { $0.headers = [NamedMatch(name: "x", value: .exact("1,2"))] }]),
            .to("b", matches: [.any { $0.headers = [NamedMatch(name: "x", value: .exact("1"))] }]),
            .to("c", matches: [.any { $0.headers = [NamedMatch(name: "x", value: .regex("(3,?)+"))] }]),
        ])
        func outcome(_ values: String...) throws -> String {
            try fixture.outcome(SyntheticRequest(host: "web", headers: values.map { ("X", $0) }))
        }
        #expect(try outcome("1", "2") == "a")
        #expect(try outcome("1,2") == "a")
        #expect(try outcome("1") == "b")
        #expect(try outcome("2", "1") == "404")
        #expect(try outcome("3", "3", "3") == "c")
    }

    /// What a rule says is compared in the form that requests' paths are brought to.
    @Test(arguments: [
        ("/a%7cb", "/a|b"), ("/a|b", "/a%7Cb"), ("/%61b", "/ab"), ("/ab", "/%61b"), ("//a//b", "/a/b"),
        ("/caf\u{e9}", "/caf%C3%A9"), ("/a b", "/a%20b"), ("/a/./b", "/a/b"),
    ])
    func pathsOfRulesAreNormalized(_ path: String, _ target: String) throws {
        for match in [PathMatch.exact(path), .prefix(path), .textPrefix(path)] {
            let fixture = try RouteFixture([.to("a", matches: [.path(match)])])
            #expect(try fixture.outcome(SyntheticRequest(target: target, host: "web")) == "a")
        }
    }

    /// GEP-1426: routes of a consumer's namespace replace the service's own for its clients.
    @Test func consumersHaveRulesOfTheirOwn() throws {
        let fixture = try RouteFixture(
            [.to("a")], consumers: ["other": [.to("b", matches: [.path(.prefix("/b"))])]]
        ) { snapshot in
            for namespace in ["other", "shop"] {
                let name = ObjectName(namespace: namespace, name: "client")
                snapshot.workloads[name] = MeshWorkload(name: name, serviceAccount: "client")
            }
        }
        #expect(try fixture.outcome(SyntheticRequest(target: "/b", host: "web", source: 1)) == "b")
        #expect(try fixture.outcome(SyntheticRequest(target: "/c", host: "web", source: 1)) == "404")
        #expect(try fixture.outcome(SyntheticRequest(target: "/b", host: "web", source: 2)) == "a")
        #expect(try fixture.outcome(SyntheticRequest(target: "/b", host: "web", source: 0)) == "a")
    }

    @Test func withoutRulesRequestsGoToTheServiceItself() throws {
        #expect(try RouteFixture([]).outcome(SyntheticRequest(target: "/x", host: "web")) == "web")
    }
}
