import Proxy
import Testing
import WeftABI

@testable import Telemetry

@Suite("The service graph") struct ServiceGraphTests {
    private func graph(_ change: (inout SignalBench) -> Void) -> ServiceGraph {
        var bench = SignalBench()
        bench.read()
        change(&bench)
        bench.read()
        return bench.signals.graph(window: 60 * second)
    }

    @Test("Ends by their names: workloads, services without a workload behind them, and what is outside")
    func ends() {
        let graph = graph { bench in
            bench.traffic = [
                (trafficKey(reporter: WEFT_REPORTER_BOTH), traffic(opened: 1)),
                (trafficKey(destination: 0), traffic(opened: 2)),
                (trafficKey(service: 0, destination: 3), traffic(opened: 3)),
                (
                    trafficKey(
                        service: 0, destination: 0, lane: WEFT_LANE_PASSTHROUGH, addressClass: WEFT_CLASS_PUBLIC),
                    traffic(opened: 4)
                ),
                (
                    trafficKey(source: 0, service: 0, destination: 2, reporter: WEFT_REPORTER_DESTINATION),
                    traffic(opened: 5, sent: 10, received: 20)
                ),
                (overflowKey, traffic(opened: 6)),
            ]
        }
        let found = graph.edges.map { "\($0.from.id) > \($0.to.id) \($0.service?.name ?? "-") \($0.totals.opened)" }
        #expect(
            found == [
                "outside > workload/shop/web-1 - 5",
                "workload/shop/client > outside/public - 4",
                "workload/shop/client > service/shop/web web 2",
                "workload/shop/client > workload/shop/web-1 web 1",
                "workload/shop/client > workload/shop/web-2 - 3",
            ])
        // The client's view, whoever has counted.
        #expect(graph.edges.first?.totals.sentBytes == 20)
        #expect(graph.edges.map(\.security) == ["none", "none", "none", "kernel", "none"])
        #expect(graph.nodes.map(\.node.id).count == 6)
        #expect(graph.nodes.first { $0.node.name == "client" }?.totals.opened == 0)
    }

    @Test("Connections that the proxy carries are those of the only workload that has served their requests")
    func capturedByOne() {
        let graph = graph { bench in
            bench.traffic = [
                (trafficKey(destination: 0, lane: WEFT_LANE_PROXY), traffic(opened: 4, sent: 100, received: 900))
            ]
            bench.proxy(9)
        }
        #expect(graph.edges.count == 1)
        #expect(graph.edges.first?.to.name == "web-1")
        #expect(graph.edges.first?.totals.requests == 9)
        #expect(graph.edges.first?.totals.opened == 4)
        #expect(graph.edges.first?.totals.receivedBytes == 900)
        #expect(graph.edges.first?.hasConnections == true)
    }

    @Test("Of several, nobody knows whose the connections are; refusals stay with the service")
    func capturedBySeveral() {
        let graph = graph { bench in
            bench.traffic = [
                (trafficKey(destination: 0, lane: WEFT_LANE_PROXY), traffic(opened: 4, denied: 3, sent: 100))
            ]
            bench.proxy(9)
            bench.proxy(2, destination: 3)
        }
        #expect(graph.edges.map(\.to.id) == ["service/shop/web", "workload/shop/web-1", "workload/shop/web-2"])
        #expect(graph.edges.map(\.totals.requests) == [0, 9, 2])
        #expect(graph.edges.map(\.totals.opened) == [0, 0, 0])
        #expect(graph.edges.map(\.totals.denied) == [3, 0, 0])
        #expect(graph.edges.map(\.hasConnections) == [true, false, false])
    }

    @Test("Without any request the service stands where its workload would")
    func capturedWithoutRequests() {
        let graph = graph { bench in
            bench.traffic = [(trafficKey(destination: 0, lane: WEFT_LANE_PROXY), traffic(opened: 1))]
        }
        #expect(graph.edges.map(\.to.id) == ["service/shop/web"])
        #expect(graph.edges.first?.totals.opened == 1)
    }

    @Test("Tunnels are mutual TLS")
    func tunnels() {
        let graph = graph { bench in
            bench.traffic = [(trafficKey(destination: 3, lane: WEFT_LANE_TUNNEL), traffic(opened: 1))]
        }
        #expect(graph.edges.map(\.security) == ["mutual_tls"])
        #expect(graph.edges.first?.totals.lanes.map(\.lane) == ["tunnel"])
    }
}
