import Proxy
import Testing

@testable import Telemetry

@Suite struct ProxyMetricsTests {
    private func exposition(_ workers: [WorkerStatistics]) -> Exposition {
        var writer = MetricWriter()
        ProxyMetrics(workers).write(to: &writer)
        return Exposition(writer)
    }

    @Test func failuresOfTunnelsAreCountedByCause() {
        let found = exposition([WorkerStatistics(), WorkerStatistics()])
        #expect(found.duplicates.isEmpty)
        #expect(found.count("weft_tunnel_handshake_failures_total") == WorkerStatistics().handshakeFailures.count)
        #expect(found.count("weft_tunnel_violations_total") == WorkerStatistics().peerViolations.count)
        #expect(found.sum("weft_tunnel_handshake_failures_total") == 0)
    }

    @Test func countersAndGaugesOfTheProxy() {
        let workers = [WorkerStatistics(capacity: 1), WorkerStatistics(capacity: 1)]
        for worker in workers {
            worker.add(.retries, 2)
            worker.add(.downstreamActive, 5)
        }
        // Opened by one worker, closed by the other.
        workers[0].add(.upstreamIdle, -1)
        workers[1].add(.upstreamIdle, 1)
        let found = exposition(workers)
        #expect(found.values["weft_proxy_retries_total"] == 4)
        #expect(found.values["weft_proxy_downstream_connections_active"] == 10)
        #expect(found.values["weft_proxy_upstream_connections_idle"] == 0)
    }
}
