import Mesh
import Testing

@testable import ConfigSources

@Suite("TrafficPolicy")
struct TrafficPolicyTests {
    private func service(_ spec: String) throws -> MeshService {
        try snapshot(HTTPMesh.services + HTTPMesh.trafficPolicy(spec)).service("shop", "web")
    }

    private static let demands: [(String, String)] = [
        ("loadBalancer: { algorithm: PeakEWMA }", "loadBalancer.algorithm"),
        ("loadBalancer: { algorithm: LeastRequest }", "loadBalancer.algorithm"),
        ("loadBalancer: { algorithm: RingHash }", "loadBalancer.algorithm"),
        ("loadBalancer: { algorithm: Maglev, hashKey: { header: a } }", "loadBalancer.hashKey"),
        ("loadBalancer: { slowStart: { window: 1s } }", "loadBalancer.slowStart"),
        ("loadBalancer: { locality: Prefer }", "loadBalancer.locality"), ("circuitBreaker: {}", "circuitBreaker"),
        ("outlierDetection: {}", "outlierDetection"), ("healthCheck: { tcp: {} }", "healthCheck"),
        ("retry: {}", "retry"), ("timeouts: { request: 1s }", "timeouts"),
        ("fault: { abort: { status: 503 } }", "fault"), ("fallback: { name: web-v1, port: 80 }", "fallback"),
        ("panicThreshold: 50", "panicThreshold"), ("rateLimits: [{ name: a, requests: 1 }]", "rateLimits"),
        ("quotas: [{ name: a, requests: 1, period: Day }]", "quotas"),
    ]

    @Test("what only a proxy can do sends requests through it, and names the field", arguments: demands)
    func proxy(_ spec: String, _ field: String) throws {
        let service = try service(spec)
        for port in service.ports {
            #expect(port.proxyReasons == ["TrafficPolicy shop/web (\(field))"])
            #expect(port.http?.rules.map(\.action) == [.forward([HTTPMesh.backend("web", port: port.port)])])
        }
    }

    @Test(
        "what the kernel can do stays there",
        arguments: [
            "loadBalancer: { algorithm: Maglev }", "loadBalancer: { algorithm: LeastConnections }",
            "loadBalancer: { sessionAffinity: { timeout: 1h } }", "retryBudget: {}", "failureMode: Open",
            "loadBalancer: { locality: Ignore }",
        ])
    func kernel(_ spec: String) throws {
        #expect(try service(spec).ports.allSatisfy { $0.http == nil })
    }

    private static let balancers: [(String, HTTPBalancer.Algorithm, HTTPBalancer.HashKey?, Balancing.Algorithm)] = [
        ("{ algorithm: PeakEWMA }", .peakEWMA, nil, .leastConnections),
        ("{ algorithm: LeastRequest }", .leastRequest, nil, .leastConnections),
        ("{ algorithm: LeastConnections }", .leastRequest, nil, .leastConnections),
        ("{ algorithm: RoundRobin }", .roundRobin, nil, .roundRobin), ("{ algorithm: Random }", .random, nil, .random),
        ("{ algorithm: RingHash, minimumRingSize: 64 }", .ringHash(minimumSize: 64), .sourceAddress, .maglev),
        ("{ algorithm: Maglev, hashKey: { query: q } }", .maglev, .query("q"), .maglev),
        ("{ algorithm: Maglev, hashKey: { header: X-A } }", .maglev, .header("x-a"), .maglev),
        (
            "{ algorithm: RingHash, hashKey: { cookie: { name: c, ttl: 1h } } }", .ringHash(minimumSize: 1024),
            .cookie(name: "c", path: "/", lifetime: 3600), .maglev
        ),
    ]

    @Test("load balancers, of the proxy and of the kernel", arguments: balancers)
    func balancer(
        _ text: String, _ algorithm: HTTPBalancer.Algorithm, _ key: HTTPBalancer.HashKey?, _ kernel: Balancing.Algorithm
    ) throws {
        let service = try service("loadBalancer: \(text)")
        #expect(service.traffic.balancer.algorithm == algorithm)
        #expect(service.traffic.balancer.hashKey == key)
        #expect(service.balancing.algorithm == kernel)
    }

