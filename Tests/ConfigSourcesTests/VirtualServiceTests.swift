import Mesh
import Testing

@testable import ConfigSources

@Suite("VirtualService")
struct VirtualServiceTests {
    private static let to = "route: [{ destination: { host: web-v1 } }]"

    private static func match(_ edit: (inout HTTPMatch) -> Void) -> HTTPMatch {
        var match = HTTPMatch()
        edit(&match)
        return match
    }

    @Test(
        "matches",
        arguments: [
            ("{ uri: { exact: /a } }", match { $0.path = .exact("/a") }),
            ("{ uri: { prefix: /a } }", match { $0.path = .textPrefix("/a") }),
            (
                "{ uri: { regex: \"/a.*\" }, ignoreUriCase: true }",
                match { ($0.path, $0.ignoresPathCase) = (.regex("/a.*"), true) }
            ),
            ("{ uri: {} }", match { _ in }),
            ("{ scheme: { exact: http } }", match { $0.scheme = .exact("http") }),
            ("{ method: { regex: \"GET|HEAD\" } }", match { $0.method = .regex("GET|HEAD") }),
            ("{ authority: { prefix: web } }", match { $0.authority = .prefix("web") }),
            (
                "{ headers: { End-User: { exact: jason }, cookie: { regex: \".*a.*\" }, x-any: {} } }",
                match {
                    $0.headers = [
                        NamedMatch(name: "cookie", value: .regex(".*a.*")),
                        NamedMatch(name: "end-user", value: .exact("jason")),
                        NamedMatch(name: "x-any", value: .present),
                    ]
                }
            ),
            (
                "{ withoutHeaders: { x-a: {} } }",
                match { $0.withoutHeaders = [NamedMatch(name: "x-a", value: .present)] }
            ),
            (
                "{ queryParams: { Debug: { exact: \"1\" } } }",
                match { $0.query = [NamedMatch(name: "Debug", value: .exact("1"))] }
            ),
            (
                "{ sourceLabels: { app: a }, sourceNamespace: client, name: x, statPrefix: y, gateways: [mesh, other] }",
                match { ($0.sourceLabels, $0.sourceNamespace) = (["app": "a"], "client") }
            ),
        ])
    func matches(_ text: String, _ expected: HTTPMatch) throws {
        let rule = try ConfigSourcesTests.rule(HTTPMesh.virtualService("{ match: [\(text)], \(Self.to) }"))
        #expect(rule.matches == [expected])
        #expect(rule.action == .forward([HTTPMesh.backend("web-v1")]))
        #expect(rule.origin == ObjectKey(.virtualService, HTTPMesh.name("web")))
    }

