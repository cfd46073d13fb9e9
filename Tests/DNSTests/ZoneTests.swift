import DNS
import Mesh
import Testing

@Suite struct ZoneTests {
    private static func endpoint(_ address: String, draining: Bool = false, weight: UInt16 = 1) -> MeshEndpoint {
        MeshEndpoint(
            address: IPAddress(address) ?? IPAddress(v4: 0), port: 8080, weight: weight, isDraining: draining)
    }

    private static func service(
        _ name: String, in namespace: String = "shop", _ addresses: [String], ports: [MeshServicePort]? = nil,
        endpoints: [MeshEndpoint] = []
    ) -> MeshService {
        MeshService(
            name: ObjectName(namespace: namespace, name: name), addresses: addresses.compactMap { IPAddress($0) },
            ports: ports ?? [MeshServicePort(name: "http", port: 80, transport: .tcp, endpoints: endpoints)],
            balancing: Balancing())
    }

    private static let zone: MeshZone = {
        let services = [
            service("web", ["127.96.0.10"]), service("web", in: "other", ["127.96.0.20"]),
            service("dual", ["127.96.0.11", "fd00::11"]),
            service(
                "db", [],
                endpoints: [
                    endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.2"),
                    endpoint("10.0.0.3", draining: true), endpoint("10.0.0.4", weight: 0), endpoint("fd00::5"),
                ]),
            service("empty", []), service("com", in: "example", ["127.96.0.30"]),
            service(
                "dns", ["127.96.0.12"],
                ports: [
                    MeshServicePort(name: "dns", port: 53, transport: .udp, endpoints: []),
                    MeshServicePort(name: "dns-tcp", port: 53, transport: .tcp, endpoints: []),
                ]),
        ]
        return MeshZone(
            MeshSnapshot(
                generation: 5, services: Dictionary(uniqueKeysWithValues: services.map { ($0.name, $0) })))
    }()

    enum Expected: Sendable, Equatable { case foreign, nameError, noData, addresses(Set<String>) }

    private static func outcome(_ answer: MeshZone.Answer) -> Expected {
        switch answer {
        case .foreign: .foreign
        case .nameError: .nameError
        case .noData: .noData
        case .records(let records, _):
            .addresses(
                Set(
                    records.map { record in
                        switch record.value {
                        case .address(let address): address.description
                        case .srv(_, let weight, let port, let target): "\(weight) \(port) \(target)"
                        case .ptr(let name): name.description
                        case .soa: "SOA"
                        }
                    }))
        }
    }

