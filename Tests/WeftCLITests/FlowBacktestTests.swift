import Mesh
import Testing

@testable import weft

@Suite struct FlowBacktestTests {
    private func snapshot() throws -> MeshSnapshot {
        let client = MeshWorkload(name: ObjectName(namespace: "shop", name: "client"), serviceAccount: "client")
        let web = MeshWorkload(name: ObjectName(namespace: "shop", name: "web"), serviceAccount: "web")
        var source = AuthorizationPolicy.Source()
        source.principals = [.suffix("/sa/client")]
        source.ipBlocks = [try #require(IPBlock("10.0.0.0/24"))]
        var policy = AuthorizationPolicy(
            name: ObjectName(namespace: "shop", name: "clients"), rules: [AuthorizationPolicy.Rule(sources: [source])])
        policy.selector = [:]
        return MeshSnapshot(workloads: [client.name: client, web.name: web], policies: [policy.name: policy])
    }

    private func line(
        _ event: String, from: String?, address: String = "10.0.0.9:4000", to: String? = "shop/web",
        transport: String = "tcp", lane: String = "kernel", service: String? = nil
    ) throws -> FlowLine {
        func text(_ value: String?) -> String { value.map { "\"\($0)\"" } ?? "null" }
        let json = """
            {"time":"2026-01-01T00:00:00Z","event":"\(event)","reporter":"source","protocol":"\(transport)",\
            "lane":"\(lane)","from":\(text(from)),"to":\(text(service)),"destination":\(text(to)),"source_address":"\(address)",\
            "service_address":null,"peer_address":"10.1.0.1:8080","address_class":null,"rule":null,"bytes_sent":1,\
            "bytes_received":1,"duration_us":1,"connect_us":null,"rtt_us":null,"retransmits":0,"error":null,"cookie":1,\
            "netns_cookie":1,"cgroup":1}
            """
        return try FlowLine(Array(json.utf8))
    }

    @Test func onlyWhatWouldBeDecidedOtherwiseIsShown() throws {
        var backtest = FlowBacktest(try snapshot())
        backtest.add(try line("closed", from: "shop/client"))
        backtest.add(try line("denied", from: nil))
        backtest.add(try line("closed", from: nil))
        backtest.add(try line("closed", from: nil))
        backtest.add(try line("closed", from: "shop/client", address: "10.0.1.9:4000"))
        backtest.add(try line("denied", from: "shop/client"))
        let changes = try backtest.changes()
        #expect(
            changes.map {
                "\($0.flows) \($0.flow.from ?? "-") \($0.flow.sourceAddress ?? "-") \($0.flow.wasDenied) \($0.rule ?? "-")"
            }
                == [
                    "2 - 10.0.0.9 false shop/clients (no rule matched)",
                    "1 shop/client 10.0.0.9 true shop/clients[0]",
                    "1 shop/client 10.0.1.9 false shop/clients (no rule matched)",
                ])
        #expect(backtest.flows == 6)
        #expect(backtest.skipped.count == 0)
    }

    @Test func whatPolicyHasNoSayInIsLeftOut() throws {
        var backtest = FlowBacktest(try snapshot())
        backtest.add(try line("closed", from: nil, to: nil))
        backtest.add(try line("closed", from: nil, transport: "udp"))
        backtest.add(try line("closed", from: "shop/gone"))
        backtest.add(try line("closed", from: nil, to: "shop/gone"))
        #expect(try backtest.changes().isEmpty)
        #expect(backtest.skipped == FlowBacktest.Skipped(datagrams: 1, outside: 1, unknown: 2))
        #expect(
            backtest.summary
                == "4 flows; 4 skipped: 1 to no workload, 2 of workloads or services that it does not have, 1 of datagrams"
        )
    }

    @Test func aCarriedConnectionNeedsEveryPlaceThatItsRequestsMayGoTo() throws {
        var snapshot = try snapshot()
        let other = MeshWorkload(name: ObjectName(namespace: "shop", name: "other"), serviceAccount: "other")
        snapshot.workloads[other.name] = other
        let address = try #require(IPAddress("10.1.0.1"))
        func service(_ name: String, _ workloads: [String]) -> MeshService {
            let endpoints = workloads.map {
                MeshEndpoint(address: address, port: 8080, workload: ObjectName(namespace: "shop", name: $0))
            }
            return MeshService(
                name: ObjectName(namespace: "shop", name: name), addresses: [],
                ports: [MeshServicePort(name: "http", port: 80, transport: .tcp, endpoints: endpoints)],
                balancing: Balancing())
        }
        for service in [service("both", ["web", "other"]), service("open", [])] {
            snapshot.services[service.name] = service
        }
        var backtest = FlowBacktest(snapshot)
        backtest.add(try line("closed", from: nil, to: nil, lane: "proxy", service: "shop/both:80"))
        backtest.add(try line("closed", from: "shop/client", to: nil, lane: "proxy", service: "shop/both:80"))
        // The denied one names the workload that denied it.
        backtest.add(try line("denied", from: "shop/client", lane: "proxy", service: "shop/both:80"))
        backtest.add(try line("closed", from: nil, to: nil, lane: "proxy", service: "shop/open:80"))
        backtest.add(try line("closed", from: nil, to: nil, lane: "proxy", service: "shop/gone:80"))
        let changes = try backtest.changes()
        #expect(
            changes.map { "\($0.flow.destination) \($0.flow.from ?? "-") \($0.flow.wasDenied) \($0.rule ?? "-")" } == [
                "shop/both:80 - false shop/clients (no rule matched)", "shop/both:80 shop/client true shop/clients[0]",
            ])
        #expect(
            backtest.summary
                == "5 flows; 4 carried by the proxy, without their requests; 1 skipped: 1 of workloads or services that it does not have"
        )
    }

    @Test func networkPoliciesOfBothEndsAreAsked() throws {
        var snapshot = try snapshot()
        snapshot.policies = [:]
        let peer = NetworkPolicy.Peer.workloads(namespaces: nil, pods: LabelSelector(labels: ["app": "client"]))
        let port = NetworkPolicy.Port(transport: .tcp, port: .number(8080))
        let client = ObjectName(namespace: "shop", name: "client")
        snapshot.workloads[client]?.labels = ["app": "client"]
        snapshot.networkPolicies = Dictionary(
            uniqueKeysWithValues: [
                NetworkPolicy(
                    name: ObjectName(namespace: "shop", name: "in"), podSelector: LabelSelector(),
                    ingress: [.init(peers: [peer], ports: [port])]),
                NetworkPolicy(
                    name: ObjectName(namespace: "shop", name: "out"),
                    podSelector: LabelSelector(labels: ["app": "client"]),
                    egress: [.init(peers: [.block(try #require(IPBlock("10.2.0.0/16")), except: [])])]),
            ].map { ($0.name, $0) })
        snapshot.workloads[ObjectName(namespace: "shop", name: "web")]?.addresses = [
            try #require(IPAddress("10.1.0.1"))
        ]
        var backtest = FlowBacktest(snapshot)
        backtest.add(try line("closed", from: "shop/client"))
        backtest.add(try line("closed", from: nil))
        let rules = try backtest.changes().map { "\($0.flow.from ?? "-"): \($0.rule ?? "-")" }
        #expect(
            rules == [
                "-: NetworkPolicy shop/in (no rule matched)", "shop/client: NetworkPolicy shop/out (no rule matched)",
            ])
        snapshot.networkPolicies[ObjectName(namespace: "shop", name: "out")] = nil
        var again = FlowBacktest(snapshot)
        again.add(try line("closed", from: "shop/client"))
        #expect(try again.changes().isEmpty)
    }
}
