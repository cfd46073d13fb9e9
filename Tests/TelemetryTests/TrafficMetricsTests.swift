import Testing
import WeftABI

@testable import Telemetry

@Suite struct TrafficMetricsTests {
    @Test func allOfIstiosLabelsAreThere() {
        var metrics = TrafficMetrics()
        metrics.update([(trafficKey(), traffic(opened: 3))], directory: TestDirectory.shop, now: second)
        let expected =
            "istio_tcp_connections_opened_total{reporter=\"source\""
            + ",source_workload=\"client\",source_workload_namespace=\"shop\""
            + ",source_principal=\"spiffe://cluster.local/ns/shop/sa/client\",source_app=\"app-client\""
            + ",source_version=\"v1\",source_cluster=\"Kubernetes\",source_canonical_service=\"app-client\""
            + ",source_canonical_revision=\"v1\""
            + ",destination_workload=\"web-1\",destination_workload_namespace=\"shop\""
            + ",destination_principal=\"spiffe://cluster.local/ns/shop/sa/web-1\",destination_app=\"app-web-1\""
            + ",destination_version=\"v1\",destination_cluster=\"Kubernetes\""
            + ",destination_canonical_service=\"app-web-1\",destination_canonical_revision=\"v1\""
            + ",destination_service=\"web.shop.svc.cluster.local\",destination_service_name=\"web\""
            + ",destination_service_namespace=\"shop\",request_protocol=\"tcp\",response_flags=\"-\""
            + ",connection_security_policy=\"unknown\",weft_lane=\"kernel\"}"
        #expect(metrics.exposition.values[expected] == 3)
    }

    @Test func bytesAreCountedByDirectionWhicheverEndReports() {
        var metrics = TrafficMetrics()
        metrics.update(
            [
                (trafficKey(), traffic(opened: 1, sent: 100, received: 9000)),
                (trafficKey(reporter: WEFT_REPORTER_DESTINATION), traffic(opened: 1, sent: 9000, received: 100)),
            ], directory: TestDirectory.shop, now: second)
        let exposition = metrics.exposition
        for reporter in ["source", "destination"] {
            #expect(exposition.sum("istio_tcp_received_bytes_total", "reporter=\"\(reporter)\"") == 100)
            #expect(exposition.sum("istio_tcp_sent_bytes_total", "reporter=\"\(reporter)\"") == 9000)
        }
        // In Weft's own families a connection counts once.
        #expect(exposition.sum("weft_connections_total", "result=\"opened\"") == 1)
    }

    @Test func entriesWithEqualNamesAreOneSeries() {
        var metrics = TrafficMetrics()
        metrics.update(
            (UInt64(50)..<60).map { (trafficKey(source: $0), traffic(opened: 2, denied: 1)) },
            directory: TestDirectory.shop, now: second)
        let exposition = metrics.exposition
        #expect(exposition.duplicates == [])
        #expect(exposition.count("istio_tcp_connections_opened_total") == 1)
        #expect(exposition.sum("istio_tcp_connections_opened_total", "source_workload=\"unknown\"") == 20)
        #expect(exposition.sum("weft_connections_total", "source=\"unknown\"", "result=\"denied\"") == 10)
    }

    @Test func readingsAddTheirDifferenceAndARemadeEntryCountsAsNew() {
        var metrics = TrafficMetrics()
        for opened in [UInt64(5), 5, 9] {
            metrics.update([(trafficKey(), traffic(opened: opened))], directory: TestDirectory.shop, now: second)
        }
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total") == 9)
        metrics.update([(trafficKey(), traffic(opened: 2))], directory: TestDirectory.shop, now: second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total") == 11)
        // Gone from the kernel: the series stays until it expires.
        metrics.update([], directory: TestDirectory.shop, now: second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total") == 11)
    }

    @Test func aNewAgentGoesOnWhereTheOldOneWas() {
        let readings = [(trafficKey(), traffic(opened: 1000, sent: 5)), (trafficKey(source: 2), traffic(opened: 7))]
        var old = TrafficMetrics()
        old.update([(trafficKey(), traffic(opened: 400))], directory: TestDirectory.shop, now: second)
        old.update(readings, directory: TestDirectory.shop, now: 2 * second)
        var new = TrafficMetrics()
        new.update(readings, directory: TestDirectory.shop, now: 3 * second)
        #expect(old.exposition.values == new.exposition.values)
    }

    @Test func passthroughIsCountedByTheClassOfTheAddressAlone() {
        var metrics = TrafficMetrics()
        let key = trafficKey(
            service: 0, destination: 0, lane: WEFT_LANE_PASSTHROUGH, addressClass: WEFT_CLASS_PUBLIC)
        metrics.update(
            [(key, traffic(opened: 4, sent: 10, received: 20))], directory: TestDirectory.shop, now: second)
        let values = metrics.exposition.values
        #expect(
            values["weft_passthrough_connections_total{source=\"shop/client\",class=\"public\",result=\"opened\"}"] == 4
        )
        #expect(
            values["weft_passthrough_bytes_total{source=\"shop/client\",class=\"public\",direction=\"received\"}"] == 20
        )
        #expect(metrics.exposition.count("istio_tcp_sent_bytes_total") == 0)
    }