    @Test("every protection")
    func protections() throws {
        let service = try service(
            """
            circuitBreaker: { maxConnections: 1, maxPendingRequests: 2, maxRequests: 3, maxRetries: 4,
                              maxRequestsPerConnection: 5, connectTimeout: 6s, idleTimeout: 7s },
            outlierDetection: { consecutive5xx: 1, consecutiveGatewayErrors: 2, consecutiveLocalFailures: 3,
                                splitLocalErrors: true, interval: 4s, baseEjectionTime: 5s, maxEjectionTime: 6s,
                                maxEjectionPercent: 7, minHealthPercent: 8,
                                successRate: { factor: 2.5, minimumHosts: 9, minimumRequests: 10 } },
            healthCheck: { http: { path: /healthz, host: web.local, statuses: [200, 204-299] }, interval: 1s,
                           timeout: 500ms, unhealthyThreshold: 4, healthyThreshold: 5, port: 8081 },
            retryBudget: { percent: 10, interval: 20s, minPerSecond: 3 }, panicThreshold: 50, failureMode: Open,
            fallback: { name: web-v1, port: 80 }
            """)
        var limits = ConnectionLimits()
        (limits.maxConnections, limits.maxPendingRequests, limits.maxRequests, limits.maxRetries) = (1, 2, 3, 4)
        (limits.maxRequestsPerConnection, limits.connectTimeout, limits.idleTimeout) = (5, 6000, 7000)
        #expect(service.traffic.limits == limits)
        var outlier = OutlierDetection()
        (outlier.consecutive5xx, outlier.consecutiveGatewayErrors, outlier.consecutiveLocalFailures) = (1, 2, 3)
        (outlier.splitsLocalErrors, outlier.interval, outlier.baseEjection, outlier.maxEjection) = (
            true, 4000, 5000, 6000
        )
        (outlier.maxEjectionPercent, outlier.minHealthPercent, outlier.successRateFactor) = (7, 8, 2500)
        (outlier.successRateHosts, outlier.successRateRequests) = (9, 10)
        #expect(service.traffic.outlier == outlier)
        var check = HealthCheck(probe: .http(path: "/healthz", host: "web.local", statuses: [200...200, 204...299]))
        (check.interval, check.timeout, check.unhealthyThreshold, check.healthyThreshold) = (1000, 500, 4, 5)
        check.port = 8081
        #expect(service.traffic.healthCheck == check)
        var budget = RetryBudget()
        (budget.percent, budget.intervalMilliseconds, budget.minPerSecond) = (10, 20_000, 3)
        #expect(service.traffic.retryBudget == budget)
        #expect(service.traffic.panicThreshold == 50)
        #expect(service.failureMode == .open)
        #expect(service.traffic.fallback == .service(HTTPMesh.name("web-v1"), port: 80, subset: nil))
    }

