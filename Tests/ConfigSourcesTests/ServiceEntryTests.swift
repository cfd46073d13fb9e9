import Mesh
import Testing

@testable import ConfigSources

@Suite("ServiceEntry")
struct ServiceEntryTests {
    private func entry(_ spec: String, name: String = "api") -> String {
        HTTPMesh.object("networking.istio.io/v1", "ServiceEntry", name, "{ \(spec) }")
    }

    private let name = HTTPMesh.name("ServiceEntry/api")

    @Test("with fixed endpoints is a service under its hosts")
    func fixed() throws {
        let snapshot = try snapshot(
            entry(
                """
                hosts: [API.example.com, "*.api.example.com"], addresses: [127.96.9.1, 127.96.9.2/32], location: MESH_EXTERNAL,
                ports: [{ number: 80, name: http, protocol: HTTP }, { number: 443, name: tls, protocol: TLS, targetPort: 8443 }],
                resolution: STATIC, endpoints: [{ address: 10.0.0.1 }, { address: 10.0.0.2, ports: { http: 8080 }, weight: 3 }]
                """))
        let service = try #require(snapshot.services[name])
        #expect(service.hosts == ["api.example.com", "*.api.example.com"])
        #expect(service.addresses == [IPAddress(v4: 127, 96, 9, 1), IPAddress(v4: 127, 96, 9, 2)])
        #expect(service.ports.map(\.application) == [.http, .tls])
        #expect(places(service.ports[0].endpoints) == ["10.0.0.1:80", "10.0.0.2:8080"])
        #expect(service.ports[0].endpoints.map(\.weight) == [1, 3])
        #expect(places(service.ports[1].endpoints) == ["10.0.0.1:8443", "10.0.0.2:8443"])
    }

    @Test("without resolution leaves connections alone: its addresses are endpoints, for the names only")
    func none() throws {
        let snapshot = try snapshot(
            entry(
                "hosts: [db.example.com], addresses: [192.0.2.1], ports: [{ number: 5432, name: tcp-db, protocol: TCP }]"
            ))
        let service = try #require(snapshot.services[name])
        #expect(service.addresses.isEmpty)
        #expect(places(service.ports[0].endpoints) == ["192.0.2.1:5432"])
    }

    @Test("selects workloads")
    func selector() throws {
        let snapshot = try snapshot(
            entry(
                """
                hosts: [api.example.com], addresses: [127.96.9.1], resolution: STATIC,
                ports: [{ number: 80, name: http, targetPort: 8080 }], workloadSelector: { labels: { app: api } }
                """)
                    + """
                    ---
                    apiVersion: weft.dev/v1alpha1
                    kind: Workload
                    metadata: { name: api-1, namespace: shop, labels: { app: api } }
                    spec: { addresses: [10.0.0.7] }

                    """)
        let service = try #require(snapshot.services[name])
        #expect(places(service.ports[0].endpoints) == ["10.0.0.7:8080"])
        #expect(service.ports[0].endpoints.map(\.workload) == [HTTPMesh.name("api-1")])
    }

    @Test("loses an address that a Service has had for longer")
    func conflict() throws {
        let outcome = try load(
            HTTPMesh.service("web", ip: 10)
                + entry(
                    "hosts: [z.example.com], addresses: [127.96.1.10], resolution: STATIC, ports: [{ number: 80, name: z }]",
                    name: "z"))
        let accepted = try #require(outcome.status(.serviceEntry, "shop", "z")?[.accepted])
        #expect(accepted.reason == "Conflicted")
        #expect(accepted.message == "127.96.1.10 port 80/TCP belongs to Service shop/web already")
    }

    private static let partial: [(String, Condition.Kind, String)] = [
        (
            "resolution: DNS, endpoints: [{ address: a.example.com }]", .accepted,
            "spec.resolution: only STATIC and NONE are supported"
        ),
        (
            "addresses: [10.0.0.0/8]", .partiallyInvalid,
            "spec.addresses[0]: blocks of addresses are not supported yet, only addresses"
        ),
        ("exportTo: [\".\"]", .partiallyInvalid, "spec.exportTo is not supported yet: the entry is visible everywhere"),
    ]

    @Test("what is not supported is named", arguments: partial)
    func partially(_ spec: String, _ type: Condition.Kind, _ message: String) throws {
        let outcome = try load(entry("hosts: [a.example.com], \(spec)"))
        #expect(outcome.errors.map(\.description) == [])
        #expect(outcome.status(.serviceEntry, "shop", "api")?[type]?.message == message)
    }

    private static let broken: [(String, [String])] = [
        ("resolution: STATIC", ["spec.hosts: required, but missing"]),
        ("hosts: [\"a b\"]", ["spec.hosts[0]: \"a b\" is not a host name such as api.example.com or *.example.com"]),
        ("hosts: [a], addresses: [a]", ["spec.addresses[0]: \"a\" is not an address that a client can connect to"]),
        ("hosts: [a], ports: [{ name: b }]", ["spec.ports[0].number: required, but missing"]),
        (
            "hosts: [a], ports: [{ name: b, number: 1, protocol: SMTP }]",
            [
                "spec.ports[0].protocol: \"SMTP\" is not one of HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL"
            ]
        ),
        (
            "hosts: [a], resolution: STATIC, endpoints: [{ address: b }]",
            ["spec.endpoints[0].address: \"b\" is not an IP address"]
        ),
        (
            "hosts: [a], endpoints: [{ address: 10.0.0.1 }]",
            ["spec.endpoints: resolution NONE has no endpoints: use STATIC"]
        ),
        ("hosts: [a], zone: b", ["spec.zone: unknown field"]),
    ]

    @Test("errors say where and what", arguments: broken)
    func errors(_ spec: String, _ expected: [String]) throws {
        #expect(try load(entry(spec)).errors.map { "\($0.path): \($0.message)" } == expected)
    }
}
