import Mesh
import Testing

@testable import Proxy

/// What a backend gets of a request.
@Suite struct RequestHeadTests {
    @Test func unchangedLinesKeepTheirOrderAndCase() throws {
        let request = SyntheticRequest(
            method: "POST", target: "/x?y=1", host: "WEB",
            headers: [
                ("X-One", "1"), ("Content-Length", "3"), ("user-agent", "curl"), ("X-ONE", " 2"), ("cookie", "a=b"),
            ])
        #expect(
            try RouteFixture([.to("a")]).forwarded(request, framing: .length(3)) == """
                POST /x?y=1 HTTP/1.1\r
                Host: WEB\r
                X-One: 1\r
                Content-Length: 3\r
                user-agent: curl\r
                X-ONE:  2\r
                cookie: a=b\r
                \r

                """)
    }

    /// linkerd's http1_removes_connection_headers; RFC 9110 section 7.6.1.
    @Test func fieldsOfTheConnectionAreRemoved() throws {
        let request = SyntheticRequest(
            host: "web",
            headers: [
                ("Connection", "close, X-Hop ,x-other"), ("x-hop", "1"), ("Keep-Alive", "timeout=5"),
                ("Proxy-Connection", "keep-alive"), ("X-Kept", "1"), ("X-Other", "2"), ("X-Othe", "3"),
                ("Upgrade", "websocket"), ("TE", "gzip"),
            ])
        #expect(
            try RouteFixture([.to("a")]).forwarded(request)
                == "GET / HTTP/1.1\r\nHost: web\r\nX-Kept: 1\r\nX-Othe: 3\r\n\r\n")
    }

    @Test func trailersAndUpgradesAreAnnounced() throws {
        let fixture = try RouteFixture([.to("a")])
        let trailers = SyntheticRequest(host: "web", headers: [("TE", "trailers"), ("Connection", "TE")])
        #expect(
            try fixture.forwarded(trailers)
                == "GET / HTTP/1.1\r\nHost: web\r\nte: trailers\r\nconnection: te\r\n\r\n")
        let upgrade = SyntheticRequest(host: "web", headers: [("Connection", "Upgrade"), ("Upgrade", "websocket")])
        #expect(
            try fixture.forwarded(upgrade, connection: .upgrade)
                == "GET / HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        #expect(try fixture.forwarded(upgrade) == "GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        #expect(try fixture.forwarded(upgrade, connection: .close).hasSuffix("web\r\nconnection: close\r\n\r\n"))
    }

    @Test(
        arguments: [
            ("Content-Length: 5", BodyFraming.length(5), "Content-Length: 5"),
            ("Content-Length: 0", .length(0), "Content-Length: 0"),
            ("Content-Length: 5", .chunked, "transfer-encoding: chunked"),
            ("Transfer-Encoding: Chunked", .chunked, "Transfer-Encoding: Chunked"),
            ("Transfer-Encoding: chunked", .length(17), "content-length: 17"),
            ("Content-Length: 5", .length(6), "content-length: 6"), ("Content-Length: 5", .none, nil),
            ("X: y", .length(18_446_744_073_709_551_615), "X: y\r\ncontent-length: 18446744073709551615"),
        ] as [(String, BodyFraming, String?)])
    func framing(_ line: String, _ framing: BodyFraming, _ expected: String?) throws {
        let parts = line.split(separator: ": ").map(String.init)
        let request = SyntheticRequest(method: "POST", host: "web", headers: [(parts[0], parts[1])])
        #expect(
            try RouteFixture([.to("a")]).forwarded(request, framing: framing)
                == "POST / HTTP/1.1\r\nHost: web\r\n" + (expected.map { $0 + "\r\n" } ?? "") + "\r\n")
    }

    /// HTTPRouteRequestHeaderModifier.
    @Test(
        arguments: [
            (["Some-Other": "val"], ["Some-Other: val", "X-Header-Set: set-overwrites-values", "X-Header-Add: added"]),
            (
                ["X-Header-Set": "some-other-value", "X-Header-Add": "original", "x-header-remove": "x", "Z": "z"],
                ["X-Header-Add: original", "Z: z", "X-Header-Set: set-overwrites-values", "X-Header-Add: added"]
            ),
            (
                ["x-HEADER-set": "1", "X-HEADER-SET": "2"],
                ["X-Header-Set: set-overwrites-values", "X-Header-Add: added"]
            ),
        ] as [(KeyValuePairs<String, String>, [String])])
    func modifiedHeaders(_ headers: KeyValuePairs<String, String>, _ expected: [String]) throws {
        let rule = HTTPRule.to("a").with {
            $0.requestHeaders = HeaderModification(
                set: [.init(name: "X-Header-Set", value: "set-overwrites-values")],
                add: [.init(name: "X-Header-Add", value: "added")], remove: ["X-Header-Remove"])
        }
        let request = SyntheticRequest(host: "web", headers: headers.map { ($0.key, $0.value) })
        #expect(
            try RouteFixture([rule]).forwarded(request)
                == (["GET / HTTP/1.1", "Host: web"] + expected + ["", ""]).joined(separator: "\r\n"))
    }

    /// HTTPRouteBackendRequestHeaderModifier: the rule's first, then the backend's.
    @Test func backendsModifyWhatTheRuleModified() throws {
        let rule = HTTPRule.to("a", "b").with { rule in
            rule.requestHeaders = HeaderModification(
                set: [.init(name: "x-set", value: "rule")], add: [.init(name: "x-add", value: "rule")])
            guard case .forward(var backends) = rule.action else { return }
            backends[1].requestHeaders = HeaderModification(
                set: [.init(name: "X-Set", value: "backend")], add: [.init(name: "X-Add", value: "backend")],
                remove: ["cookie"])
            rule.action = .forward(backends)
        }
        let fixture = try RouteFixture([rule])
        let request = SyntheticRequest(host: "web", headers: [("Cookie", "c")])
        #expect(
            try fixture.forwarded(request, random: 0)
                == "GET / HTTP/1.1\r\nHost: web\r\nCookie: c\r\nx-set: rule\r\nx-add: rule\r\n\r\n")
        #expect(
            try fixture.forwarded(request, random: .max)
                == "GET / HTTP/1.1\r\nHost: web\r\nx-add: rule\r\nX-Set: backend\r\nX-Add: backend\r\n\r\n")
    }

    @Test func configuredFieldsCannotBreakTheMessage() throws {
        let rule = HTTPRule.to("a").with {
            $0.requestHeaders = HeaderModification(
                set: [
                    .init(name: "x-a", value: "1\r\nEvil: 1"), .init(name: "bad name", value: "1"),
                    .init(name: "Transfer-Encoding", value: "chunked"), .init(name: "content-length", value: "9"),
                    .init(name: "x-b", value: "ok"), .init(name: "connection", value: "upgrade"),
                ], add: [.init(name: "", value: "1"), .init(name: "x:c", value: "1")],
                remove: ["host", "content-length"])
            $0.rewrite = URLRewrite(hostname: "evil\r\nX: y", path: .full("/a b\r\nX: y"))
        }
        let request = SyntheticRequest(host: "web", headers: [("Content-Length", "2")])
        #expect(
            try RouteFixture([rule]).forwarded(request, framing: .length(2)) == """
                GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\nx-b: ok\r\n\r\n
                """)
    }

    /// HTTPRouteRewriteHost; `set` of Host (Istio) goes before it.
    @Test func hosts() throws {
        let rewrite = HTTPRule.to("a").with { $0.rewrite = URLRewrite(hostname: "one.example.org") }
        #expect(
            try RouteFixture([rewrite]).forwarded(SyntheticRequest(host: "web:80", headers: [("a", "b")]))
                == "GET / HTTP/1.1\r\nHost: one.example.org\r\na: b\r\n\r\n")
        let set = rewrite.with { $0.requestHeaders.set = [.init(name: "HOST", value: "two.example.org:8080")] }
        #expect(
            try RouteFixture([set]).forwarded(SyntheticRequest(host: "web"))
                == "GET / HTTP/1.1\r\nHost: two.example.org:8080\r\n\r\n")
    }

    /// RFC 9112 section 3.2.2: an absolute target's authority is the host, whatever Host says.
    @Test(arguments: [
        ("http://Other:81/x?y", "/x?y"), ("http://Other:81", "/"), ("http://Other:81?y", "/?y"),
        ("http://Other:81/a/../b//c", "/b/c"),
    ])
    func absoluteTargets(_ target: String, _ expected: String) throws {
        #expect(
            try RouteFixture([.to("a")]).forwarded(SyntheticRequest(target: target, host: "web"))
                == "GET \(expected) HTTP/1.1\r\nHost: Other:81\r\n\r\n")
    }

    @Test(arguments: ["*", "http://web"])
    func optionsOfTheServer(_ target: String) throws {
        let request = SyntheticRequest(method: "OPTIONS", target: target, host: "web")
        #expect(try RouteFixture([.to("a")]).forwarded(request) == "OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n")
    }

    @Test func ownLinesComeLast() throws {
        let rule = HTTPRule.to("a").with { $0.requestHeaders.set = [.init(name: "x", value: "1")] }
        #expect(
            try RouteFixture([rule]).forwarded(SyntheticRequest(host: "web"), extra: "x-request-id: 7\r\n")
                == "GET / HTTP/1.1\r\nHost: web\r\nx: 1\r\nx-request-id: 7\r\n\r\n")
    }

    /// The specification's table for `ReplacePrefixMatch`, and HTTPRouteRewritePath.
    @Test(arguments: [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"), ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"), ("/foo", "/foo", "", "/"), ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/"),
        ("/prefix/one/two", "/prefix/one", "/one", "/one/two"), ("/a?b=c", "/a", "/d", "/d?b=c"),
        ("/x", "/", "/y", "/y/x"), ("/", "/", "/y", "/y/"), ("/foo", "/foo", "/xyz/", "/xyz"),
    ])
    func replacedPrefixes(_ target: String, _ prefix: String, _ replacement: String, _ expected: String) throws {
        let rule = HTTPRule.to("a", matches: [.path(.prefix(prefix))]).with {
            $0.rewrite = URLRewrite(path: .prefix(replacement))
        }
        #expect(
            try RouteFixture([rule]).forwarded(SyntheticRequest(target: target, host: "web"))
                == "GET \(expected) HTTP/1.1\r\nHost: web\r\n\r\n")
    }

    /// Istio's `rewrite.uri` and `uriRegexRewrite`; the full replacement of the Gateway API.
    @Test(arguments: [
        (PathMatch.textPrefix("/foo"), PathModification.prefix("/bar"), "/foobar", "/barbar"),
        (.textPrefix("/foo/"), .prefix("/"), "/foo/x", "/x"), (.textPrefix("/foo"), .prefix("/"), "/foo/x", "/x"),
        (.textPrefix("/foo"), .prefix("/"), "/foo", "/"), (.exact("/foo"), .prefix("/bar/"), "/foo", "/bar/"),
        (.regex("/f.*"), .prefix("/bar"), "/foo/x", "/bar"), (.prefix("/foo"), .full("/one"), "/foo/x?q", "/one?q"),
        (.prefix("/"), .regex("/users/([0-9]+)/(.*)", substitution: "/\\2/of/\\1"), "/users/7/a?b", "/a/of/7?b"),
        (.prefix("/"), .regex("o", substitution: "0"), "/foo", "/f00"),
        (.prefix("/"), .regex("^/", substitution: ""), "/foo", "/foo"),
        (.prefix("/"), .regex("nothing", substitution: "x"), "/foo", "/foo"),
    ])
    func otherRewrites(
        _ path: PathMatch, _ modification: PathModification, _ target: String, _ expected: String
    ) throws {
        let rule = HTTPRule.to("a", matches: [.path(path)]).with { $0.rewrite = URLRewrite(path: modification) }
        #expect(
            try RouteFixture([rule]).forwarded(SyntheticRequest(target: target, host: "web"))
                == "GET \(expected) HTTP/1.1\r\nHost: web\r\n\r\n")
    }

    @Test func whatIsForwardedIsTheNormalPath() throws {
        let fixture = try RouteFixture([.to("a", matches: [.path(.exact("/a/b"))])])
        #expect(
            try fixture.forwarded(SyntheticRequest(target: "//a/./c/../%62", host: "web"))
                == "GET /a/b HTTP/1.1\r\nHost: web\r\n\r\n")
    }
}