    @Test("rate limits and quotas: the free and the paid class")
    func limits() throws {
        let limits = try service(
            """
            rateLimits: [
              { name: free, requests: 10, unit: Minute, burst: 20, key: { header: X-Api-Key },
                matches: [{ headers: [{ name: X-Plan, value: free }] }] },
              { name: paid, requests: 100, key: Identity, mode: Shadow, status: 503,
                matches: [{ headers: [{ name: X-Plan, value: paid }], method: POST }] },
              { name: all, requests: 1000, unit: Hour, key: ClientAddress }],
            quotas: [{ name: daily, requests: 5000, period: Day, key: Identity },
                     { name: monthly, requests: 100000, period: Month }]
            """
        ).traffic.rateLimits
        #expect(limits.map(\.name) == ["free", "paid", "all", "daily", "monthly"])
        #expect(limits.map(\.requests) == [10, 100, 1000, 5000, 100_000])
        #expect(limits.map(\.burst) == [20, 100, 1000, 5000, 100_000])
        #expect(
            limits.map(\.window) == [
                .bucket(milliseconds: 60_000), .bucket(milliseconds: 1000), .bucket(milliseconds: 3_600_000), .day,
                .month,
            ])
        #expect(limits.map(\.key) == [.header("x-api-key"), .identity, .clientAddress, .identity, .all])
        #expect(limits.map(\.isShadow) == [false, true, false, false, false])
        #expect(limits.map(\.status) == [429, 503, 429, 429, 429])
        var paid = HTTPMatch()
        paid.headers = [NamedMatch(name: "x-plan", value: .exact("paid"))]
        paid.method = .exact("POST")
        #expect(limits[1].matches == [paid])
    }

    @Test("retry, timeouts and fault are for rules that say nothing themselves")
    func defaults() throws {
        let text =
            HTTPMesh.trafficPolicy(
                """
                retry: { attempts: 2, conditions: [5xx, connect-failure], perTryTimeout: 1s,
                         backoff: { base: 10ms, max: 50ms }, avoidPreviousHosts: false },
                timeouts: { request: 5s, backendRequest: 2s },
                fault: { delay: { duration: 1s, percent: 0.5 }, abort: { grpcStatus: UNAVAILABLE, percent: 10 },
                         headers: [{ name: X-Fault, value: "1" }] }
                """)
            + HTTPMesh.route(
                """
                { backendRefs: [{ name: web-v1, port: 80 }] },
                { timeouts: { request: 0s, backendRequest: 1s }, retry: { attempts: 7 },
                  backendRefs: [{ name: web-v1, port: 80 }] }
                """)
        let rules = try snapshot(HTTPMesh.services + text).routing().rules
        #expect(rules[0].timeouts == HTTPTimeouts(request: 5000, backendRequest: 2000))
        #expect(rules[1].timeouts == HTTPTimeouts(request: nil, backendRequest: 1000))
        #expect(rules[1].retry?.attempts == 7)
        var retry = RetryPolicy()
        (retry.attempts, retry.perTryTimeout, retry.backoffBase, retry.backoffCap) = (2, 1000, 10, 50)
        retry.conditions = [.serverError, .connectFailure]
        retry.avoidsPreviousHosts = false
        #expect(rules[0].retry == retry)
        let fault = HTTPFault(
            delay: .init(milliseconds: 1000, partsPerMillion: 5000),
            abort: .init(status: 200, grpcStatus: 14, partsPerMillion: 100_000),
            headers: [NamedMatch(name: "x-fault", value: .exact("1"))])
        #expect(rules.map(\.fault) == [fault, fault])
    }

    @Test("lets callers say which faults, and names fields of answers that are tried again")
    func byRequest() throws {
        let text =
            HTTPMesh.trafficPolicy(
                """
                retry: { attempts: 1, conditions: [], headers: [X-Again] },
                fault: { delay: { byRequest: true, percent: 5 }, abort: { byRequest: true },
                         responseRateLimit: { byRequest: true, percent: 7 } }
                """)
            + HTTPMesh.route("{ backendRefs: [{ name: web-v1, port: 80 }] }")
        let rule = try snapshot(HTTPMesh.services + text).routing().rules[0]
        #expect(rule.retry?.conditions == .retriableHeaders && rule.retry?.headerNames == ["X-Again"])
        #expect(
            rule.fault
                == HTTPFault(
                    delay: .init(milliseconds: nil, partsPerMillion: 50_000), abort: .init(status: nil),
                    responseRateLimit: .init(kibibytesPerSecond: nil, partsPerMillion: 70_000)))
        let fixed = HTTPMesh.trafficPolicy("fault: { responseRateLimit: { limitKbps: 64, percent: 10 } }")
        let route = HTTPMesh.route("{ backendRefs: [{ name: web-v1, port: 80 }] }")
        #expect(
            try snapshot(HTTPMesh.services + fixed + route).routing().rules[0].fault
                == HTTPFault(responseRateLimit: .init(kibibytesPerSecond: 64, partsPerMillion: 100_000)))
        for wrong in [
            "delay: { byRequest: false }", "delay: { byRequest: true, duration: 1s }",
            "abort: { byRequest: true, status: 500 }", "responseRateLimit: { limitKbps: 0 }",
            "responseRateLimit: { percent: 1 }",
        ] {
            let outcome = try load(HTTPMesh.services + HTTPMesh.trafficPolicy("fault: { \(wrong) }"))
            #expect(outcome.snapshot == nil, "\(wrong)")
        }
    }

    @Test("stands over a DestinationRule, field by field")
    func precedence() throws {
        let text =
            HTTPMesh.destinationRule(
                "trafficPolicy: { outlierDetection: { consecutive5xxErrors: 9 }, loadBalancer: { simple: RANDOM } }")
            + HTTPMesh.trafficPolicy("loadBalancer: { algorithm: PeakEWMA }")
        let service = try snapshot(HTTPMesh.services + text).service("shop", "web")
        #expect(service.traffic.balancer.algorithm == .peakEWMA)
        #expect(service.traffic.outlier?.consecutive5xx == 9)
        #expect(
            service.ports[0].proxyReasons == [
                "DestinationRule shop/web (outlierDetection)", "TrafficPolicy shop/web (loadBalancer.algorithm)",
            ])
    }

    @Test("a fallback that does not exist is none, and ResolvedRefs is False")
    func fallback() throws {
        let outcome = try load(HTTPMesh.services + HTTPMesh.trafficPolicy("fallback: { name: lost, port: 80 }"))
        #expect(try outcome.snapshot?.service("shop", "web").traffic.fallback == nil)
        let resolved = outcome.status(.trafficPolicy, "shop", "web")?[.resolvedRefs]
        #expect(resolved?.reason == "BackendNotFound")
        #expect(resolved?.message == "Service shop/lost does not exist")
    }

    @Test("of a service that takes no requests says that its fields have no effect")
    func opaque() throws {
        let outcome = try load(HTTPMesh.services + HTTPMesh.trafficPolicy("outlierDetection: {}", target: "db"))
        #expect(outcome.status(.trafficPolicy, "shop", "web")?[.partiallyInvalid]?.reason == "UnsupportedProtocol")
    }

    private static let broken: [(String, [String])] = [
        (
            "loadBalancer: { algorithm: Fastest }",
            [
                "spec.loadBalancer.algorithm: \"Fastest\" is not one of PeakEWMA, LeastRequest, RingHash, Maglev, RoundRobin, Random, LeastConnections"
            ]
        ),
        (
            "loadBalancer: { algorithm: Random, hashKey: { header: a } }",
            ["spec.loadBalancer.hashKey: only the algorithms RingHash and Maglev have a key"]
        ),
        (
            "loadBalancer: { algorithm: RingHash, hashKey: { header: a, query: b } }",
            ["spec.loadBalancer.hashKey: header, query, cookie and sourceAddress exclude each other"]
        ),
        (
            "loadBalancer: { algorithm: Maglev, minimumRingSize: 9 }",
            ["spec.loadBalancer.minimumRingSize: only the algorithm RingHash has a ring"]
        ),
        ("loadBalancer: { slowStart: {} }", ["spec.loadBalancer.slowStart.window: required, but missing"]),
        ("circuitBreaker: { maxRequests: 0 }", ["spec.circuitBreaker.maxRequests: 0 is not a number (1...4294967295)"]),
        (
            "circuitBreaker: { connectTimeout: 5 }",
            ["spec.circuitBreaker.connectTimeout: expected a string, found the number 5: put it in quotes"]
        ),
        (
            "outlierDetection: { baseEjectionTime: 10s, maxEjectionTime: 5s }",
            ["spec.outlierDetection: maxEjectionTime cannot be shorter than baseEjectionTime"]
        ),
        (
            "outlierDetection: { successRate: { factor: 0 } }",
            ["spec.outlierDetection.successRate.factor: 0 is not a number (0.001...1000)"]
        ),
        ("healthCheck: {}", ["spec.healthCheck: one of http and tcp is required"]),
        (
            "healthCheck: { http: { path: healthz } }",
            ["spec.healthCheck.http.path: \"healthz\" is not a path such as /healthz"]
        ),
        (
            "healthCheck: { http: { statuses: [299-200] } }",
            ["spec.healthCheck.http.statuses[0]: \"299-200\" is not a status code or a range such as 200-299"]
        ),
        ("rateLimits: [{ requests: 1 }]", ["spec.rateLimits[0].name: required, but missing"]),
        ("rateLimits: [{ name: a, requests: 0 }]", ["spec.rateLimits[0].requests: 0 is not a number (1...4294967295)"]),
        (
            "rateLimits: [{ name: a, requests: 1, unit: Week }]",
            ["spec.rateLimits[0].unit: \"Week\" is not one of Second, Minute, Hour"]
        ),
        ("rateLimits: [{ name: a, requests: 1, period: Day }]", ["spec.rateLimits[0].period: unknown field"]),
        (
            "rateLimits: [{ name: a, requests: 1, key: Cookie }]",
            ["spec.rateLimits[0].key: \"Cookie\" is not one of All, Identity, ClientAddress"]
        ),
        (
            "rateLimits: [{ name: a, requests: 1, key: { header: \"a b\" } }]",
            ["spec.rateLimits[0].key.header: \"a b\" is not a header name (RFC 9110 §5.6.2)"]
        ),
        (
            "rateLimits: [{ name: a, requests: 1, status: 200 }]",
            ["spec.rateLimits[0].status: 200 is not a status code (400...599)"]
        ),
        (
            "rateLimits: [{ name: a, requests: 1 }], quotas: [{ name: a, requests: 1, period: Day }]",
            ["spec: two rate limits or quotas have the name \"a\""]
        ),
        ("quotas: [{ name: a, requests: 1 }]", ["spec.quotas[0].period: required, but missing"]),
        (
            "retry: { conditions: [sometimes] }",
            [
                "spec.retry.conditions[0]: \"sometimes\" is not a condition for retries: 5xx, gateway-error, reset, reset-before-request, connect-failure, refused-stream, retriable-4xx, retriable-status-codes, retriable-headers, envoy-ratelimited, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable or a status code"
            ]
        ),
        ("retry: { backoff: { base: 1s, max: 10ms } }", ["spec.retry.backoff: max cannot be shorter than base"]),
        ("retryBudget: { percent: 101 }", ["spec.retryBudget.percent: 101 is not a number (0...100)"]),
        ("fault: {}", ["spec.fault: one of delay, abort and responseRateLimit is required"]),
        (
            "fault: { responseRateLimit: { limitKbps: 1, byRequest: true } }",
            ["spec.fault.responseRateLimit: one of limitKbps and byRequest is required"]
        ),
        (
            "fault: { abort: { status: 503, grpcStatus: INTERNAL } }",
            ["spec.fault.abort: one of status, grpcStatus and byRequest is required"]
        ),
        (
            "fault: { delay: { duration: 1s, percent: -1 } }",
            ["spec.fault.delay.percent: -1 is not a percentage (0...100)"]
        ),
        ("fallback: { name: a }", ["spec.fallback.port: required, but missing"]),
        ("panicThreshold: 101", ["spec.panicThreshold: 101 is not a number (0...100)"]),
        ("failureMode: Half", ["spec.failureMode: \"Half\" is not one of Open, Closed"]),
        ("hedging: {}", ["spec.hedging: unknown field"]),
    ]

    @Test("errors say where and what", arguments: broken)
    func errors(_ spec: String, _ expected: [String]) throws {
        #expect(try ConfigSourcesTests.errors(of: HTTPMesh.trafficPolicy(spec)) == expected)
    }
}
