import Mesh
import Testing

@testable import ConfigSources

@Suite("DestinationRule")
struct DestinationRuleTests {
    private func service(_ spec: String) throws -> MeshService {
        try snapshot(HTTPMesh.services + HTTPMesh.destinationRule(spec)).service("shop", "web")
    }

    private func traffic(_ policy: String) throws -> HTTPTraffic { try service("trafficPolicy: \(policy)").traffic }

    /// Why requests to port 80 go through the proxy.
    private func reasons(_ policy: String) throws -> [String] {
        let port = try snapshot(HTTPMesh.services + HTTPMesh.destinationRule("trafficPolicy: \(policy)")).port(
            "web", 80)
        #expect(port.proxyReasons.isEmpty == (port.http == nil))
        return port.proxyReasons
    }

    @Test("without anything that only a proxy can do leaves the service to the kernel")
    func kernel() throws {
        for policy in [
            "{ loadBalancer: { simple: ROUND_ROBIN } }", "{ loadBalancer: { consistentHash: { useSourceIp: true } } }",
            "{ connectionPool: { tcp: { connectTimeout: 1s } } }", "{ tls: { mode: DISABLE } }", "{}",
        ] {
            #expect(try reasons(policy) == [], "\(policy)")
        }
        #expect(try service("subsets: [{ name: v1, trafficPolicy: { outlierDetection: {} } }]").ports[0].http == nil)
    }

    private static let demands: [(String, String)] = [
        ("{ outlierDetection: {} }", "outlierDetection"),
        ("{ connectionPool: { tcp: { maxConnections: 10 } } }", "connectionPool.tcp.maxConnections"),
        (
            "{ connectionPool: { http: { http1MaxPendingRequests: 10 } } }",
            "connectionPool.http.http1MaxPendingRequests"
        ),
        (
            "{ loadBalancer: { consistentHash: { httpHeaderName: x-user } } }",
            "loadBalancer.consistentHash.httpHeaderName"
        ),
        ("{ loadBalancer: { simple: ROUND_ROBIN, warmup: { duration: 10s } } }", "loadBalancer.warmup"),
        ("{ loadBalancer: { localityLbSetting: { enabled: true } } }", "loadBalancer.localityLbSetting"),
    ]

    @Test("what only a proxy can do sends requests through it, and names the field", arguments: demands)
    func proxy(_ policy: String, _ field: String) throws {
        #expect(try reasons(policy) == ["DestinationRule shop/web (\(field))"])
        let rules = try snapshot(HTTPMesh.services + HTTPMesh.destinationRule("trafficPolicy: \(policy)")).routing()
            .rules
        #expect(rules.map(\.action) == [.forward([HTTPMesh.backend("web")])])
        #expect(rules.map(\.retry) == [nil])
    }

    private static let balancers: [(String, HTTPBalancer.Algorithm, HTTPBalancer.HashKey?)] = [
        ("{ simple: LEAST_REQUEST }", .leastRequest, nil), ("{ simple: RANDOM }", .random, nil),
        ("{ simple: ROUND_ROBIN }", .roundRobin, nil), ("{ simple: UNSPECIFIED }", .peakEWMA, nil),
        ("{ consistentHash: { httpHeaderName: X-User } }", .ringHash(minimumSize: 1024), .header("x-user")),
        (
            "{ consistentHash: { httpQueryParameterName: User, maglev: { tableSize: 65537 } } }", .maglev,
            .query("User")
        ),
        (
            "{ consistentHash: { useSourceIp: true, ringHash: { minimumRingSize: 64 } } }", .ringHash(minimumSize: 64),
            .sourceAddress
        ),
        (
            "{ consistentHash: { httpCookie: { name: sid, path: /a, ttl: 60s } } }", .ringHash(minimumSize: 1024),
            .cookie(name: "sid", path: "/a", lifetime: 60)
        ),
    ]

