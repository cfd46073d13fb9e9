import Mesh
import Testing

@testable import Proxy

@Suite("NetworkPolicies at the end of a tunnel")
struct TunnelIngressTests {
    private static let web = ObjectName(namespace: "shop", name: "web")
    private static let other = ObjectName(namespace: "ops", name: "probe")

    private static func identifier(_ name: ObjectName) -> UInt64 { name == web ? 7 : 8 }

    private static func ingress(_ rules: [NetworkPolicy.Rule]?, selecting app: String = "web") -> TunnelIngress {
        var server = MeshWorkload(
            name: web, serviceAccount: "web", labels: ["app": "web"], addresses: [IPAddress(v4: 10, 0, 0, 1)],
            ports: [MeshWorkloadPort(name: "http", port: 8080, transport: .tcp)])
        server.namedPorts = server.ports
        func client(_ name: ObjectName, _ address: IPAddress, app: String) -> MeshWorkload {
            MeshWorkload(
                name: name, serviceAccount: name.name, labels: ["app": app], addresses: [address], isLocal: false)
        }
        let workloads = [
            server, client(ObjectName(namespace: "shop", name: "front"), IPAddress(v4: 10, 0, 1, 1), app: "front"),
            client(other, IPAddress(v4: 10, 0, 2, 1), app: "front"),
        ]
        var snapshot = MeshSnapshot(workloads: Dictionary(uniqueKeysWithValues: workloads.map { ($0.name, $0) }))
        snapshot.namespaceLabels = ["ops": ["team": "ops"]]
        let name = ObjectName(namespace: "shop", name: "policy")
        snapshot.networkPolicies[name] = NetworkPolicy(
            name: name, podSelector: LabelSelector(labels: ["app": app]), ingress: rules)
        var identifiers = RouteIdentifiers()
        for name in snapshot.workloads.keys { identifiers.workloads[name] = identifier(name) }
        return TunnelIngress(snapshot, identifiers)
    }

    private static func allows(
        _ ingress: TunnelIngress, _ principal: String, _ address: (UInt8, UInt8, UInt8, UInt8), port: UInt16 = 8080
    ) -> Bool {
        let ip = IPAddress(v4: address.0, address.1, address.2, address.3)
        let bytes = Array(principal.utf8)
        return unsafe ingress.allows(
            principal: bytes.span.bytes,
            address: ClientAddress(high: UInt64(bigEndian: ip.high), low: UInt64(bigEndian: ip.low), port: 40000),
            workload: 7, port: port)
    }

    private static let front = "cluster.local/ns/shop/sa/front"
    private static let probe = "cluster.local/ns/ops/sa/probe"

    @Test func withoutAPolicyEverybodyMay() {
        #expect(Self.allows(Self.ingress(nil), Self.front, (10, 0, 1, 1)))
        #expect(Self.allows(Self.ingress([], selecting: "db"), Self.front, (10, 0, 1, 1)))
    }

    @Test func aPolicyWithoutRulesAllowsNobody() {
        #expect(!Self.allows(Self.ingress([]), Self.front, (10, 0, 1, 1)))
    }

    @Test func aRuleWithoutPeersAndPortsAllowsEverybody() {
        #expect(Self.allows(Self.ingress([.init()]), "x/ns/y/sa/z", (192, 0, 2, 1)))
    }

    @Test("A selector means the workload at the address, and only with the identity that was proved")
    func selectors() {
        let own = Self.ingress([
            .init(peers: [.workloads(namespaces: nil, pods: LabelSelector(labels: ["app": "front"]))])
        ])
        #expect(Self.allows(own, Self.front, (10, 0, 1, 1)))
        #expect(!Self.allows(own, Self.probe, (10, 0, 2, 1)), "another namespace")
        #expect(!Self.allows(own, Self.front, (10, 0, 2, 1)), "its identity at another's address")
        #expect(!Self.allows(own, Self.probe, (10, 0, 1, 1)), "its address with another's identity")
        #expect(!Self.allows(own, Self.front, (10, 0, 9, 9)), "an address of nobody")

        let ops = Self.ingress([
            .init(peers: [.workloads(namespaces: LabelSelector(labels: ["team": "ops"]), pods: LabelSelector())])
        ])
        #expect(Self.allows(ops, Self.probe, (10, 0, 2, 1)))
        #expect(!Self.allows(ops, Self.front, (10, 0, 1, 1)))
    }

    @Test("An agent may name only addresses of the workload whose identity it has proved")
    func addresses() {
        let ingress = Self.ingress(nil)
        func isWorkload(_ principal: String, _ a: UInt8, _ b: UInt8) -> Bool {
            let ip = IPAddress(v4: 10, 0, a, b)
            let bytes = Array(principal.utf8)
            return unsafe ingress.isWorkload(
                principal: bytes.span.bytes,
                at: ClientAddress(high: UInt64(bigEndian: ip.high), low: UInt64(bigEndian: ip.low), port: 1))
        }
        #expect(isWorkload(Self.front, 1, 1))
        #expect(!isWorkload(Self.front, 2, 1))
        #expect(!isWorkload(Self.probe, 1, 1))
        #expect(!isWorkload("", 1, 1))
    }

    @Test func blocksHaveExceptions() throws {
        let block = try #require(IPBlock("10.0.0.0/16"))
        let except = try #require(IPBlock("10.0.2.0/24"))
        let ingress = Self.ingress([.init(peers: [.block(block, except: [except])])])
        #expect(Self.allows(ingress, Self.front, (10, 0, 1, 1)))
        #expect(!Self.allows(ingress, Self.probe, (10, 0, 2, 1)))
        #expect(!Self.allows(ingress, Self.front, (10, 1, 1, 1)))
    }

    @Test(arguments: [
        (NetworkPolicy.Port(transport: .tcp, port: .number(8080)), true),
        (NetworkPolicy.Port(transport: .tcp, port: .number(8081)), false),
        (NetworkPolicy.Port(transport: .tcp, port: .number(8000), endPort: 8100), true),
        (NetworkPolicy.Port(transport: .tcp, port: .number(8000), endPort: 8079), false),
        (NetworkPolicy.Port(transport: .tcp, port: .name("http")), true),
        (NetworkPolicy.Port(transport: .tcp, port: .name("admin")), false),
        (NetworkPolicy.Port(transport: .tcp), true),
        (NetworkPolicy.Port(transport: .udp, port: .number(8080)), false),
    ])
    func ports(port: NetworkPolicy.Port, isAllowed: Bool) {
        #expect(Self.allows(Self.ingress([.init(ports: [port])]), Self.front, (10, 0, 1, 1)) == isAllowed)
    }
}
