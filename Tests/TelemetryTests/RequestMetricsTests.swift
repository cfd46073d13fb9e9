import Proxy
import Testing

@testable import Telemetry

@Suite struct RequestMetricsTests {
    private func request(
        source: UInt64 = 1, destination: UInt64 = 2, status: UInt16 = 200, flags: ResponseFlags = [],
        isInbound: Bool = false, rule: UInt64 = 301, microseconds: UInt64 = 1500
    ) -> RequestRecord {
        var record = RequestRecord()
        record.source = source
        record.service = 101
        record.destination = destination
        record.status = status
        record.flags = flags
        record.isInbound = isInbound
        record.rule = rule
        record.started = second
        record.ended = second + microseconds * 1000
        record.requestBody = 3
        record.responseBody = 700
        return record
    }

    private var directory: TestDirectory {
        var directory = TestDirectory.shop
        directory.workloads[2]?.isLocal = true
        directory.routes[301] = "HTTPRoute shop/web rule 0"
        return directory
    }

    private func exposition(_ metrics: RequestMetrics) -> Exposition {
        var writer = MetricWriter()
        metrics.write(to: &writer)
        return Exposition(writer)
    }

    @Test func requestsHaveIstiosLabelsAndWorkersAreSummed() {
        let workers = [WorkerStatistics(capacity: 64), WorkerStatistics(capacity: 64)]
        for worker in workers {
            for _ in 0..<3 { worker.record(request()) }
            worker.record(request(destination: 3, status: 503, flags: [.noHealthyUpstream, .upstreamOverflow]))
        }
        var metrics = RequestMetrics()
        metrics.update(workers: workers, directory: directory, now: second)
        let found = exposition(metrics)
        #expect(found.duplicates.isEmpty)
        #expect(
            found.sum(
                "istio_requests_total", "reporter=\"source\"", "source_workload=\"client\"",
                "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"", "destination_workload=\"web-1\"",
                "destination_service=\"web.shop.svc.cluster.local\"", "destination_service_name=\"web\"",
                "request_protocol=\"http\"", "response_code=\"200\"", "response_flags=\"-\"", "weft_lane=\"proxy\"")
                == 6)
        // web-1 is on this node, so its end is reported too; web-2 is not.
        #expect(found.sum("istio_requests_total", "reporter=\"destination\"") == 6)
        #expect(
            found.sum("istio_requests_total", "response_code=\"503\"", "response_flags=\"UH,UO\"") == 2)
        let web = ["reporter=\"source\"", "response_code=\"200\""]
        func sum(_ family: String, _ extra: String...) -> Double {
            found.values.filter { series in
                series.key.hasPrefix(family + "{") && (web + extra).allSatisfy(series.key.contains)
            }.reduce(0) { $0 + $1.value }
        }
        #expect(sum("istio_request_duration_milliseconds_count") == 6)
        #expect(sum("istio_request_duration_milliseconds_sum") == 9)
        #expect(sum("istio_request_duration_milliseconds_bucket", "le=\"1\"") == 0)
        #expect(sum("istio_request_duration_milliseconds_bucket", "le=\"5\"") == 6)
        #expect(sum("istio_request_duration_milliseconds_bucket", "le=\"+Inf\"") == 6)
        #expect(sum("istio_request_bytes_sum") == 18)
        #expect(sum("istio_response_bytes_bucket", "le=\"500\"") == 0)
        #expect(sum("istio_response_bytes_bucket", "le=\"1000\"") == 6)
        #expect(found.sum("weft_route_requests_total", "route=\"HTTPRoute shop/web rule 0\"") == 8)
    }

    @Test func anInboundRequestIsTheServersToReport() {
        let worker = WorkerStatistics(capacity: 8)
        worker.record(request(source: 0, isInbound: true, rule: 0))
        var metrics = RequestMetrics()
        metrics.update(workers: [worker], directory: directory, now: second)
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total", "reporter=\"destination\"", "source_workload=\"unknown\"") == 1)
        #expect(found.sum("istio_requests_total", "reporter=\"source\"") == 0)
        #expect(found.sum("weft_route_requests_total", "route=\"none\"") == 1)
    }

    /// Both ends of what a tunnel has carried say so; of everything else only the server's end knows.
    @Test func tunnelsAreMutualTLSAtBothEnds() {
        let peers = PeerNames()
        peers.add("spiffe://cluster.local/ns/ops/sa/other")
        let worker = WorkerStatistics(capacity: 8)
        var outbound = request(destination: 3)
        worker.record(outbound)
        outbound.isToTunnel = true
        worker.record(outbound)
        var inbound = request(source: 0, isInbound: true)
        worker.record(inbound)
        inbound.isFromTunnel = true
        inbound.peer = 1
        worker.record(inbound)
        var metrics = RequestMetrics()
        metrics.update(workers: [worker], peers: [peers], directory: directory, now: second)
        let found = exposition(metrics)
        let name = "istio_requests_total"
        func count(_ reporter: String, _ security: String, _ principal: String) -> Double {
            found.sum(
                name, "reporter=\"\(reporter)\"", "connection_security_policy=\"\(security)\"",
                "source_principal=\"\(principal)\"")
        }
        #expect(count("source", "mutual_tls", "spiffe://cluster.local/ns/shop/sa/client") == 1)
        #expect(count("source", "unknown", "spiffe://cluster.local/ns/shop/sa/client") == 1)
        #expect(count("destination", "mutual_tls", "spiffe://cluster.local/ns/ops/sa/other") == 1)
        #expect(count("destination", "none", "unknown") == 1)
        #expect(found.sum(name) == 4)
    }

    @Test func whatDoesNotFitIsInTheOverflow() {
        let worker = WorkerStatistics(capacity: 4)
        for source in 1...9 as ClosedRange<UInt64> { worker.record(request(source: source, destination: 3)) }
        var metrics = RequestMetrics(limit: 2)
        metrics.update(workers: [worker], directory: directory, now: second)
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total", "reporter=\"source\"") == 2)
        #expect(found.sum("istio_requests_total", "reporter=\"overflow\"") == 7)
        #expect(found.sum("istio_requests_total") == 9)
    }

    /// An idle series is not shown after its time, its entry's room is given back, and nothing is counted twice.
    @Test func idleSeriesExpireAndTheirRoomIsUsedAgain() {
        let worker = WorkerStatistics(capacity: 2)
        var metrics = RequestMetrics(expiry: .seconds(10))
        var now = second
        var total = 0.0
        for round in 0..<6 as Range<UInt64> {
            for source in [10 + 2 * round, 11 + 2 * round] { worker.record(request(source: source, destination: 3)) }
            total += 2
            metrics.update(workers: [worker], directory: directory, now: now)
            let found = exposition(metrics)
            #expect(found.sum("istio_requests_total", "reporter=\"overflow\"") == 0, "round \(round)")
            // Unknown sources share a series, which goes on as long as one of them does.
            #expect(found.sum("istio_requests_total") == total, "round \(round)")
            now += 11 * second
            metrics.update(workers: [worker], directory: directory, now: now)
            #expect(exposition(metrics).count("istio_requests_total") == 0)
        }
    }

    @Test func namesThatChangeMoveOnToOtherSeries() {
        let worker = WorkerStatistics(capacity: 8)
        worker.record(request(destination: 3))
        var metrics = RequestMetrics()
        metrics.update(workers: [worker], directory: directory, now: second)
        var other = directory
        other.generation = 2
        other.workloads[1]?.version = "v2"
        worker.record(request(destination: 3))
        metrics.update(workers: [worker], directory: other, now: 2 * second)
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total", "source_version=\"v1\"") == 1)
        #expect(found.sum("istio_requests_total", "source_version=\"v2\"") == 1)
    }

    @Test func promtoolFindsNothingToSayOfRequests() throws {
        let worker = WorkerStatistics(capacity: 2)
        for source in 1...5 as ClosedRange<UInt64> { worker.record(request(source: source)) }
        var metrics = RequestMetrics(limit: 1)
        metrics.update(workers: [worker], directory: directory, now: second)
        var writer = MetricWriter()
        metrics.write(to: &writer)
        let (status, output) = try run(["promtool", "check", "metrics"], input: writer.bytes)
        // Istio's name says milliseconds; everything else is as Prometheus recommends it.
        let complaints = output.split(separator: "\n").filter {
            !$0.hasPrefix("istio_request_duration_milliseconds use base unit \"seconds\"")
        }
        #expect(complaints.isEmpty, "\(status) \(output)")
    }
}
