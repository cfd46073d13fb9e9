import Mesh
import Testing

@testable import ConfigSources

@Suite("HTTPRoute")
struct HTTPRouteTests {
    private static func match(_ edit: (inout HTTPMatch) -> Void) -> HTTPMatch {
        var match = HTTPMatch()
        edit(&match)
        return match
    }

    @Test(
        "matches",
        arguments: [
            ("{ path: { type: Exact, value: /a } }", match { $0.path = .exact("/a") }),
            ("{ path: { type: PathPrefix, value: /a/ } }", match { $0.path = .prefix("/a/") }),
            ("{ path: { value: /a } }", match { $0.path = .prefix("/a") }),
            ("{ path: {} }", match { $0.path = .prefix("/") }),
            ("{ path: { type: RegularExpression, value: \"/a/[0-9]+\" } }", match { $0.path = .regex("/a/[0-9]+") }),
            ("{ method: GET }", match { $0.method = .exact("GET") }),
            (
                "{ headers: [{ name: X-Env, value: canary }, { name: x-env, value: other }] }",
                match { $0.headers = [NamedMatch(name: "x-env", value: .exact("canary"))] }
            ),
            (
                "{ headers: [{ type: RegularExpression, name: ua, value: \".*Mobile.*\" }] }",
                match { $0.headers = [NamedMatch(name: "ua", value: .regex(".*Mobile.*"))] }
            ),
            (
                "{ queryParams: [{ name: Animal, value: whale }, { type: RegularExpression, name: n, value: \"[0-9]\" }] }",
                match {
                    $0.query = [
                        NamedMatch(name: "Animal", value: .exact("whale")),
                        NamedMatch(name: "n", value: .regex("[0-9]")),
                    ]
                }
            ),
            ("{}", match { _ in }),
        ])
    func matches(_ text: String, _ expected: HTTPMatch) throws {
        let rule = try rule(HTTPMesh.route("{ matches: [\(text)], backendRefs: [{ name: web-v1, port: 80 }] }"))
        #expect(rule.matches == [expected])
        #expect(rule.action == .forward([HTTPMesh.backend("web-v1")]))
    }

