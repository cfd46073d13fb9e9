import Testing
import WeftABI

@testable import Telemetry

@Suite struct MetricWriterTests {
    @Test func familiesAndSamplesAreWrittenAsPrometheusReadsThem() {
        var writer = MetricWriter()
        writer.family("weft_things_total", .counter, help: "Things\\and\nlines.")
        writer.sample(MetricLabels([("a", "x\"y\\z\nw"), ("b", "ü")]), UInt64(0))
        writer.sample(MetricLabels(), UInt64.max)
        writer.gauge("weft_part", help: "Part.", 0.25)
        #expect(
            String(decoding: writer.bytes, as: UTF8.self) == """
                # HELP weft_things_total Things\\\\and\\nlines.
                # TYPE weft_things_total counter
                weft_things_total{a="x\\"y\\\\z\\nw",b="ü"} 0
                weft_things_total 18446744073709551615
                # HELP weft_part Part.
                # TYPE weft_part gauge
                weft_part 0.25

                """)
    }

    @Test func histogramBoundsAreInclusiveAndBucketsCumulative() {
        // 7 µs is the largest value of bucket 3, 8 µs the smallest of bucket 4.
        let values: [UInt64] = [0, 1, 7, 8, 15, 16, 1000, 4_194_303, 4_194_304, 100_000_000]
        var writer = MetricWriter()
        writer.family("t_seconds", .histogram, help: "T.")
        writer.sample(MetricLabels([("s", "x")]), microseconds: Histogram(traffic(rtt: values).rtt_us))
        let exposition = Exposition(writer)
        func bucket(_ le: String) -> Double? { exposition.values["t_seconds_bucket{s=\"x\",le=\"\(le)\"}"] }
        #expect(bucket("0.000007") == 3)
        #expect(bucket("0.000015") == 5)
        #expect(bucket("0.000031") == 6)
        #expect(bucket("0.001023") == 7)
        #expect(bucket("4.194303") == 8)
        #expect(bucket("+Inf") == 10)
        #expect(exposition.values["t_seconds_count{s=\"x\"}"] == 10)
        #expect(exposition.values["t_seconds_sum{s=\"x\"}"] == Double(values.reduce(0, +)) / 1e6)
        #expect(exposition.text.contains("t_seconds_sum{s=\"x\"} 108.389654\n"))
    }

    /// Every bound, against the kernel's own choice of the bucket.
    @Test func noValueIsCountedAboveItsBoundOrBelowTheOneBefore() {
        for exponent in UInt64(0)..<40 {
            for value in [UInt64(1) << exponent, (UInt64(1) << exponent) - 1] {
                let bucket = Int(weft_histogram_bucket(value))
                if bucket < Histogram.bucketCount - 1 { #expect(value <= (UInt64(1) << UInt64(bucket)) - 1) }
                if bucket > 0 { #expect(value > (UInt64(1) << UInt64(bucket - 1)) - 1) }
            }
        }
    }

    @Test func promtoolFindsNothingToSay() throws {
        var metrics = TrafficMetrics()
        var readings: [(weft_traffic_key, weft_traffic)] = [
            (overflowKey, traffic(opened: 1, rtt: [5])),
            (
                trafficKey(service: 0, destination: 0, lane: WEFT_LANE_PASSTHROUGH, addressClass: WEFT_CLASS_PUBLIC),
                traffic(opened: 1, sent: 5)
            ),
        ]
        for source in UInt64(1)...4 {
            for reporter in [WEFT_REPORTER_SOURCE, WEFT_REPORTER_DESTINATION] {
                let counted = traffic(
                    opened: 3, closed: 2, failed: 1, denied: 1, noBackend: 1, sent: 10, rtt: [50], connect: [60, 90])
                readings.append((trafficKey(source: source, reporter: reporter), counted))
            }
        }
        metrics.update(readings, directory: TestDirectory.shop, now: second)
        var policies = PolicyMetrics()
        var key = weft_rule_key()
        key.rule = 201
        key.verdict = UInt8(WEFT_VERDICT_DENY.rawValue)
        policies.update([(key, 7)], directory: TestDirectory.shop, now: second)

        var agent = AgentMetrics(version: "1.0", layout: 1, node: "node \"a\"")
        agent.process = ProcessStatistics.current()
        agent.configErrors = [("/etc/weft/a.yaml", 2), ("/etc/weft/a.yaml", 3)]
        agent.lastReloadSucceeded = true
        agent.lastReloadSuccessTime = 1_700_000_000
        agent.maps = [.init(name: "services", entries: 5, capacity: 10), .init(name: "x", entries: 0, capacity: 0)]
        agent.take(nodeCounters: [1, 2, 3, 4, 5, 6, 7])
        agent.features = [("ringbuf", true), ("kfunc", false)]
        agent.programs = [.init(name: "connect4", nanoseconds: 1500, runs: 3)]

        var writer = MetricWriter()
        agent.write(to: &writer)
        metrics.write(to: &writer)
        policies.write(to: &writer)
        let exposition = Exposition(writer)
        #expect(exposition.duplicates == [])
        #expect(
            exposition.values[
                "weft_policy_decisions_total{policy=\"shop/no-mallory[0]\",verdict=\"deny\",mode=\"enforce\"}"] == 7)
        #expect(exposition.values["weft_map_pressure{map=\"services\"}"] == 0.5)
        #expect(exposition.values["weft_failed_closed_total"] == 6)
        #expect(exposition.sum("process_resident_memory_bytes") > 1_000_000)
        #expect(exposition.sum("process_open_fds") >= 3)
        let (status, output) = try run(["promtool", "check", "metrics"], input: writer.bytes)
        #expect(status == 0)
        #expect(output == "")
    }

    @Test func aScrapeOfManySeriesIsCheap() {
        var metrics = TrafficMetrics()
        var directory = TestDirectory.shop
        for id in UInt64(1000)..<6000 {
            directory.workloads[id] = WorkloadLabels(
                workload: "w-\(id)", namespace: "shop", principal: "spiffe://cluster.local/ns/shop/sa/w-\(id)",
                labels: ["app": "w"])
        }
        let readings = (UInt64(1000)..<6000).map { (trafficKey(source: $0), traffic(opened: $0, rtt: [$0])) }
        metrics.update(readings, directory: directory, now: second)
        let clock = ContinuousClock()
        var best = Duration.seconds(100)
        var size = 0
        for _ in 0..<3 {
            let took = clock.measure {
                var writer = MetricWriter(capacity: size)
                metrics.write(to: &writer)
                size = writer.bytes.count
            }
            best = min(best, took)
        }
        print("5,000 series: \(size) bytes in \(best)")
        #expect(metrics.exposition.count("istio_tcp_connections_opened_total") == 5000)
        #expect(best < .seconds(5))  // far from the truth in either build: it guards against quadratic work
    }
}
