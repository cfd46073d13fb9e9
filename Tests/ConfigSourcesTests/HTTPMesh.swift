import Mesh
import Testing

@testable import ConfigSources

/// Services for routes to stand on, and the shortest way to write an object.
enum HTTPMesh {
    static let services =
        service("web", ip: 10, ports: "[{ name: http, port: 80 }, { name: http-admin, port: 8080 }]")
        + service("web-v1", ip: 11) + service("web-v2", ip: 12)
        + service("db", ip: 13, ports: "[{ name: mysql, port: 3306 }, { name: dns, port: 53, protocol: UDP }]")
        + service("rpc", ip: 14, ports: "[{ name: grpc, port: 80 }]")
        + service("secure", ip: 15, ports: "[{ name: web, port: 443, appProtocol: https }]")

    /// Most fields of every kind that speaks of requests.
    static let everything =
        route(
            """
            { name: a, matches: [{ path: { type: RegularExpression, value: "/a.*" }, method: GET,
                                   headers: [{ name: a, value: b }], queryParams: [{ name: a, value: b }] }],
              filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: a, value: b }] } },
                        { type: CORS, cors: { allowOrigins: ["https://*.a.com"], maxAge: 5 } },
                        { type: RequestMirror, requestMirror: { backendRef: { name: web, port: 80 }, percent: 5 } }],
              timeouts: { request: 1s }, retry: { codes: [500], backoff: 10ms }, sessionPersistence: { sessionName: a },
              backendRefs: [{ name: web-v1, port: 80, weight: 1 }] }
            """)
        + virtualService(
            """
            { match: [{ uri: { prefix: /a }, headers: { a: { exact: b } } }], rewrite: { uri: /b },
              fault: { delay: { percentage: { value: 1.5 }, fixedDelay: 1s }, abort: { grpcStatus: INTERNAL } },
              retries: { attempts: 1, retryOn: "5xx,reset" }, corsPolicy: { allowOrigins: [{ regex: ".*" }] },
              route: [{ destination: { host: web, subset: v1, port: { number: 80 } }, weight: 1 }] },
            { directResponse: { status: 200, body: { bytes: aGVsbG8= } } }
            """)
        + destinationRule(
            """
            trafficPolicy: { loadBalancer: { consistentHash: { httpCookie: { name: a, ttl: 1s } } },
                             connectionPool: { http: { maxRetries: 1 } }, outlierDetection: { interval: 1s },
                             portLevelSettings: [{ port: { number: 80 }, tls: { mode: DISABLE } }] },
            subsets: [{ name: v1, labels: { a: b } }]
            """)
        + trafficPolicy(
            """
            loadBalancer: { algorithm: RingHash, hashKey: { header: a } }, healthCheck: { http: { statuses: [200-299] } },
            rateLimits: [{ name: a, requests: 1, key: { header: a }, matches: [{ method: GET }] }],
            fault: { abort: { status: 500, percent: 0.1 } }, fallback: { name: web, port: 80 }
            """)

    static func service(_ name: String, ip: Int, ports: String = "[{ port: 80 }]", namespace: String = "shop") -> String
    {
        object("v1", "Service", name, "{ clusterIP: 127.96.1.\(ip), ports: \(ports) }", namespace: namespace)
    }

    static func object(
        _ apiVersion: String, _ kind: String, _ name: String, _ spec: String, namespace: String = "shop",
        created: String? = nil
    ) -> String {
        let time = created.map { ", creationTimestamp: \"\($0)\"" } ?? ""
        return """
            ---
            apiVersion: \(apiVersion)
            kind: \(kind)
            metadata: { name: \(name), namespace: \(namespace)\(time) }
            spec: \(spec)

            """
    }

    static let parent = "parentRefs: [{ group: \"\", kind: Service, name: web }]"

    static func route(
        _ rules: String, name: String = "web", parents: String = parent, more: String = "", namespace: String = "shop",
        created: String? = nil
    ) -> String {
        object(
            "gateway.networking.k8s.io/v1", "HTTPRoute", name, "{ \(parents), \(more) rules: [\(rules)] }",
            namespace: namespace, created: created)
    }

    static func virtualService(
        _ http: String, name: String = "web", hosts: String = "[web]", more: String = "", namespace: String = "shop",
        created: String? = nil
    ) -> String {
        object(
            "networking.istio.io/v1", "VirtualService", name, "{ hosts: \(hosts), \(more) http: [\(http)] }",
            namespace: namespace, created: created)
    }

    static func destinationRule(_ spec: String, host: String = "web", name: String? = nil) -> String {
        object("networking.istio.io/v1", "DestinationRule", name ?? host, "{ host: \(host), \(spec) }")
    }

    static func trafficPolicy(_ spec: String, target: String = "web", name: String = "web") -> String {
        object(
            "weft.dev/v1alpha1", "TrafficPolicy", name,
            "{ targetRefs: [{ group: \"\", kind: Service, name: \(target) }], \(spec) }")
    }

    static func name(_ name: String, _ namespace: String = "shop") -> ObjectName {
        ObjectName(namespace: namespace, name: name)
    }

    static func backend(_ service: String, port: UInt16 = 80, subset: String? = nil, weight: UInt32 = 1) -> HTTPBackend
    {
        HTTPBackend(target: .service(name(service), port: port, subset: subset), weight: weight)
    }
}

extension MeshSnapshot {
    /// The rules for requests to a port of `shop/web`.
    func routing(_ service: String = "web", port: UInt16 = 80) throws -> HTTPRouting {
        try #require(self.port(service, port).http)
    }

    func port(_ service: String, _ port: UInt16) throws -> MeshServicePort {
        try #require(try self.service("shop", service).ports.first { $0.port == port })
    }
}

/// The one rule that a configuration with `text` has for `shop/web`.
func rule(_ text: String) throws -> HTTPRule {
    let routing = try snapshot(HTTPMesh.services + text).routing()
    #expect(routing.rules.count == 1)
    return try #require(routing.rules.first)
}

/// The errors of a configuration in which `text` is the last object, without file and document.
func errors(of text: String) throws -> [String] {
    try load(HTTPMesh.services + text).errors.map { "\($0.path): \($0.message)" }
}
