import Proxy
import Testing
import WeftABI

@testable import Telemetry

/// Linkerd's names. Source: https://linkerd.io/2/reference/proxy-metrics
@Suite struct LinkerdTests {
    private func exposition(_ metrics: RequestMetrics) -> Exposition {
        var writer = MetricWriter()
        metrics.write(to: &writer)
        return Exposition(writer)
    }

    private func metrics(_ readings: [(weft_requests_key, weft_requests)], limit: Int = 100) -> RequestMetrics {
        var metrics = RequestMetrics(limit: limit, compatibility: [.linkerd])
        metrics.update(readings.map { (key: $0.0, sum: $0.1) }, directory: TestDirectory.shop, now: second)
        return metrics
    }

    @Test func theSwitchIsAList() {
        #expect(MetricsCompatibility.list("") == [])
        #expect(MetricsCompatibility.list("linkerd") == [.linkerd])
        #expect(MetricsCompatibility.list("linkerd, linkerd") == [.linkerd])
        #expect(MetricsCompatibility.list("linkerd,istio") == nil)
    }

    @Test func withoutTheSwitchThereIsNothing() {
        var requests = RequestMetrics()
        requests.update([(key: requestKey(), sum: Self.requests)], directory: TestDirectory.shop, now: second)
        #expect(exposition(requests).count("request_total") == 0)
        var traffic = TrafficMetrics()
        traffic.update([(trafficKey(), Self.connection)], directory: TestDirectory.shop, now: second)
        #expect(traffic.exposition.count("tcp_open_total") == 0)
    }

    private static let requests = TelemetryTests.requests([1500, 1500, 30_000_000])
    private static let connection = TelemetryTests.traffic(opened: 3, closed: 1, sent: 100, received: 900)

