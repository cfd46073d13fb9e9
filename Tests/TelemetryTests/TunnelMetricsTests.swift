import Proxy
import Testing
import WeftABI

@testable import Telemetry

/// Connections at the server's end of tunnels, in Istio's families.
@Suite struct TunnelMetricsTests {
    private let peers = PeerNames()
    private let worker = WorkerStatistics()

    init() { peers.add("spiffe://cluster.local/ns/shop/sa/client") }

    private func key(_ source: UInt64) -> WorkerStatistics.ConnectionKey {
        WorkerStatistics.ConnectionKey(source: source, service: 0, destination: 2, peer: 1)
    }

    private func update(_ metrics: inout TrafficMetrics, at time: UInt64) {
        metrics.update([], workers: [worker], peers: [peers], directory: TestDirectory.shop, now: time)
    }

    @Test func connectionsHaveIstiosLabels() {
        var metrics = TrafficMetrics()
        let place = worker.connectionOpened(key(1))
        _ = worker.connectionOpened(key(1))
        worker.connectionMoved(place, sent: 700, received: 3)
        worker.connectionClosed(place)
        update(&metrics, at: second)
        let found = metrics.exposition
        #expect(found.duplicates.isEmpty)
        for (family, value) in [
            ("connections_opened", 2.0), ("connections_closed", 1), ("sent_bytes", 700), ("received_bytes", 3),
        ] {
            #expect(
                found.sum(
                    "istio_tcp_\(family)_total", "reporter=\"destination\"", "source_workload=\"client\"",
                    "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"",
                    "destination_workload=\"web-1\"", "connection_security_policy=\"mutual_tls\"",
                    "request_protocol=\"tcp\"", "weft_lane=\"tunnel\"") == value, "\(family)")
            #expect(found.sum("istio_tcp_\(family)_total") == value)
        }
    }

    @Test func aPeerWithoutAWorkloadHasItsPrincipal() {
        var metrics = TrafficMetrics()
        _ = worker.connectionOpened(key(0))
        update(&metrics, at: second)
        #expect(
            metrics.exposition.sum(
                "istio_tcp_connections_opened_total", "source_workload=\"unknown\"",
                "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"") == 1)
    }

    @Test func theKernelsEndOfATunnelIsMutualTLSToo() {
        var metrics = TrafficMetrics()
        metrics.update(
            [(trafficKey(lane: WEFT_LANE_TUNNEL), traffic(opened: 1)), (trafficKey(), traffic(opened: 2))],
            directory: TestDirectory.shop, now: second)
        let found = metrics.exposition
        let family = "istio_tcp_connections_opened_total"
        #expect(found.sum(family, "connection_security_policy=\"mutual_tls\"", "weft_lane=\"tunnel\"") == 1)
        #expect(found.sum(family, "connection_security_policy=\"unknown\"", "weft_lane=\"kernel\"") == 2)
    }

    /// What has ended leaves its room, what is open does not, and nothing is counted twice.
    @Test func idleSeriesExpireButOpenConnectionsKeepTheirPlaces() {
        let worker = WorkerStatistics(connections: 2)
        var metrics = TrafficMetrics(expiry: .seconds(10))
        func update(_ time: UInt64) {
            metrics.update([], workers: [worker], peers: [peers], directory: TestDirectory.shop, now: time)
        }
        let open = worker.connectionOpened(key(1))
        worker.connectionClosed(worker.connectionOpened(key(2)))
        update(second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total") == 2)
        update(12 * second)
        #expect(metrics.exposition.count("istio_tcp_connections_opened_total") == 0)
        worker.connectionClosed(worker.connectionOpened(key(3)))
        worker.connectionMoved(open, sent: 5, received: 0)
        worker.connectionClosed(open)
        update(13 * second)
        let found = metrics.exposition
        #expect(found.sum("istio_tcp_connections_opened_total", "source_workload=\"web-2\"") == 1)
        #expect(found.sum("istio_tcp_connections_closed_total", "source_workload=\"client\"") == 1)
        #expect(found.sum("istio_tcp_sent_bytes_total", "source_workload=\"client\"") == 5)
        #expect(found.sum("istio_tcp_connections_opened_total", "reporter=\"overflow\"") == 0)
    }
}