    @Test("host names, rule names, weights and the place of each rule")
    func basics() throws {
        let text = HTTPMesh.route(
            """
            { name: first, backendRefs: [{ name: web-v1, port: 80, weight: 90 },
                                         { group: "", kind: Service, name: web-v2, namespace: shop, port: 80, weight: 0 }] },
            { backendRefs: [{ name: web-v2, port: 80 }] }
            """, more: "hostnames: [web.example.com, \"*.example.org\"],")
        let port = try snapshot(HTTPMesh.services + text).port("web", 80)
        let rules = try #require(port.http).rules
        #expect(rules.map(\.title) == ["HTTPRoute shop/web rule first", "HTTPRoute shop/web rule 1"])
        #expect(rules[0].hostnames == ["web.example.com", "*.example.org"])
        #expect(
            rules[0].action
                == .forward([HTTPMesh.backend("web-v1", weight: 90), HTTPMesh.backend("web-v2", weight: 0)]))
        #expect(port.proxyReasons == ["HTTPRoute shop/web"])
    }

    @Test("without rules sends everything nowhere: 500")
    func noRules() throws {
        let text = HTTPMesh.object(
            "gateway.networking.k8s.io/v1beta1", "HTTPRoute", "web", "{ \(HTTPMesh.parent) }")
        #expect(try rule(text).action == .forward([]))
    }

    @Test("header filters of rule and backend")
    func headerFilters() throws {
        let modifier = """
            set: [{ name: X-Set, value: "a b" }], add: [{ name: X-Add, value: c }], remove: [X-Gone]
            """
        let expected = HeaderModification(
            set: [.init(name: "X-Set", value: "a b")], add: [.init(name: "X-Add", value: "c")], remove: ["X-Gone"])
        let rule = try rule(
            HTTPMesh.route(
                """
                { filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { \(modifier) } },
                            { type: ResponseHeaderModifier, responseHeaderModifier: { \(modifier) } }],
                  backendRefs: [{ name: web-v1, port: 80, filters: [
                    { type: RequestHeaderModifier, requestHeaderModifier: { \(modifier) } },
                    { type: ResponseHeaderModifier, responseHeaderModifier: { \(modifier) } }] }] }
                """))
        #expect(rule.requestHeaders == expected)
        #expect(rule.responseHeaders == expected)
        guard case .forward(let backends) = rule.action else {
            Issue.record("\(rule.action)")
            return
        }
        #expect(backends.map(\.requestHeaders) == [expected])
        #expect(backends.map(\.responseHeaders) == [expected])
    }

    private static func redirect(_ edit: (inout HTTPRedirect) -> Void) -> HTTPRedirect {
        var redirect = HTTPRedirect()
        edit(&redirect)
        return redirect
    }

    @Test(
        "redirects",
        arguments: [
            ("{}", redirect { _ in }),
            ("{ statusCode: 301 }", redirect { $0.status = 301 }),
            ("{ statusCode: 303 }", redirect { $0.status = 303 }),
            ("{ statusCode: 307 }", redirect { $0.status = 307 }),
            ("{ statusCode: 308 }", redirect { $0.status = 308 }),
            (
                "{ scheme: https, hostname: example.com, port: 8443 }",
                redirect { ($0.scheme, $0.hostname, $0.port) = ("https", "example.com", 8443) }
            ),
            (
                "{ path: { type: ReplaceFullPath, replaceFullPath: /new } }", redirect { $0.path = .full("/new") }
            ),
            (
                "{ path: { type: ReplacePrefixMatch, replacePrefixMatch: /new } }",
                redirect { $0.path = .prefix("/new") }
            ),
        ])
    func redirects(_ text: String, _ expected: HTTPRedirect) throws {
        let rule = try rule(
            HTTPMesh.route(
                """
                { matches: [{ path: { type: PathPrefix, value: /old } }],
                  filters: [{ type: RequestRedirect, requestRedirect: \(text) }] }
                """))
        #expect(rule.action == .redirect(expected))
    }

    @Test(
        "rewrites",
        arguments: [
            ("{ hostname: example.com }", URLRewrite(hostname: "example.com")),
            ("{ path: { type: ReplaceFullPath, replaceFullPath: /new } }", URLRewrite(path: .full("/new"))),
            ("{ path: { type: ReplacePrefixMatch, replacePrefixMatch: \"/\" } }", URLRewrite(path: .prefix("/"))),
        ])
    func rewrites(_ text: String, _ expected: URLRewrite) throws {
        let filters = "filters: [{ type: URLRewrite, urlRewrite: \(text) }]"
        let rule = try rule(
            HTTPMesh.route(
                "{ matches: [{ path: { value: /old } }], \(filters), backendRefs: [{ name: web-v1, port: 80, \(filters) }] }"
            ))
        #expect(rule.rewrite == expected)
        guard case .forward(let backends) = rule.action else {
            Issue.record("\(rule.action)")
            return
        }
        #expect(backends.map(\.rewrite) == [expected])
    }

    @Test("mirrors: several, by percent and by fraction")
    func mirrors() throws {
        let rule = try rule(
            HTTPMesh.route(
                """
                { filters: [
                    { type: RequestMirror, requestMirror: { backendRef: { name: web-v1, port: 80 } } },
                    { type: RequestMirror, requestMirror: { backendRef: { name: web-v2, port: 80 }, percent: 20 } },
                    { type: RequestMirror, requestMirror: { backendRef: { name: web-v2, port: 80 },
                                                            fraction: { numerator: 1, denominator: 1000 } } },
                    { type: RequestMirror, requestMirror: { backendRef: { name: web-v2, port: 80 },
                                                            fraction: { numerator: 5 } } }],
                  backendRefs: [{ name: web-v1, port: 80 }] }
                """))
        #expect(rule.mirrors.map(\.partsPerMillion) == [1_000_000, 200_000, 1000, 50_000])
        #expect(rule.mirrors.first?.target == .service(HTTPMesh.name("web-v1"), port: 80, subset: nil))
    }

    @Test("CORS")
    func cors() throws {
        let rule = try rule(
            HTTPMesh.route(
                """
                { filters: [{ type: CORS, cors: {
                    allowOrigins: ["https://a.example.com", "https://*.example.com:8443", "http://*"],
                    allowMethods: [GET, POST], allowHeaders: [x-a], exposeHeaders: ["*"], allowCredentials: true,
                    maxAge: 60 } }],
                  backendRefs: [{ name: web-v1, port: 80 }] }
                """))
        var expected = CORSPolicy()
        expected.allowOrigins = [
            .exact("https://a.example.com"), .regex("https://[^/:]+\\.example\\.com:8443"), .regex("http://[^/]+"),
        ]
        expected.allowMethods = ["GET", "POST"]
        expected.allowHeaders = ["x-a"]
        expected.exposeHeaders = ["*"]
        expected.allowCredentials = true
        expected.maxAge = 60
        #expect(rule.cors == expected)
    }

    @Test("timeouts, retry and session persistence")
    func resilience() throws {
        let rule = try rule(
            HTTPMesh.route(
                """
                { timeouts: { request: 1m30s, backendRequest: 500ms },
                  retry: { codes: [500, 503], attempts: 3, backoff: 100ms },
                  sessionPersistence: { sessionName: sid, type: Cookie, absoluteTimeout: 1h,
                                        cookieConfig: { lifetimeType: Permanent } },
                  backendRefs: [{ name: web-v1, port: 80 }] }
                """))
        #expect(rule.timeouts == HTTPTimeouts(request: 90_000, backendRequest: 500))
        let retry = try #require(rule.retry)
        #expect(retry.attempts == 3)
        #expect(retry.statusCodes == [500, 503])
        #expect(retry.conditions == [.connectFailure, .reset, .refusedStream, .retriableStatusCodes])
        #expect(retry.backoffBase == 100 && retry.backoffCap == 1000 && retry.backoffIsMinimum)
        var persistence = SessionPersistence(kind: .cookie(lifetime: 3600), name: "sid")
        persistence.absoluteTimeout = 3600
        #expect(rule.persistence == persistence)
    }

    @Test("a timeout of 0s is none, and session persistence by header has its present form")
    func zeroTimeout() throws {
        let rule = try rule(
            HTTPMesh.route(
                """
                { timeouts: { request: 0s, backendRequest: 10s },
                  sessionPersistence: { type: Header, idleTimeout: 10s, header: { name: X-Session } },
                  backendRefs: [{ name: web-v1, port: 80 }] }
                """))
        #expect(rule.timeouts == HTTPTimeouts(request: nil, backendRequest: 10_000))
        var persistence = SessionPersistence(kind: .header, name: "X-Session")
        persistence.idleTimeout = 10
        #expect(rule.persistence == persistence)
    }

    @Test("applies to every port, or to the one that port or sectionName chooses")
    func ports() throws {
        let rules = "{ backendRefs: [{ name: web-v1, port: 80 }] }"
        func ports(_ choice: String) throws -> [UInt16] {
            let parents = "parentRefs: [{ group: \"\", kind: Service, name: web\(choice) }]"
            return try snapshot(HTTPMesh.services + HTTPMesh.route(rules, parents: parents)).service("shop", "web")
                .ports.filter { $0.http != nil }.map(\.port)
        }
        #expect(try ports("") == [80, 8080])
        #expect(try ports(", port: 8080") == [8080])
        #expect(try ports(", sectionName: http") == [80])
        #expect(try ports(", sectionName: http-admin, port: 8080") == [8080])
    }

    @Test("of one service come in the order of age, then of namespace and name")
    func order() throws {
        let rules = "{ backendRefs: [{ name: web-v1, port: 80 }] }"
        let text =
            HTTPMesh.route(rules, name: "b") + HTTPMesh.route(rules, name: "a")
            + HTTPMesh.route(rules, name: "z", created: "2024-01-01T00:00:00Z")
            + HTTPMesh.route(rules, name: "y", created: "2023-01-01T00:00:00Z")
        let port = try snapshot(HTTPMesh.services + text).port("web", 80)
        #expect(port.http?.rules.map(\.origin.name.name) == ["y", "z", "a", "b"])
        #expect(port.http?.precedence == .specificity)
        #expect(port.proxyReasons == ["y", "z", "a", "b"].map { "HTTPRoute shop/\($0)" })
    }

    @Test("of another namespace than the service's is for that namespace's clients only, in place of the service's own")
    func consumers() throws {
        let parents = "parentRefs: [{ group: \"\", kind: Service, name: web, namespace: shop }]"
        let text =
            HTTPMesh.route("{ backendRefs: [{ name: web-v1, port: 80 }] }")
            + HTTPMesh.route(
                "{ backendRefs: [{ name: web-v2, namespace: shop, port: 80 }] }", name: "mine", parents: parents,
                namespace: "client")
        let routing = try snapshot(HTTPMesh.services + text).routing()
        #expect(routing.rules.map(\.origin.name) == [HTTPMesh.name("web")])
        #expect(routing.consumers.keys.sorted() == ["client"])
        #expect(routing.consumers["client"]?.rules.map(\.action) == [.forward([HTTPMesh.backend("web-v2")])])
        let alone = try snapshot(
            HTTPMesh.services
                + HTTPMesh.route("{}", name: "mine", parents: parents, namespace: "client")
        ).routing()
        #expect(alone.rules.map(\.action) == [.forward([HTTPMesh.backend("web")])])
        #expect(alone.rules.map(\.origin) == [ObjectKey(.service, HTTPMesh.name("web"))])
    }

    @Test("in the form that kubectl prints")
    func kubectl() throws {
        let text = """
            ---
            apiVersion: v1
            kind: List
            metadata: { resourceVersion: "" }
            items:
            - apiVersion: gateway.networking.k8s.io/v1
              kind: HTTPRoute
              metadata:
                annotations:
                  kubectl.kubernetes.io/last-applied-configuration: |
                    {"apiVersion":"gateway.networking.k8s.io/v1"}
                creationTimestamp: "2025-02-03T04:05:06Z"
                generation: 3
                managedFields:
                - apiVersion: gateway.networking.k8s.io/v1
                  fieldsType: FieldsV1
                  fieldsV1: { f:spec: { .: {}, f:rules: {} } }
                  manager: kubectl
                  operation: Update
                name: web
                namespace: shop
                resourceVersion: "4711"
                uid: 0a0a0a0a-0000-4000-8000-000000000000
              spec:
                parentRefs:
                - group: ""
                  kind: Service
                  name: web
                  port: 80
                rules:
                - backendRefs:
                  - group: ""
                    kind: Service
                    name: web-v1
                    port: 80
                    weight: 1
                  matches:
                  - path:
                      type: PathPrefix
                      value: /
              status:
                parents:
                - conditions:
                  - lastTransitionTime: "2025-02-03T04:05:06Z"
                    message: ""
                    observedGeneration: 3
                    reason: Accepted
                    status: "True"
                    type: Accepted
                  controllerName: example.com/other
                  parentRef: { group: "", kind: Service, name: web, port: 80 }
            """
        let outcome = try load(HTTPMesh.services + text)
        #expect(outcome.errors.map(\.description) == [])
        let status = try #require(outcome.status(.httpRoute, "shop", "web"))
        #expect(status.parents.count == 1)
        #expect(status[.accepted]?.observedGeneration == 3)
    }
}