    /// The selectors are those of Linkerd's dashboards.
    @Test func dashboardsFindWhatTheyAskFor() {
        let found = exposition(
            metrics([(requestKey(), Self.requests), (requestKey(status: 503), TelemetryTests.requests([10]))]))
        #expect(found.duplicates.isEmpty)
        let server = ["namespace=\"shop\"", "deployment=\"app-web-1\"", "direction=\"inbound\"", "tls=\"no_identity\""]
        #expect(found.sum("request_total", server[0], server[1], server[2], server[3]) == 4)
        #expect(found.sum("response_total", "classification=\"success\"", server[1], server[2]) == 3)
        #expect(
            found.sum("response_total", "classification=\"failure\"", "status_code=\"503\"", server[1], server[2]) == 1)
        let client = ["namespace=\"shop\"", "deployment=\"app-client\"", "direction=\"outbound\""]
        let to = ["dst_namespace=\"shop\"", "dst_deployment=\"app-web-1\"", "dst_service=\"web\"", "dst_pod=\"web-1\""]
        #expect(found.sum("request_total", client[0], client[1], client[2], to[0]) == 4)
        #expect(found.sum("request_total", to[0], to[1], to[2], to[3]) == 4)
        #expect(!found.text.contains("authority="))
        func bucket(_ le: String) -> Double {
            found.sum("response_latency_ms_bucket", server[1], server[2], "status_code=\"200\"", "le=\"\(le)\"")
        }
        #expect(bucket("1") == 0)
        #expect(bucket("2") == 2)
        #expect(bucket("20000") == 2)
        #expect(bucket("30000") == 3)
        #expect(bucket("50000") == 3)
        #expect(bucket("+Inf") == 3)
        #expect(found.sum("response_latency_ms_sum", server[1], server[2], "status_code=\"200\"") == 30_003)
        #expect(
            found.values.keys.filter {
                $0.hasPrefix("response_latency_ms_bucket{direction=\"inbound\"") && $0.contains("status_code=\"200\"")
            }.count == 26)
    }

    @Test func whoDoesNotWaitGetsNoResponse() {
        let found = exposition(
            metrics([
                (requestKey(status: 0, outcome: WEFT_REQUEST_CLIENT_ENDED), TelemetryTests.requests([10])),
                (requestKey(status: 0, outcome: WEFT_REQUEST_SERVER_ENDED), TelemetryTests.requests([10, 10])),
            ]))
        #expect(found.sum("request_total", "direction=\"inbound\"") == 3)
        #expect(found.sum("response_total", "direction=\"inbound\"", "classification=\"failure\"") == 2)
        #expect(found.sum("response_total", "status_code=") == 0)
    }

    @Test func bothSidesOfATunnelKnowTheOther() {
        let peers = PeerNames()
        peers.add("spiffe://cluster.local/ns/ops/sa/other")
        let worker = WorkerStatistics(capacity: 8)
        var record = RequestRecord()
        record.source = 1
        record.service = 101
        record.destination = 3
        record.status = 200
        record.isToTunnel = true
        worker.record(record)
        record.destination = 2
        record.isToTunnel = false
        record.isFromTunnel = true
        record.isInbound = true
        record.peer = 1
        worker.record(record)
        var metrics = RequestMetrics(compatibility: [.linkerd])
        metrics.update(workers: [worker], peers: [peers], directory: TestDirectory.shop, now: second)
        let found = exposition(metrics)
        #expect(
            found.sum(
                "request_total", "direction=\"outbound\"", "tls=\"true\"",
                "server_id=\"spiffe://cluster.local/ns/shop/sa/web-2\"") == 1)
        #expect(
            found.sum(
                "request_total", "direction=\"inbound\"", "tls=\"true\"",
                "client_id=\"spiffe://cluster.local/ns/ops/sa/other\"") == 1)
    }

    @Test func connectionsAreCountedAtTheirWorkloads() {
        var metrics = TrafficMetrics(compatibility: [.linkerd])
        metrics.update(
            [(trafficKey(reporter: WEFT_REPORTER_BOTH), Self.connection)], directory: TestDirectory.shop, now: second)
        let found = metrics.exposition
        let server = ["direction=\"inbound\",peer=\"src\"", "deployment=\"app-web-1\""]
        let client = ["direction=\"outbound\",peer=\"dst\"", "deployment=\"app-client\"", "dst_service=\"web\""]
        #expect(found.sum("tcp_open_total", server[0], server[1]) == 3)
        #expect(found.sum("tcp_close_total", client[0], client[1], client[2]) == 1)
        #expect(found.sum("tcp_open_connections", server[0]) == 2)
        #expect(found.sum("tcp_read_bytes_total", server[0]) == 100)
        #expect(found.sum("tcp_write_bytes_total", server[0]) == 900)
        #expect(found.sum("tcp_read_bytes_total", client[0]) == 900)
        #expect(found.sum("tcp_write_bytes_total", client[0]) == 100)
        #expect(found.text.contains("# TYPE tcp_open_connections gauge"))
        // Whoever holds connections open is there, however long nothing moves.
        metrics.update(
            [(trafficKey(reporter: WEFT_REPORTER_BOTH), Self.connection)], directory: TestDirectory.shop,
            now: 7000 * second)
        #expect(metrics.exposition.sum("tcp_open_connections", server[0]) == 2)
        #expect(metrics.exposition.count("istio_tcp_connections_opened_total") == 0)
        metrics.update(
            [
                (
                    trafficKey(reporter: WEFT_REPORTER_BOTH),
                    TelemetryTests.traffic(opened: 3, closed: 3, sent: 100, received: 900)
                )
            ],
            directory: TestDirectory.shop, now: 7001 * second)
        metrics.update([], directory: TestDirectory.shop, now: 9000 * second)
        #expect(metrics.exposition.count("tcp_open_connections") == 0)
    }

    @Test func seriesAreBoundedAndTheRestIsCounted() {
        let found = exposition(
            metrics(
                (100..<600 as Range<UInt16>).map { (requestKey(status: $0), TelemetryTests.requests([10])) }, limit: 10)
        )
        #expect(found.duplicates.isEmpty)
        #expect(found.count("response_total") == 11)
        #expect(found.sum("response_total") == 1000)
        #expect(found.sum("response_total", "direction=\"overflow\"") == 990)
        #expect(found.count("request_total") == 2)
    }
}