    @Test func theKernelsOverflowEntryIsTheOverflowSeries() {
        var metrics = TrafficMetrics()
        metrics.update([(overflowKey, traffic(opened: 5))], directory: TestDirectory.shop, now: second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total", "source_workload=\"overflow\"") == 5)
        #expect(metrics.exposition.sum("weft_connections_total", "source=\"overflow\"", "opened") == 5)
    }

    @Test func aRemovedWorkloadKeepsItsNameAndANewNameIsFollowed() {
        var metrics = TrafficMetrics()
        var directory = TestDirectory.shop
        metrics.update([(trafficKey(), traffic(opened: 1))], directory: directory, now: second)
        directory.generation = 2
        directory.workloads[1] = nil
        metrics.update([(trafficKey(), traffic(opened: 1, closed: 1))], directory: directory, now: second)
        #expect(metrics.exposition.sum("istio_tcp_connections_closed_total", "source_workload=\"client\"") == 1)

        directory.generation = 3
        directory.workloads[1] = WorkloadLabels(
            workload: "client", namespace: "shop", principal: "p", labels: ["version": "v2"])
        metrics.update([(trafficKey(), traffic(opened: 3, closed: 1))], directory: directory, now: second)
        let exposition = metrics.exposition
        #expect(exposition.sum("istio_tcp_connections_opened_total", "source_version=\"v1\"") == 1)
        #expect(exposition.sum("istio_tcp_connections_opened_total", "source_version=\"v2\"") == 2)
    }

    @Test func moreSeriesThanAllowedOverflowAndTheSumStaysExact() {
        var metrics = TrafficMetrics(limit: 10)
        var directory = TestDirectory.shop
        for id in UInt64(1000)..<1100 {
            directory.workloads[id] = WorkloadLabels(workload: "w\(id)", namespace: "n", principal: "p")
        }
        var totals: [UInt64: UInt64] = [:]
        var before: [String: Double] = [:]
        for round in 1...30 {
            for id in UInt64(1000)..<1100 { totals[id, default: 0] += UInt64.random(in: 0..<5) }
            let readings = totals.map { (trafficKey(source: $0.key), traffic(opened: $0.value)) }
            metrics.update(readings, directory: directory, now: UInt64(round) * second)
            let exposition = metrics.exposition
            #expect(exposition.count("istio_tcp_connections_opened_total") <= 11)
            #expect(exposition.sum("istio_tcp_connections_opened_total") == Double(totals.values.reduce(0, +)))
            for (series, value) in before { #expect(exposition.values[series] ?? value >= value) }
            before = exposition.values
        }
    }

    @Test func aSeriesExpiresLeavesItsRoomAndComesBackWhereItWas() {
        var metrics = TrafficMetrics(limit: 1, expiry: .seconds(600))
        let old = trafficKey(source: 1)
        let other = trafficKey(source: 2)
        metrics.update([(old, traffic(opened: 100))], directory: TestDirectory.shop, now: second)
        metrics.update([(old, traffic(opened: 100))], directory: TestDirectory.shop, now: 602 * second)
        #expect(metrics.exposition.count("istio_tcp_connections_opened_total") == 0)

        metrics.update(
            [(old, traffic(opened: 100)), (other, traffic(opened: 3))], directory: TestDirectory.shop,
            now: 603 * second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total", "source_workload=\"web-1\"") == 3)
        // No room: what happens now overflows, once.
        metrics.update(
            [(old, traffic(opened: 105)), (other, traffic(opened: 3))], directory: TestDirectory.shop,
            now: 604 * second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total", "overflow") == 5)
        // The other has expired: the old one continues without what overflowed.
        let later = 1300 * second
        metrics.update(
            [(old, traffic(opened: 105)), (other, traffic(opened: 3))], directory: TestDirectory.shop, now: later)
        metrics.update(
            [(old, traffic(opened: 107)), (other, traffic(opened: 3))], directory: TestDirectory.shop, now: later)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total", "source_workload=\"client\"") == 102)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total") == 107)
    }

    @Test func aSeriesWhoseEntryWasDeletedBeginsAgainAtZero() {
        var metrics = TrafficMetrics(limit: 1)
        metrics.update([(trafficKey(), traffic(opened: 100))], directory: TestDirectory.shop, now: second)
        metrics.update([], directory: TestDirectory.shop, now: 700 * second)
        metrics.update([(trafficKey(), traffic(opened: 2))], directory: TestDirectory.shop, now: 701 * second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total") == 2)
    }

    @Test func aConnectionWithinTheNodeIsReportedByBothEnds() {
        var metrics = TrafficMetrics()
        let counted = traffic(opened: 5, closed: 4, failed: 1, sent: 100, received: 900, connect: [7])
        metrics.update(
            [(trafficKey(reporter: WEFT_REPORTER_BOTH), counted)], directory: TestDirectory.shop, now: second)
        let found = metrics.exposition
        for (reporter, security) in [("source", "unknown"), ("destination", "none")] {
            let labels = ["reporter=\"\(reporter)\"", "connection_security_policy=\"\(security)\""]
            #expect(found.sum("istio_tcp_connections_opened_total", labels[0], labels[1]) == 5)
            #expect(found.sum("istio_tcp_connections_closed_total", labels[0], labels[1]) == 4)
            #expect(found.sum("istio_tcp_received_bytes_total", labels[0], labels[1]) == 100)
            #expect(found.sum("istio_tcp_sent_bytes_total", labels[0], labels[1]) == 900)
        }
        #expect(found.sum("istio_tcp_connections_opened_total") == 10)
        #expect(found.sum("weft_connections_total", "result=\"opened\"") == 5)
        #expect(found.sum("weft_connections_total", "result=\"failed\"") == 1)
        #expect(found.values.filter { $0.key.hasPrefix("weft_connect_duration_seconds_count") }.map(\.value) == [1])
    }

    @Test func idleEntriesMayBeDeletedUnlessAConnectionIsOpen() {
        var metrics = TrafficMetrics(limit: 1, expiry: .seconds(600))
        // The second one has no series; the third one's connection is open.
        let readings = [
            (trafficKey(source: 1), traffic(opened: 3, closed: 3)),
            (trafficKey(source: 2), traffic(opened: 1, closed: 1)),
            (trafficKey(source: 3), traffic(opened: 2, closed: 1)), (overflowKey, traffic(opened: 1, closed: 1)),
        ]
        metrics.update(readings, directory: TestDirectory.shop, now: second)
        #expect(metrics.retirable(now: 600 * second).isEmpty)
        metrics.update(readings, directory: TestDirectory.shop, now: 601 * second)
        #expect(metrics.retirable(now: 601 * second).map(\.source).sorted() == [1, 2])
        #expect(metrics.retirable(now: 601 * second, limit: 1).count == 1)
        // It has counted once more before it was deleted.
        metrics.retired(
            readings[0].0, last: traffic(opened: 4, closed: 4), directory: TestDirectory.shop, now: 601 * second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total", "source_workload=\"client\"") == 4)
        #expect(metrics.retirable(now: 601 * second).map(\.source) == [2])
        // It comes back with the counters of an entry that was made anew.
        metrics.update(
            [(readings[0].0, traffic(opened: 1))], directory: TestDirectory.shop, now: 602 * second)
        #expect(metrics.exposition.sum("istio_tcp_connections_opened_total", "source_workload=\"client\"") == 5)
    }
}
