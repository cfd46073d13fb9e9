import Proxy
import Testing
import WeftABI

@testable import Telemetry

@Suite struct OpenMetricsTests {
    @Test(
        arguments: [
            (nil, false), ("*/*", false), ("text/plain", false),
            // What Prometheus 2.42 sends.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                    + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true
            ),
            ("application/openmetrics-text", true), ("Application/OpenMetrics-Text; Version=\"1.0.0\"; q=0.8", true),
            ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", false),
            ("application/openmetrics-text;version=1.0.0;q=0.4,text/plain;q=0.5", false),
            ("application/openmetrics-text;q=0", false), ("application/openmetrics-text;q=nan", false),
            ("application/openmetrics-text;q=2", false), (";;,,=,q=", false), ("text/html", false),
        ] as [(String?, Bool)])
    func theFormatIsTheOneThatTheClientPrefers(accept: String?, isOpenMetrics: Bool) {
        #expect((ExpositionFormat(accept: accept) == .openMetrics) == isOpenMetrics)
    }

    /// As Go prints them, with something that says that they are floats.
    @Test(arguments: [
        ("0.5", "0.5"), ("1", "1.0"), ("10", "10.0"), ("250", "250.0"), ("600000", "600000.0"),
        ("1800000", "1.8e+06"), ("3600000", "3.6e+06"), ("1000000", "1e+06"), ("0.000007", "7e-06"),
        ("0.000015", "1.5e-05"), ("0.000127", "0.000127"), ("0.001023", "0.001023"), ("4.194303", "4.194303"),
        ("0.25", "0.25"), ("12.5", "12.5"),
    ])
    func boundsAreCanonical(number: String, canonical: String) {
        #expect(BucketBounds.canonical(number) == canonical)
    }

    @Test func suffixesBelongToSamplesAndTheEndIsMarked() {
        var writer = MetricWriter(.openMetrics)
        writer.family("weft_things_total", .counter, help: "\"Things\"\\and\nlines.")
        writer.sample(MetricLabels([("a", "x\"y\\z\nw")]), UInt64(7))
        writer.gauge("weft_part", help: "Part.", 0.25)
        writer.end()
        #expect(
            String(decoding: writer.bytes, as: UTF8.self) == """
                # HELP weft_things \\"Things\\"\\\\and\\nlines.
                # TYPE weft_things counter
                weft_things_total{a="x\\"y\\\\z\\nw"} 7
                # HELP weft_part Part.
                # TYPE weft_part gauge
                weft_part 0.25
                # EOF

                """)
    }

    @Test func exemplarsStandBesideTheBucketOfTheirDuration() {
        let worker = WorkerStatistics(capacity: 8)
        var record = RequestRecord()
        record.source = 1
        record.service = 101
        record.destination = 3
        record.status = 200
        record.started = second
        record.ended = 2 * second
        worker.record(record)
        var metrics = RequestMetrics()
        let key = WorkerStatistics.Key(record)
        // The second one is of the same bucket and newer; the third one is of no series.
        for (microseconds, time) in [(1200 as UInt64, 5 as UInt64), (4007, 6), (30_000_000, 7)] {
            metrics.note(
                Exemplar(traceID: (0xabc, 0x123), microseconds: microseconds, unixNanoseconds: time * 250_000_000),
                for: key, worker: 0)
        }
        record.status = 500
        metrics.note(
            Exemplar(traceID: (1, 1), microseconds: 1, unixNanoseconds: 1), for: WorkerStatistics.Key(record),
            worker: 0)
        metrics.update(workers: [worker], directory: TestDirectory.shop, now: second)
        var writer = MetricWriter(.openMetrics)
        metrics.write(to: &writer)
        let lines = String(decoding: writer.bytes, as: UTF8.self).split(separator: "\n")
        let exemplars = lines.filter { $0.contains(" # {") }
        #expect(exemplars.count == 2)
        let trace = "# {trace_id=\"0000000000000abc0000000000000123\"}"
        #expect(exemplars.first?.contains("le=\"5.0\"} 0 \(trace) 4.007 1.5") == true)
        #expect(exemplars.last?.contains("le=\"30000.0\"} 1 \(trace) 30000 1.75") == true)
        // Prometheus's own format has none.
        var text = MetricWriter()
        metrics.write(to: &text)
        #expect(!String(decoding: text.bytes, as: UTF8.self).contains(" # {"))
    }

    @Test func onlyTheNewestExemplarsWait() {
        var pending = PendingExemplars()
        let key = WorkerStatistics.Key(RequestRecord())
        let total = UInt64(PendingExemplars.limit + 10)
        for number in 0..<total {
            pending.append(
                .init(
                    exemplar: Exemplar(traceID: (0, number), microseconds: 1, unixNanoseconds: 1), key: key, worker: 0))
        }
        #expect(pending.take().map(\.exemplar.traceID.1) == Array(10..<total))
        #expect(pending.take().isEmpty)
    }

    /// A stream gives what a single writing gives, and the values of the moment when it was made.
    @Test(arguments: [ExpositionFormat.text, .openMetrics])
    func aStreamIsOfOneMoment(format: ExpositionFormat) {
        var metrics = RequestMetrics()
        let readings = (100..<140 as Range<UInt16>).map { (key: requestKey(status: $0), sum: requests([10])) }
        metrics.update(readings, directory: TestDirectory.shop, now: second)
        var whole = MetricWriter(format)
        metrics.write(to: &whole)
        whole.end()
        var stream = MetricStream(format, metrics.parts)
        var pieces: [[UInt8]] = []
        var hasMore = true
        while hasMore {
            var piece = Array("> ".utf8)
            hasMore = stream.next(into: &piece)
            #expect(piece.starts(with: "> ".utf8))
            #expect(piece.count < MetricStream.pieceSize + 32768)
            pieces.append(Array(piece.dropFirst(2)))
            // What is counted, and what expires, while somebody reads.
            metrics.update(
                readings.map { ($0.key, requests([10, 10])) } + [(requestKey(status: 99), requests([1]))],
                directory: TestDirectory.shop, now: UInt64(pieces.count) * 700 * second)
        }
        #expect(pieces.count > 5)
        #expect(Array(pieces.joined()) == whole.bytes)
    }
}