    @Test(
        arguments: [
            ("web.shop.svc.cluster.local", .a, .addresses(["127.96.0.10"])),
            ("WEB.Shop.SVC.Cluster.LOCAL", .a, .addresses(["127.96.0.10"])),
            ("web.shop.svc", .a, .addresses(["127.96.0.10"])),
            ("web.shop", .a, .addresses(["127.96.0.10"])),
            ("web.other", .a, .addresses(["127.96.0.20"])),
            ("web", .a, .addresses(["127.96.0.10"])),
            // A v4-only service has a name, and no such record.
            ("web", .aaaa, .noData), ("web.shop.svc.cluster.local", .aaaa, .noData),
            ("web.shop.svc.cluster.local", .ns, .noData),
            ("dual.shop", .aaaa, .addresses(["fd00::11"])), ("dual.shop", .a, .addresses(["127.96.0.11"])),
            ("dual.shop", .any, .addresses(["127.96.0.11", "fd00::11"])),
            // Ours whether they exist or not.
            ("nothing.shop.svc.cluster.local", .a, .nameError), ("web.nowhere.svc", .a, .nameError),
            ("cluster.local", .a, .noData), ("svc.cluster.local", .a, .noData),
            ("shop.svc.cluster.local", .a, .noData), ("nowhere.svc.cluster.local", .a, .nameError),
            ("pod.cluster.local", .a, .nameError), ("a.web.shop.svc", .a, .nameError),
            ("cluster.local", .soa, .addresses(["SOA"])),
            // What a client with search domains asks for a name outside.
            ("example.com.shop.svc.cluster.local", .a, .nameError), ("example.com.svc.cluster.local", .a, .nameError),
            ("example.com.cluster.local", .a, .nameError),
            // Perhaps somebody else's.
            ("example.com", .a, .foreign), ("localhost", .a, .addresses(["127.0.0.1"])),
            ("a.localhost", .aaaa, .addresses(["::1"])),
            ("localhost", .ns, .noData), ("nothing", .a, .foreign),
            ("web.nowhere", .a, .foreign), ("a.web.shop", .a, .foreign), (".", .ns, .foreign),
            ("local", .a, .foreign), ("notcluster.local", .a, .foreign),
            // Headless: the endpoints that take connections, each once.
            ("db.shop", .a, .addresses(["10.0.0.1", "10.0.0.2"])), ("db.shop", .aaaa, .addresses(["fd00::5"])),
            ("10-0-0-2.db.shop.svc.cluster.local", .a, .addresses(["10.0.0.2"])),
            ("10-0-0-3.db.shop.svc.cluster.local", .a, .nameError),
            ("fd00--5.db.shop.svc.cluster.local", .aaaa, .addresses(["fd00::5"])),
            ("10-0-0-2.web.shop.svc.cluster.local", .a, .nameError),
            ("empty.shop.svc", .a, .nameError),
            // Ports.
            ("_http._tcp.web.shop.svc.cluster.local", .srv, .addresses(["1 80 web.shop.svc.cluster.local."])),
            ("_http._tcp.web.shop", .srv, .addresses(["1 80 web.shop.svc.cluster.local."])),
            ("_HTTP._TCP.web", .srv, .addresses(["1 80 web.shop.svc.cluster.local."])),
            ("_http._tcp.web.shop.svc", .a, .noData), ("_tcp.web.shop.svc", .a, .noData),
            ("_udp.web.shop.svc", .a, .nameError), ("_http._udp.web.shop.svc", .srv, .nameError),
            ("_nothing._tcp.web.shop.svc", .srv, .nameError),
            ("_dns._udp.dns.shop.svc", .srv, .addresses(["1 53 dns.shop.svc.cluster.local."])),
            ("_dns-tcp._tcp.dns.shop.svc", .srv, .addresses(["1 53 dns.shop.svc.cluster.local."])),
            (
                "_http._tcp.db.shop.svc", .srv,
                .addresses([
                    "1 8080 10-0-0-1.db.shop.svc.cluster.local.", "1 8080 10-0-0-2.db.shop.svc.cluster.local.",
                    "1 8080 fd00--5.db.shop.svc.cluster.local.",
                ])
            ),
            // Addresses.
            ("10.0.96.127.in-addr.arpa", .ptr, .addresses(["web.shop.svc.cluster.local."])),
            ("9.0.96.127.in-addr.arpa", .ptr, .foreign), ("10.0.96.127.in-addr.arpa", .a, .noData),
            (
                "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", .ptr,
                .addresses(["dual.shop.svc.cluster.local."])
            ),
            ("x.0.96.127.in-addr.arpa", .ptr, .foreign),
        ] as [(String, DNSType, Expected)])
    func answers(name: String, type: DNSType, expected: Expected) {
        #expect(Self.outcome(Self.zone.lookup(DNSQuestion(name, type), namespace: { "shop" })) == expected)
    }

    @Test func theShortNameIsThatOfTheCallersNamespace() {
        let question = DNSQuestion("web")
        #expect(Self.outcome(Self.zone.lookup(question, namespace: { "other" })) == .addresses(["127.96.0.20"]))
        #expect(Self.outcome(Self.zone.lookup(question, namespace: { "default" })) == .foreign)
    }

    @Test func whoAsksIsFoundOutOnlyWhereItMatters() {
        for name in ["web.shop", "web.shop.svc.cluster.local", "example.com", "nothing", "_http._tcp.web.shop"] {
            _ = Self.zone.lookup(
                DNSQuestion(name),
                namespace: {
                    Issue.record("asked for \(name)")
                    return "shop"
                })
        }
    }

