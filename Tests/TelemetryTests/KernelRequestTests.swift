import Proxy
import Testing
import WeftABI

@testable import Telemetry

/// Requests that the kernel's programs have read.
@Suite struct KernelRequestTests {
    private func exposition(_ metrics: RequestMetrics) -> Exposition {
        var writer = MetricWriter()
        metrics.write(to: &writer)
        return Exposition(writer)
    }

    private func update(
        _ metrics: inout RequestMetrics, _ readings: [(weft_requests_key, weft_requests)],
        _ directory: TestDirectory = .shop, now: UInt64 = second
    ) {
        metrics.update(readings.map { (key: $0.0, sum: $0.1) }, directory: directory, now: now)
    }

    @Test func aRequestWithinTheNodeIsReportedByBothEnds() {
        var metrics = RequestMetrics()
        update(&metrics, [(requestKey(), requests([1500, 1500, 40_000], requestBody: 3, responseBody: 700))])
        let found = exposition(metrics)
        #expect(found.duplicates.isEmpty)
        for (reporter, security) in [("source", "unknown"), ("destination", "none")] {
            #expect(
                found.sum(
                    "istio_requests_total", "reporter=\"\(reporter)\"", "source_workload=\"client\"",
                    "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"",
                    "destination_workload=\"web-1\"", "destination_service=\"web.shop.svc.cluster.local\"",
                    "request_protocol=\"http\"", "response_code=\"200\"", "response_flags=\"-\"",
                    "connection_security_policy=\"\(security)\"", "weft_lane=\"kernel\"") == 3)
            func sum(_ family: String, _ le: String...) -> Double {
                found.values.filter { series in
                    series.key.hasPrefix(family + "{") && series.key.contains("reporter=\"\(reporter)\"")
                        && le.allSatisfy { series.key.contains("le=\"\($0)\"") }
                }.reduce(0) { $0 + $1.value }
            }
            #expect(sum("istio_request_duration_milliseconds_count") == 3)
            #expect(sum("istio_request_duration_milliseconds_sum") == 43)
            #expect(sum("istio_request_duration_milliseconds_bucket", "1") == 0)
            #expect(sum("istio_request_duration_milliseconds_bucket", "5") == 2)
            #expect(sum("istio_request_duration_milliseconds_bucket", "50") == 3)
            #expect(sum("istio_request_bytes_sum") == 9)
            #expect(sum("istio_response_bytes_bucket", "500") == 0)
            #expect(sum("istio_response_bytes_bucket", "1000") == 3)
        }
        #expect(found.sum("istio_requests_total") == 6)
    }

    @Test func oneEndReportsWhatItAloneHasSeen() {
        var metrics = RequestMetrics()
        update(
            &metrics,
            [
                (requestKey(destination: 3, reporter: WEFT_REPORTER_SOURCE), requests([10])),
                (requestKey(source: 0, reporter: WEFT_REPORTER_DESTINATION), requests([10, 20])),
            ])
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total", "reporter=\"source\"", "destination_workload=\"web-2\"") == 1)
        #expect(found.sum("istio_requests_total", "reporter=\"destination\"", "source_workload=\"unknown\"") == 2)
        #expect(found.sum("istio_requests_total") == 3)
    }

    @Test func abortedRequestsCarryEnvoysFlags() {
        var metrics = RequestMetrics()
        update(
            &metrics,
            [
                (requestKey(status: 0, outcome: WEFT_REQUEST_CLIENT_ENDED), requests([10])),
                (requestKey(status: 0, outcome: WEFT_REQUEST_SERVER_ENDED), requests([10, 20])),
            ])
        let found = exposition(metrics)
        let name = "istio_requests_total"
        #expect(found.sum(name, "reporter=\"source\"", "response_code=\"0\"", "response_flags=\"DC\"") == 1)
        #expect(found.sum(name, "reporter=\"source\"", "response_code=\"0\"", "response_flags=\"UC\"") == 2)
        #expect(found.sum(name) == 6)
    }

    @Test func whatCouldNotBeFollowedIsOnlyCounted() {
        var metrics = RequestMetrics()
        var unparsed = weft_requests()
        unparsed.count = 4
        update(&metrics, [(requestKey(status: 0, outcome: WEFT_REQUEST_UNPARSED), unparsed)])
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total") == 0)
        for reporter in ["source", "destination"] {
            #expect(
                found.sum(
                    "weft_http_unparsed_total", "reporter=\"\(reporter)\"", "source=\"shop/client\"",
                    "destination_service=\"web.shop.svc.cluster.local\"", "lane=\"kernel\"") == 4)
        }
    }

    @Test func countersGoOnAndEntriesThatComeBackBeginAnew() {
        var metrics = RequestMetrics()
        update(&metrics, [(requestKey(), requests([10, 20]))])
        update(&metrics, [(requestKey(), requests([10, 20, 30]))], now: 2 * second)
        #expect(exposition(metrics).sum("istio_requests_total", "reporter=\"source\"") == 3)
        // Deleted and made again between two readings: more requests than before, but none of those that were known.
        update(&metrics, [(requestKey(), requests([5000, 5000, 5000, 5000]))], now: 3 * second)
        #expect(exposition(metrics).sum("istio_requests_total", "reporter=\"source\"") == 7)
        update(&metrics, [], now: 4 * second)
        update(&metrics, [(requestKey(), requests([10]))], now: 5 * second)
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total", "reporter=\"source\"") == 8)
        #expect(found.sum("istio_request_duration_milliseconds_count", "reporter=\"source\"") == 8)
    }

    @Test func lanesAreSeriesOfTheSameFamilies() {
        let worker = WorkerStatistics(capacity: 8)
        var record = RequestRecord()
        record.source = 1
        record.service = 101
        record.destination = 2
        record.status = 200
        worker.record(record)
        var directory = TestDirectory.shop
        directory.workloads[2]?.isLocal = true
        var metrics = RequestMetrics()
        metrics.update(
            [(key: requestKey(), sum: requests([10]))], workers: [worker], directory: directory, now: second)
        let found = exposition(metrics)
        #expect(found.duplicates.isEmpty)
        let series = found.values.keys.filter { $0.hasPrefix("istio_requests_total{") }
        #expect(series.count == 4)
        let withoutLane = Set(
            series.map { text in
                text.split(separator: ",").filter { !$0.hasPrefix("weft_lane=") }.joined(separator: ",")
            })
        #expect(withoutLane.count == 2)
    }

    @Test func whatDoesNotFitIsInTheOverflow() {
        var key = weft_requests_key()
        unsafe withUnsafeMutableBytes(of: &key) { bytes in
            for index in bytes.indices { unsafe bytes[index] = 0xff }
        }
        var metrics = RequestMetrics(limit: 4)
        var readings = (100..<200 as Range<UInt16>).map { (requestKey(status: $0), requests([10])) }
        readings.append((key, requests([10, 10, 10])))
        update(&metrics, readings)
        let found = exposition(metrics)
        #expect(found.duplicates.isEmpty)
        #expect(found.sum("istio_requests_total", "weft_lane=\"kernel\"") == 4)
        // Both ends of each request, and what the kernel had no room for.
        #expect(found.sum("istio_requests_total", "weft_lane=\"overflow\"") == 196 + 3)
    }

    @Test func namesThatChangeWhileTheTableIsFullKeepTheirSeries() {
        var metrics = RequestMetrics(limit: 4)
        update(&metrics, [(requestKey(), requests([10])), (requestKey(source: 3), requests([10]))])
        var other = TestDirectory.shop
        other.generation = 2
        other.workloads[3]?.version = "v2"
        update(
            &metrics, [(requestKey(), requests([10, 20])), (requestKey(source: 3), requests([10, 20]))], other,
            now: 2 * second)
        let found = exposition(metrics)
        #expect(found.sum("istio_requests_total", "source_workload=\"client\"") == 4)
        #expect(found.sum("istio_requests_total", "source_workload=\"web-2\"") == 2)
        #expect(found.sum("istio_requests_total", "weft_lane=\"overflow\"") == 2)
    }

    @Test func idleEntriesMayBeDeletedAndWhatTheyCountedMeanwhileIsNotLost() {
        var metrics = RequestMetrics(limit: 2, expiry: .seconds(600))
        let readings = [(requestKey(), requests([10])), (requestKey(status: 404), requests([10, 10]))]
        update(&metrics, readings)
        update(&metrics, readings, now: 600 * second)
        #expect(metrics.retirable(now: 600 * second).isEmpty)
        // The second one is in the overflow: it would keep its place in the map for ever.
        #expect(metrics.retirable(now: 601 * second).map(\.status).sorted() == [200, 404])
        metrics.retired(
            readings[0].0, last: requests([10, 20]), directory: TestDirectory.shop, now: 601 * second)
        #expect(exposition(metrics).sum("istio_requests_total", "reporter=\"source\"") == 2)
        #expect(metrics.retirable(now: 601 * second).map(\.status) == [404])
        update(&metrics, [(readings[0].0, requests([10]))], now: 602 * second)
        #expect(exposition(metrics).sum("istio_requests_total", "reporter=\"source\"") == 3)
    }
}
