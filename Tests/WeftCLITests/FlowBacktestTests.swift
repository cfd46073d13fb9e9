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
        transport: String = "tcp"
    ) throws -> FlowLine {
        func text(_ value: String?) -> String { value.map { "\"\($0)\"" } ?? "null" }
        let json = """
            {"time":"2026-01-01T00:00:00Z","event":"\(event)","reporter":"source","protocol":"\(transport)",\
            "lane":"direct","from":\(text(from)),"to":null,"destination":\(text(to)),"source_address":"\(address)",\
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
        #expect(backtest.skipped == 0)
    }

    @Test func whatPolicyHasNoSayInIsLeftOut() throws {
        var backtest = FlowBacktest(try snapshot())
        backtest.add(try line("closed", from: nil, to: nil))
        backtest.add(try line("closed", from: nil, transport: "udp"))
        backtest.add(try line("closed", from: "shop/gone"))
        backtest.add(try line("closed", from: nil, to: "shop/gone"))
        #expect(try backtest.changes().isEmpty)
        #expect(backtest.skipped == 4)
    }
}