    @Test func aPortComesWithItsTargetsAddresses() throws {
        let answer = Self.zone.lookup(DNSQuestion("_http._tcp.dual.shop", .srv), namespace: { "" })
        guard case .records(let records, let additional) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(records.count == 1)
        #expect(
            additional.map(\.value) == ["127.96.0.11", "fd00::11"].compactMap { IPAddress($0) }.map { .address($0) })
        #expect(additional.allSatisfy { $0.name == DNSName("dual.shop.svc.cluster.local") })
    }

    @Test func anotherClusterDomain() {
        let service = Self.service("web", ["127.96.0.10"])
        let zone = MeshZone(MeshSnapshot(services: [service.name: service]), domain: "Mesh.Example.org")
        #expect(
            Self.outcome(zone.lookup(DNSQuestion("web.shop.svc.mesh.example.org"), namespace: { "" }))
                == .addresses(["127.96.0.10"]))
        #expect(zone.lookup(DNSQuestion("web.shop.svc.cluster.local"), namespace: { "" }) == .foreign)
        #expect(zone.lookup(DNSQuestion("example.org"), namespace: { "" }) == .foreign)
    }

    @Test(
        arguments: [
            ("api.example.com", "shop", .addresses(["127.96.0.40"])),
            ("API.Example.com", "shop", .addresses(["127.96.0.40"])),
            ("a.b.example.org", "shop", .addresses(["10.0.0.9"])),
            ("x.a.b.example.org", "shop", .addresses(["10.0.0.8"])),
            ("example.org", "shop", .foreign), ("nothing.example.com", "shop", .foreign),
            // Nobody says what it stands for.
            ("www.example.net", "shop", .foreign),
            // Of two entries the one of the caller's namespace.
            ("twice.example.com", "shop", .addresses(["127.96.0.41"])),
            ("twice.example.com", "other", .addresses(["127.96.0.42"])),
            ("twice.example.com", "third", .addresses(["127.96.0.42"])),
            ("web.shop", "shop", .addresses(["127.96.0.10"])),
        ] as [(String, String, Expected)])
    func hostsOfEntries(name: String, namespace: String, expected: Expected) {
        func entry(
            _ name: String, in namespace: String = "shop", _ hosts: [String], _ addresses: [String],
            endpoints: [MeshEndpoint] = []
        ) -> MeshService {
            var entry = Self.service("ServiceEntry/\(name)", in: namespace, addresses, endpoints: endpoints)
            entry.hosts = hosts
            return entry
        }
        let services = [
            entry("api", ["api.example.com"], ["127.96.0.40"]), entry("www", ["www.example.net"], []),
            entry("wide", ["*.example.org"], [], endpoints: [Self.endpoint("10.0.0.9")]),
            entry("narrow", ["*.a.b.example.org"], [], endpoints: [Self.endpoint("10.0.0.8")]),
            entry("twice", ["twice.example.com"], ["127.96.0.41"]),
            entry("twice", in: "other", ["twice.example.com"], ["127.96.0.42"]), Self.service("web", ["127.96.0.10"]),
        ]
        let zone = MeshZone(MeshSnapshot(services: Dictionary(uniqueKeysWithValues: services.map { ($0.name, $0) })))
        #expect(Self.outcome(zone.lookup(DNSQuestion(name), namespace: { namespace })) == expected)
        #expect(
            Self.outcome(zone.lookup(DNSQuestion("40.0.96.127.in-addr.arpa", .ptr), namespace: { "" }))
                == .addresses(["api.example.com."]))
    }

    @Test func theServiceOfAWorkloadsOwnAddressHasNoName() {
        let own = Self.service("Workload/web", ["127.96.0.50"])
        let web = Self.service("web", ["127.96.0.10"])
        let zone = MeshZone(MeshSnapshot(services: [own.name: own, web.name: web]))
        func outcome(_ name: String, _ type: DNSType) -> Expected {
            Self.outcome(zone.lookup(DNSQuestion(name, type), namespace: { "shop" }))
        }
        #expect(outcome("web.shop", .a) == .addresses(["127.96.0.10"]))
        #expect(outcome("Workload/web.shop.svc.cluster.local", .a) == .nameError)
        #expect(outcome("50.0.96.127.in-addr.arpa", .ptr) == .foreign)
    }
}