    @Test("load balancers", arguments: balancers)
    func balancer(_ text: String, _ algorithm: HTTPBalancer.Algorithm, _ key: HTTPBalancer.HashKey?) throws {
        let balancer = try traffic("{ loadBalancer: \(text) }").balancer
        #expect(balancer.algorithm == algorithm)
        #expect(balancer.hashKey == key)
    }

    @Test("warm-up")
    func warmup() throws {
        let balancer = try traffic(
            "{ loadBalancer: { simple: RANDOM, warmup: { duration: 1m, minimumPercent: 20, aggression: 1.5 } } }"
        ).balancer
        #expect(balancer.slowStart == 60_000 && balancer.slowStartMinimum == 20 && balancer.slowStartAggression == 1500)
        #expect(
            try traffic("{ loadBalancer: { simple: RANDOM, warmupDurationSecs: 30s } }").balancer.slowStart == 30_000)
    }

    @Test("connection pool")
    func connectionPool() throws {
        let limits = try traffic(
            """
            { connectionPool: { tcp: { maxConnections: 100, connectTimeout: 30ms, idleTimeout: 10m },
                                http: { http1MaxPendingRequests: 1, http2MaxRequests: 1000, maxRequestsPerConnection: 10,
                                        maxRetries: 3, idleTimeout: 15s, h2UpgradePolicy: DO_NOT_UPGRADE } } }
            """
        ).limits
        var expected = ConnectionLimits()
        expected.maxConnections = 100
        expected.maxPendingRequests = 1
        expected.maxRequests = 1000
        expected.maxRequestsPerConnection = 10
        expected.maxRetries = 3
        expected.connectTimeout = 30
        expected.idleTimeout = 15_000
        #expect(limits == expected)
        #expect(
            try traffic("{ connectionPool: { http: { maxRequestsPerConnection: 0 } } }").limits == ConnectionLimits())
    }

    @Test("outlier detection")
    func outlier() throws {
        let outlier = try traffic(
            """
            { outlierDetection: { consecutive5xxErrors: 7, consecutiveGatewayErrors: 3, interval: 5m,
                                  baseEjectionTime: 15m, maxEjectionPercent: 50, minHealthPercent: 20,
                                  splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2 } }
            """
        ).outlier
        var expected = OutlierDetection()
        expected.consecutive5xx = 7
        expected.consecutiveGatewayErrors = 3
        expected.interval = 300_000
        expected.baseEjection = 900_000
        expected.maxEjection = 900_000
        expected.maxEjectionPercent = 50
        expected.minHealthPercent = 20
        expected.splitsLocalErrors = true
        expected.consecutiveLocalFailures = 2
        #expect(outlier == expected)
        #expect(try traffic("{ outlierDetection: {} }").outlier == OutlierDetection())
        #expect(try traffic("{}").outlier == nil)
    }

    @Test("retry budget is Envoy's")
    func retryBudget() throws {
        let budget = try #require(try traffic("{ retryBudget: { percent: 25.5, minRetryConcurrency: 5 } }").retryBudget)
        #expect(budget.percent == 26 && budget.minConcurrency == 5)
        #expect(try traffic("{ retryBudget: {} }").retryBudget?.minConcurrency == 3)
    }

    @Test("a subset inherits what it does not say, and port settings stand for themselves")
    func subsetsAndPorts() throws {
        let service = try service(
            """
            trafficPolicy: { loadBalancer: { simple: ROUND_ROBIN }, outlierDetection: {},
                             portLevelSettings: [{ port: { number: 8080 }, connectionPool: { tcp: { maxConnections: 1 } } }] },
            subsets: [{ name: v1, labels: { version: v1 }, trafficPolicy: { loadBalancer: { simple: RANDOM } } },
                      { name: v2, labels: { version: v2 },
                        trafficPolicy: { portLevelSettings: [{ port: { number: 80 }, loadBalancer: { simple: LEAST_REQUEST } }] } },
                      { name: all }]
            """)
        #expect(service.subsets.map(\.name) == ["v1", "v2", "all"])
        #expect(service.subsets[2].labels == [:])
        func values(_ port: UInt16, _ subset: String?) -> (HTTPBalancer.Algorithm, hasOutlier: Bool, UInt32?) {
            let traffic = service.traffic(port: port, subset: subset)
            return (traffic.balancer.algorithm, traffic.outlier != nil, traffic.limits.maxConnections)
        }
        #expect(values(80, nil) == (.roundRobin, true, nil))
        #expect(values(8080, nil) == (.peakEWMA, false, 1))
        #expect(values(80, "v1") == (.random, true, nil))
        #expect(values(8080, "v1") == (.random, false, 1))
        #expect(values(80, "v2") == (.leastRequest, false, nil))
        #expect(values(8080, "v2") == (.peakEWMA, false, 1))
        #expect(values(80, "all") == (.roundRobin, true, nil))
        #expect(values(80, "unknown") == (.roundRobin, true, nil))
    }

    private static let partial: [(String, String)] = [
        (
            "{ tls: { mode: ISTIO_MUTUAL } }",
            "spec.trafficPolicy.tls.mode ISTIO_MUTUAL is not supported yet: TLS is not originated"
        ),
        ("{ tunnel: { targetHost: a, targetPort: 1 } }", "spec.trafficPolicy.tunnel is not supported yet"),
        ("{ proxyProtocol: { version: V1 } }", "spec.trafficPolicy.proxyProtocol is not supported yet"),
        (
            "{ connectionPool: { tcp: { tcpKeepalive: { time: 7200s } } } }",
            "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive is not supported yet"
        ),
        (
            "{ connectionPool: { http: { h2UpgradePolicy: UPGRADE } } }",
            "spec.trafficPolicy.connectionPool.http.h2UpgradePolicy UPGRADE is not supported yet"
        ),
        (
            "{ loadBalancer: { localityLbSetting: { failover: [{ from: a, to: b }] } } }",
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover is not supported yet: the nearest endpoints are preferred"
        ),
        (
            "{ outlierDetection: { outlierDetectionHttpErrorCodes: [429] } }",
            "spec.trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes is not supported yet: every 5xx counts"
        ),
    ]

    @Test("what is not supported is named, and the rest works", arguments: partial)
    func partially(_ policy: String, _ message: String) throws {
        let outcome = try load(HTTPMesh.services + HTTPMesh.destinationRule("trafficPolicy: \(policy)"))
        #expect(outcome.errors == [])
        let status = try #require(outcome.status(.destinationRule, "shop", "web"))
        #expect(status[.accepted]?.status == .yes)
        #expect(status[.partiallyInvalid]?.message == message)
    }

    @Test("with a workloadSelector is not in force")
    func workloadSelector() throws {
        let outcome = try load(
            HTTPMesh.services
                + HTTPMesh.destinationRule(
                    "workloadSelector: { matchLabels: { app: a } }, trafficPolicy: { outlierDetection: {} }"))
        #expect(outcome.status(.destinationRule, "shop", "web")?[.accepted]?.status == .no)
        #expect(try outcome.snapshot?.port("web", 80).http == nil)
    }

    @Test("of a service that takes no requests says that its fields have no effect")
    func opaque() throws {
        let outcome = try load(
            HTTPMesh.services + HTTPMesh.destinationRule("trafficPolicy: { outlierDetection: {} }", host: "db"))
        let partly = try #require(outcome.status(.destinationRule, "shop", "db")?[.partiallyInvalid])
        #expect(partly.reason == "UnsupportedProtocol")
        #expect(partly.message == "outlierDetection: no port of Service shop/db takes HTTP requests")
        #expect(try outcome.snapshot?.service("shop", "db").ports.allSatisfy { $0.http == nil } == true)
    }

    private static let policy = "spec.trafficPolicy"
    private static let broken: [(String, [String])] = [
        (
            "{ loadBalancer: { simple: FASTEST } }",
            [
                "\(policy).loadBalancer.simple: \"FASTEST\" is not one of UNSPECIFIED, LEAST_REQUEST, LEAST_CONN, RANDOM, ROUND_ROBIN, PASSTHROUGH"
            ]
        ),
        (
            "{ loadBalancer: { simple: RANDOM, consistentHash: { useSourceIp: true } } }",
            ["\(policy).loadBalancer: simple and consistentHash exclude each other"]
        ),
        (
            "{ loadBalancer: { consistentHash: {} } }",
            [
                "\(policy).loadBalancer.consistentHash: one of useSourceIp, httpHeaderName, httpCookie and httpQueryParameterName is required"
            ]
        ),
        (
            "{ loadBalancer: { consistentHash: { useSourceIp: true, httpHeaderName: a } } }",
            [
                "\(policy).loadBalancer.consistentHash: useSourceIp, httpHeaderName, httpCookie and httpQueryParameterName exclude each other"
            ]
        ),
        (
            "{ loadBalancer: { warmup: { aggression: 0.5, duration: 1s } } }",
            ["\(policy).loadBalancer.warmup.aggression: 0.5 is not a number (1...100)"]
        ),
        (
            "{ connectionPool: { tcp: { maxConnections: -1 } } }",
            ["\(policy).connectionPool.tcp.maxConnections: -1 is not a number (0...2147483647)"]
        ),
        (
            "{ connectionPool: { tcp: { connectTimeout: 0s } } }",
            ["\(policy).connectionPool.tcp.connectTimeout: 0s is less than 1ms"]
        ),
        ("{ connectionPool: { udp: {} } }", ["\(policy).connectionPool.udp: unknown field"]),
        (
            "{ outlierDetection: { maxEjectionPercent: 101 } }",
            ["\(policy).outlierDetection.maxEjectionPercent: 101 is not a number (0...100)"]
        ),
        (
            "{ outlierDetection: { interval: 10 } }",
            ["\(policy).outlierDetection.interval: expected a string, found the number 10: put it in quotes"]
        ),
        (
            "{ outlierDetection: { consecutiveErrors5xx: 1 } }",
            ["\(policy).outlierDetection.consecutiveErrors5xx: unknown field"]
        ),
        ("{ portLevelSettings: {} }", ["\(policy).portLevelSettings: expected a list, found a mapping"]),
        (
            "{ portLevelSettings: [{ loadBalancer: { simple: RANDOM } }] }",
            ["\(policy).portLevelSettings[0].port.number: required, but missing"]
        ),
        (
            "{ portLevelSettings: [{ port: { number: 80 } }, { port: { number: 80 } }] }",
            ["\(policy).portLevelSettings[1]: port 80 has two settings"]
        ),
        (
            "{ tls: { mode: STRICT } }",
            ["\(policy).tls.mode: \"STRICT\" is not one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL"]
        ),
        ("{ retryBudget: { percent: 101 } }", ["\(policy).retryBudget.percent: 101 is not a percentage (0...100)"]),
        ("{ retries: {} }", ["\(policy).retries: unknown field"]),
    ]

    @Test("errors say where and what", arguments: broken)
    func errors(_ text: String, _ expected: [String]) throws {
        #expect(try ConfigSourcesTests.errors(of: HTTPMesh.destinationRule("trafficPolicy: \(text)")) == expected)
    }

    @Test("two subsets of one name, and one without")
    func subsetErrors() throws {
        #expect(
            try ConfigSourcesTests.errors(of: HTTPMesh.destinationRule("subsets: [{ name: a }, { name: a }, {}]")) == [
                "spec.subsets[1]: two subsets have the name \"a\"", "spec.subsets[2].name: required, but missing",
            ])
    }
}
