import Mesh
import Proxy
import Testing

/// What Istio's `HTTPMatchRequest` says of a request.
@Suite struct VirtualServiceMatchingTests {
    @Test func theFirstRuleThatMatchesWins() throws {
        let fixture = try RouteFixture(
            [
                .to("a", matches: [.path(.textPrefix("/a"))]), .to("b", matches: [.path(.exact("/a/b"))]),
                .to("c"),
                .to("web", matches: [.path(.exact("/c"))]),
            ], precedence: .order)
        #expect(try fixture.outcome(SyntheticRequest(target: "/a/b", host: "web")) == "a")
        #expect(try fixture.outcome(SyntheticRequest(target: "/abc", host: "web")) == "a")
        #expect(try fixture.outcome(SyntheticRequest(target: "/c", host: "web")) == "c")
    }

    @Test(arguments: [
        ("/API/x", "a"), ("/api", "a"), ("/EXACT", "b"), ("/eXaCt", "b"), ("/TEXTS", "c"),
        ("/RE/1", "web"),
    ])
    func pathsInAnyCase(_ target: String, _ expected: String) throws {
        func match(_ path: PathMatch) -> [HTTPMatch] { [.path(path) { $0.ignoresPathCase = true }] }
        for precedence in [HTTPRouting.Precedence.order, .specificity] {
            let fixture = try RouteFixture(
                [
                    .to("a", matches: match(.prefix("/Api"))), .to("b", matches: match(.exact("/Exact"))),
                    .to("c", matches: match(.textPrefix("/tEXT"))),
                    .to("web", matches: match(.regex("/re/[0-9]"))),
                ], precedence: precedence)
            #expect(try fixture.outcome(SyntheticRequest(target: target, host: "web")) == expected)
        }
    }

    @Test func headersThatMustNotMatch() throws {
        let match = HTTPMatch.any { $0.withoutHeaders = [NamedMatch(name: "x", value: .exact("1"))] }
        let fixture = try RouteFixture([.to("a", matches: [match]), .to("b")], precedence: .order)
        #expect(try fixture.outcome(SyntheticRequest(host: "web")) == "a")
        #expect(try fixture.outcome(SyntheticRequest(host: "web", headers: [("X", "2")])) == "a")
        #expect(try fixture.outcome(SyntheticRequest(host: "web", headers: [("X", "1")])) == "b")
    }

    @Test(arguments: [
        (TextMatch.exact("Foo.example"), "foo.EXAMPLE", "a"),
        (.exact("foo.example"), "foo.example:80", "a"),
        (.exact("foo.example:80"), "foo.example:80", "a"),
        (.exact("foo.example"), "bar.example", "404"),
        (.prefix("foo."), "foo.example", "a"), (.regex("(foo|bar)\\.example"), "bar.example:8080", "a"),
    ])
    func authority(_ match: TextMatch, _ host: String, _ expected: String) throws {
        let fixture = try RouteFixture(
            [.to("a", matches: [.any { $0.authority = match }])], precedence: .order)
        #expect(try fixture.outcome(SyntheticRequest(host: host)) == expected)
    }

    @Test func scheme() throws {
        let fixture = try RouteFixture(
            [.to("a", matches: [.any { $0.scheme = .exact("HTTPS") }]), .to("b")], precedence: .order)
        var request = SyntheticRequest(host: "web")
        #expect(try fixture.outcome(request) == "b")
        request.isSecure = true
        #expect(try fixture.outcome(request) == "a")
    }

    @Test func sources() throws {
        let fixture = try RouteFixture(
            [
                .to(
                    "a",
                    matches: [
                        .any {
                            $0.sourceLabels = ["app": "client"]
                            $0.sourceNamespace = "shop"
                        }
                    ]),
                .to("b", matches: [.any { $0.sourceNamespace = "other" }]),
                .to("c", matches: [.any { $0.sourceLabels = ["app": "client", "version": "v2"] }]),
            ], precedence: .order
        ) { snapshot in
            for (namespace, labels) in [
                ("other", ["app": "client"]), ("shop", ["app": "client", "version": "v1"]),
                ("third", ["app": "client", "version": "v2"]), ("zero", [:]),
            ] {
                let name = ObjectName(namespace: namespace, name: "w")
                snapshot.workloads[name] = MeshWorkload(name: name, serviceAccount: "sa", labels: labels)
            }
        }
        let outcomes = try (0...5).map {
            try fixture.outcome(SyntheticRequest(host: "web", source: $0))
        }
        #expect(outcomes == ["404", "b", "a", "c", "404", "404"])
    }
}