    @Test("in the shape of Istio's documentation: subsets by header, weights, timeout, retries, fault")
    func documentation() throws {
        let text =
            HTTPMesh.destinationRule(
                "subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]")
            + HTTPMesh.virtualService(
                """
                { name: jason,
                  match: [{ headers: { end-user: { exact: jason } } }],
                  fault: { delay: { percentage: { value: 0.1 }, fixedDelay: 7s },
                           abort: { percentage: { value: 100 }, httpStatus: 500 } },
                  route: [{ destination: { host: web, subset: v2 } }] },
                { timeout: 0.5s,
                  retries: { attempts: 3, perTryTimeout: 2s, retryOn: "gateway-error,connect-failure,refused-stream,429" },
                  route: [{ destination: { host: web.shop.svc.cluster.local, subset: v1 }, weight: 75 },
                          { destination: { host: web.shop, subset: v2, port: { number: 8080 } }, weight: 25 }] }
                """)
        let snapshot = try snapshot(HTTPMesh.services + text)
        let routing = try snapshot.routing()
        #expect(routing.precedence == .order)
        #expect(routing.rules.map(\.name) == ["jason", nil])
        #expect(routing.rules[0].action == .forward([HTTPMesh.backend("web", subset: "v2")]))
        #expect(
            routing.rules[0].fault
                == HTTPFault(
                    delay: .init(milliseconds: 7000, partsPerMillion: 1000), abort: .init(status: 500)))
        #expect(
            routing.rules[1].action
                == .forward([
                    HTTPMesh.backend("web", subset: "v1", weight: 75),
                    HTTPMesh.backend("web", port: 8080, subset: "v2", weight: 25),
                ]))
        #expect(routing.rules[1].timeouts == HTTPTimeouts(request: 500))
        let retry = try #require(routing.rules[1].retry)
        #expect(retry.attempts == 3 && retry.perTryTimeout == 2000)
        #expect(retry.conditions == [.gatewayError, .connectFailure, .refusedStream, .retriableStatusCodes])
        #expect(retry.statusCodes == [429])
        // Without a port the destination has the one that the client connected to.
        #expect(
            try snapshot.routing(port: 8080).rules[0].action
                == .forward([HTTPMesh.backend("web", port: 8080, subset: "v2")]))
        #expect(try snapshot.service("shop", "web").subsets.map(\.labels) == [["version": "v1"], ["version": "v2"]])
        #expect(try snapshot.port("web", 80).proxyReasons == ["VirtualService shop/web"])
    }

    @Test("has Istio's retries where it says nothing, and none with attempts: 0")
    func retries() throws {
        let standard = try #require(try ConfigSourcesTests.rule(HTTPMesh.virtualService("{ \(Self.to) }")).retry)
        #expect(standard.attempts == 2)
        #expect(
            standard.conditions == [
                .connectFailure, .refusedStream, .grpcUnavailable, .grpcCancelled, .retriableStatusCodes,
            ])
        #expect(standard.statusCodes == [503])
        #expect(
            try ConfigSourcesTests.rule(HTTPMesh.virtualService("{ retries: { attempts: 0 }, \(Self.to) }")).retry
                == nil)
        #expect(try ConfigSourcesTests.rule(HTTPMesh.virtualService("{ redirect: { uri: /a } }")).retry == nil)
    }

    private static let conditionNames: [(String, RetryPolicy.Conditions)] = [
        ("5xx", RetryPolicy.Conditions.serverError), ("gateway-error", .gatewayError), ("reset", .reset),
        ("reset-before-request", .resetBeforeRequest), ("connect-failure", .connectFailure),
        ("refused-stream", .refusedStream), ("retriable-4xx", .retriable4xx),
        ("retriable-status-codes", .retriableStatusCodes), ("envoy-ratelimited", .rateLimited),
        ("cancelled", .grpcCancelled), ("deadline-exceeded", .grpcDeadlineExceeded), ("internal", .grpcInternal),
        ("resource-exhausted", .grpcResourceExhausted), ("unavailable", .grpcUnavailable),
        ("503, reset", [.retriableStatusCodes, .reset]),
    ]

    @Test("every condition for retries", arguments: conditionNames)
    func conditions(_ text: String, _ expected: RetryPolicy.Conditions) throws {
        let rule = try ConfigSourcesTests.rule(
            HTTPMesh.virtualService("{ retries: { attempts: 1, retryOn: \"\(text)\" }, \(Self.to) }"))
        #expect(rule.retry?.conditions == expected)
    }

    private static func redirect(_ edit: (inout HTTPRedirect) -> Void) -> HTTPRedirect {
        var redirect = HTTPRedirect()
        redirect.status = 301
        edit(&redirect)
        return redirect
    }

    @Test(
        "redirects",
        arguments: [
            (
                "{ uri: /new, authority: example.com }",
                redirect { ($0.path, $0.hostname) = (.full("/new"), "example.com") }
            ),
            (
                "{ authority: \"example.com:8080\", redirectCode: 307 }",
                redirect { ($0.hostname, $0.port, $0.status) = ("example.com", 8080, 307) }
            ),
            ("{ scheme: https, port: 8443 }", redirect { ($0.scheme, $0.port) = ("https", 8443) }),
            (
                "{ scheme: https, derivePort: FROM_PROTOCOL_DEFAULT }",
                redirect { ($0.scheme, $0.port) = ("https", 443) }
            ),
            ("{ derivePort: FROM_PROTOCOL_DEFAULT }", redirect { $0.port = 80 }),
            ("{ derivePort: FROM_REQUEST_PORT }", redirect { _ in }),
            ("{ prefixRewrite: /new }", redirect { $0.path = .prefix("/new") }),
        ])
    func redirects(_ text: String, _ expected: HTTPRedirect) throws {
        #expect(
            try ConfigSourcesTests.rule(HTTPMesh.virtualService("{ redirect: \(text) }")).action == .redirect(expected))
    }

    @Test(
        "rewrites",
        arguments: [
            ("{ uri: /new }", URLRewrite(path: .prefix("/new"))),
            ("{ authority: a.example.com }", URLRewrite(hostname: "a.example.com")),
            (
                "{ uriRegexRewrite: { match: \"^/a/([^/]+)(/.*)$\", rewrite: \"/b\\\\2/\\\\1\" } }",
                URLRewrite(path: .regex("^/a/([^/]+)(/.*)$", substitution: "/b\\2/\\1"))
            ),
        ])
    func rewrites(_ text: String, _ expected: URLRewrite) throws {
        #expect(
            try ConfigSourcesTests.rule(HTTPMesh.virtualService("{ rewrite: \(text), \(Self.to) }")).rewrite == expected
        )
    }

    @Test("direct responses, with text or bytes")
    func responses() throws {
        #expect(
            try ConfigSourcesTests.rule(
                HTTPMesh.virtualService("{ directResponse: { status: 503, body: { string: later } } }")
            ).action
                == .respond(DirectResponse(status: 503, body: "later")))
        #expect(
            try ConfigSourcesTests.rule(
                HTTPMesh.virtualService("{ directResponse: { status: 200, body: { bytes: aGVsbG8= } } }")
            ).action
                == .respond(DirectResponse(status: 200, body: "hello")))
    }

    @Test("mirrors: one with a percentage, or several")
    func mirrors() throws {
        let one = try ConfigSourcesTests.rule(
            HTTPMesh.virtualService("{ mirror: { host: web-v2 }, mirrorPercentage: { value: 12.5 }, \(Self.to) }"))
        #expect(
            one.mirrors == [
                HTTPMirror(target: .service(HTTPMesh.name("web-v2"), port: 80, subset: nil), partsPerMillion: 125_000)
            ])
        let several = try ConfigSourcesTests.rule(
            HTTPMesh.virtualService(
                "{ mirrors: [{ destination: { host: web-v2 }, percentage: { value: 1 } }, { destination: { host: web-v1 } }], \(Self.to) }"
            ))
        #expect(several.mirrors.map(\.partsPerMillion) == [10_000, 1_000_000])
    }

    @Test("headers of rule and destination; Host is the authority")
    func headers() throws {
        let rule = try ConfigSourcesTests.rule(
            HTTPMesh.virtualService(
                """
                { headers: { request: { set: { x-a: "1", Host: a.example.com }, add: { x-b: "2" }, remove: [x-c] },
                             response: { remove: [server] } },
                  route: [{ destination: { host: web-v1 }, headers: { response: { set: { x-d: "" } } } }] }
                """))
        #expect(
            rule.requestHeaders
                == HeaderModification(
                    set: [.init(name: "x-a", value: "1")], add: [.init(name: "x-b", value: "2")], remove: ["x-c"]))
        #expect(rule.responseHeaders == HeaderModification(remove: ["server"]))
        #expect(rule.rewrite == URLRewrite(hostname: "a.example.com"))
        guard case .forward(let backends) = rule.action else {
            Issue.record("\(rule.action)")
            return
        }
        #expect(backends.map(\.responseHeaders) == [HeaderModification(set: [.init(name: "x-d", value: "")])])
    }

    @Test("CORS")
    func cors() throws {
        let rule = try ConfigSourcesTests.rule(
            HTTPMesh.virtualService(
                """
                { corsPolicy: { allowOrigins: [{ exact: "https://a.com" }, { regex: "https://.*" }], allowMethods: [GET],
                                allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 24h, allowCredentials: true }, \(Self.to) }
                """))
        var expected = CORSPolicy()
        expected.allowOrigins = [.exact("https://a.com"), .regex("https://.*")]
        (expected.allowMethods, expected.allowHeaders, expected.exposeHeaders) = (["GET"], ["x-a"], ["x-b"])
        (expected.maxAge, expected.allowCredentials) = (86_400, true)
        #expect(rule.cors == expected)
        let any = try ConfigSourcesTests.rule(
            HTTPMesh.virtualService("{ corsPolicy: { allowOrigin: [\"*\"] }, \(Self.to) }"))
        #expect(any.cors?.allowsAnyOrigin == true)
    }

    @Test("a match's port chooses the port of the service")
    func ports() throws {
        let snapshot = try snapshot(
            HTTPMesh.services
                + HTTPMesh.virtualService(
                    """
                    { match: [{ port: 80, uri: { exact: /a } }, { port: 8080, uri: { exact: /b } }], \(Self.to) },
                    { match: [{ port: 80 }], redirect: { uri: /c } }
                    """))
        #expect(try snapshot.routing(port: 80).rules.map(\.matches.count) == [1, 1])
        #expect(try snapshot.routing(port: 8080).rules.map(\.matches.first?.path) == [.exact("/b")])
    }

    // MARK: - Conditions

    private func status(_ text: String, _ name: String = "web") throws -> (ObjectStatus, MeshSnapshot) {
        let outcome = try load(HTTPMesh.services + text)
        #expect(outcome.errors.map(\.description) == [])
        return (try #require(outcome.status(.virtualService, "shop", name)), try #require(outcome.snapshot))
    }

    @Test("an HTTPRoute of the same service is in force, and the VirtualService is not")
    func routeWins() throws {
        let (status, snapshot) = try status(
            HTTPMesh.virtualService("{ \(Self.to) }")
                + HTTPMesh.route("{ backendRefs: [{ name: web-v2, port: 80 }] }", name: "route"))
        #expect(status[.accepted]?.reason == "Conflicted")
        #expect(status[.accepted]?.message == "HTTPRoute shop/route is in force for Service shop/web")
        #expect(try snapshot.routing().rules.map(\.action) == [.forward([HTTPMesh.backend("web-v2")])])
    }

    @Test("without hosts it is a delegate: said, and nothing else is refused")
    func delegate() throws {
        let (status, _) = try status(
            HTTPMesh.object("networking.istio.io/v1", "VirtualService", "web", "{ http: [{ \(Self.to) }] }"))
        #expect(status[.accepted]?.message == "without hosts it is a delegate, and delegates are not supported")
    }

    @Test("of two the oldest is in force")
    func two() throws {
        let (status, snapshot) = try status(
            HTTPMesh.virtualService("{ \(Self.to) }")
                + HTTPMesh.virtualService("{ redirect: { uri: /a } }", name: "old", created: "2020-01-01T00:00:00Z"))
        #expect(status[.accepted]?.message == "VirtualService shop/old is in force for Service shop/web")
        #expect(try snapshot.routing().rules.map(\.origin.name.name) == ["old"])
    }

    @Test("with exportTo \".\" is for clients of its own namespace only")
    func exportTo() throws {
        let snapshot = try snapshot(
            HTTPMesh.services
                + HTTPMesh.virtualService(
                    "{ route: [{ destination: { host: web-v1.shop } }] }", hosts: "[web.shop]",
                    more: "exportTo: [\".\"],",
                    namespace: "client"))
        let routing = try snapshot.routing()
        #expect(routing.rules.map(\.action) == [.forward([HTTPMesh.backend("web")])])
        #expect(routing.consumers["client"]?.precedence == .order)
        #expect(routing.consumers["client"]?.rules.map(\.action) == [.forward([HTTPMesh.backend("web-v1")])])
    }

    @Test(
        "what has no effect says so",
        arguments: [
            (
                "gateways: [ingress],", to, Condition.Kind.accepted, "UnsupportedValue",
                "gateways are not supported: it has no effect on ingress"
            ),
            (
                "gateways: [mesh, a/b],", to, .partiallyInvalid, "UnsupportedValue",
                "gateways are not supported: it has no effect on a/b"
            ),
            (
                "tcp: [{ route: [{ destination: { host: web } }] }],", to, .partiallyInvalid, "UnsupportedValue",
                "spec.tcp is not supported: only requests of HTTP are routed"
            ),
            (
                "", "delegate: { name: other }", .partiallyInvalid, "UnsupportedValue",
                "spec.http[0]: delegate is not supported (requests get 500)"
            ),
            (
                "", "route: [{ destination: { host: web, subset: v9 } }]", .resolvedRefs, "BackendNotFound",
                "no DestinationRule gives Service shop/web a subset \"v9\""
            ),
            (
                "", "route: [{ destination: { host: lost } }]", .resolvedRefs, "BackendNotFound",
                "Service shop/lost does not exist"
            ),
            (
                "", "route: [{ destination: { host: www.example.com } }]", .resolvedRefs, "BackendNotFound",
                "the destination \"www.example.com\" is not a Service: write NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc.cluster.local"
            ),
            (
                "exportTo: [other],", to, .partiallyInvalid, "UnsupportedValue",
                "spec.exportTo: only \"*\" and \".\" are supported: it holds for its own namespace"
            ),
            (
                "", "match: [{ gateways: [ingress] }], \(to)", .accepted, "UnsupportedValue",
                "it has no rule that applies to HTTP requests in the mesh"
            ),
            (
                "", "fault: { delay: { exponentialDelay: 1s } }, \(to)", .partiallyInvalid, "UnsupportedValue",
                "spec.http[0].fault.delay.exponentialDelay is not supported: use fixedDelay"
            ),
        ])
    func withoutEffect(_ more: String, _ http: String, _ type: Condition.Kind, _ reason: String, _ message: String)
        throws
    {
        let (status, _) = try status(HTTPMesh.virtualService("{ \(http) }", more: more))
        let condition = try #require(status[type])
        #expect(condition.status == (type == .partiallyInvalid ? .yes : .no))
        #expect(condition.reason == reason)
        #expect(condition.message == message)
    }

    @Test(
        "of hosts that are none, or take no requests",
        arguments: [
            ("[www.example.com]", Condition.Kind.resolvedRefs, "BackendNotFound"),
            ("[lost]", .resolvedRefs, "BackendNotFound"),
            ("[\"*\"]", .resolvedRefs, "BackendNotFound"), ("[db]", .accepted, "UnsupportedProtocol"),
            ("[rpc]", .accepted, "UnsupportedProtocol"),
        ])
    func hosts(_ hosts: String, _ type: Condition.Kind, _ reason: String) throws {
        let (status, _) = try status(HTTPMesh.virtualService("{ \(Self.to) }", hosts: hosts))
        #expect(status[type]?.reason == reason)
        #expect(status[type]?.status == .no)
    }

    // MARK: - Errors

    private static let rule = "spec.http[0]"

    @Test(
        "errors say where and what",
        arguments: [
            ("{ match: [{ uri: { suffix: /a } }], \(to) }", ["\(rule).match[0].uri.suffix: unknown field"]),
            (
                "{ match: [{ uri: { exact: /a, prefix: /b } }], \(to) }",
                ["\(rule).match[0].uri: exact, prefix and regex exclude each other"]
            ),
            ("{ match: [{ path: { exact: /a } }], \(to) }", ["\(rule).match[0].path: unknown field"]),
            ("{ match: [{ uri: /a }], \(to) }", ["\(rule).match[0].uri: expected a mapping, found the string \"/a\""]),
            (
                "{ match: [{ headers: { \"a b\": { exact: c } } }], \(to) }",
                ["\(rule).match[0].headers.a b: \"a b\" is not a header name"]
            ),
            ("{ match: [{ port: 0 }], \(to) }", ["\(rule).match[0].port: 0 is not a port (1...65535)"]),
            (
                "{ match: [{ sourceLabels: [a] }], \(to) }",
                ["\(rule).match[0].sourceLabels: expected a mapping, found a list"]
            ),
            ("{}", ["\(rule): one of route, redirect and directResponse is required"]),
            (
                "{ \(to), redirect: { uri: /a } }",
                ["\(rule): route, redirect, directResponse and delegate exclude each other"]
            ),
            ("{ redirect: { uri: /a }, rewrite: { uri: /b } }", ["\(rule): redirect and rewrite exclude each other"]),
            ("{ route: [{ destination: {} }] }", ["\(rule).route[0].destination.host: required, but missing"]),
            ("{ route: [{ weight: 1 }] }", ["\(rule).route[0].destination: required, but missing"]),
            (
                "{ route: [{ destination: { host: web-v1 } }, { destination: { host: web-v2 } }] }",
                ["\(rule).route: several destinations need weights"]
            ),
            (
                "{ route: [{ destination: { host: web-v1 }, weight: -1 }] }",
                ["\(rule).route[0].weight: -1 is not a number (0...2147483647)"]
            ),
            ("{ timeout: 5, \(to) }", ["\(rule).timeout: expected a string, found the number 5: put it in quotes"]),
            (
                "{ timeout: soon, \(to) }",
                ["\(rule).timeout: \"soon\" is not a duration such as 10s, 0.5s, 500ms or 1m30s"]
            ),
            (
                "{ retries: { attempts: 1, retryOn: sometimes }, \(to) }",
                [
                    "\(rule).retries.retryOn: \"sometimes\" is not a condition for retries: 5xx, gateway-error, reset, reset-before-request, connect-failure, refused-stream, retriable-4xx, retriable-status-codes, retriable-headers, envoy-ratelimited, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable or a status code"
                ]
            ),
            (
                "{ fault: { abort: { httpStatus: 99 } }, \(to) }",
                ["\(rule).fault.abort.httpStatus: 99 is not a status code (200...599)"]
            ),
            (
                "{ fault: { abort: { grpcStatus: NEVER } }, \(to) }",
                ["\(rule).fault.abort.grpcStatus: \"NEVER\" is not a gRPC status such as UNAVAILABLE"]
            ),
            (
                "{ fault: { delay: { percentage: { value: 101 }, fixedDelay: 1s } }, \(to) }",
                ["\(rule).fault.delay.percentage.value: 101 is not a percentage (0...100)"]
            ),
            ("{ fault: { delay: {} }, \(to) }", ["\(rule).fault.delay.fixedDelay: required, but missing"]),
            (
                "{ redirect: { redirectCode: 304 } }",
                ["\(rule).redirect.redirectCode: 304 is not one of 301, 302, 303, 307, 308"]
            ),
            (
                "{ redirect: { port: 80, derivePort: FROM_REQUEST_PORT } }",
                ["\(rule).redirect: port and derivePort exclude each other"]
            ),
            ("{ directResponse: { body: { string: a } } }", ["\(rule).directResponse.status: required, but missing"]),
            (
                "{ directResponse: { status: 200, body: { bytes: \"?\" } } }",
                ["\(rule).directResponse.body.bytes: not base64"]
            ),
            (
                "{ rewrite: { uriRegexRewrite: { match: \"(\", rewrite: a } }, \(to) }",
                [
                    "\(rule).rewrite.uriRegexRewrite.match: \"(\" is not a regular expression in the syntax of RE2: missing ): ("
                ]
            ),
            (
                "{ headers: { request: { set: { \"a:\": b } } }, \(to) }",
                ["\(rule).headers.request.set.a:: \"a:\" is not a header name (RFC 9110 §5.6.2)"]
            ),
            (
                "{ corsPolicy: { allowOrigins: [\"*\"] }, \(to) }",
                ["\(rule).corsPolicy.allowOrigins[0]: expected a mapping, found the string \"*\""]
            ),
            ("{ mirror: { host: web-v1 }, mirrors: [], \(to) }", ["\(rule): mirror and mirrors exclude each other"]),
            ("{ websocketUpgrade: true, \(to) }", ["\(rule).websocketUpgrade: unknown field"]),
        ])
    func errors(_ http: String, _ expected: [String]) throws {
        #expect(try ConfigSourcesTests.errors(of: HTTPMesh.virtualService(http)) == expected)
    }

    @Test("is read under every apiVersion", arguments: ["v1", "v1beta1", "v1alpha3"])
    func versions(_ version: String) throws {
        let text = HTTPMesh.object(
            "networking.istio.io/\(version)", "VirtualService", "web", "{ hosts: [web], http: [{ \(Self.to) }] }")
        #expect(try ConfigSourcesTests.rule(text).action == .forward([HTTPMesh.backend("web-v1")]))
    }
}
