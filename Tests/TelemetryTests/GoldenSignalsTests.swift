import Proxy
import Testing
import WeftABI

@testable import Telemetry

@Suite("Golden signals") struct GoldenSignalsTests {
    @Test("What was counted before the first reading is the past; what is open is open")
    func past() {
        var bench = SignalBench()
        bench.traffic = [(trafficKey(reporter: WEFT_REPORTER_BOTH), traffic(opened: 100, closed: 97, sent: 5000))]
        bench.count(1000, requestsKey())
        bench.read()
        #expect(bench.web(window: 60).requests == 0)
        #expect(bench.web(window: 60).opened == 0)
        #expect(bench.web(window: 60).open == 3)
        // What appears later is new, all of it.
        bench.count(7, requestsKey(source: 3))
        bench.read()
        #expect(bench.web(window: 60).requests == 7)
    }

    @Test("Any window is what happened in it, and says how long it is")
    func windows() {
        var bench = SignalBench()
        bench.read()
        for step in 1...6 {
            bench.count(step, requestsKey())
            bench.read()
        }
        #expect(bench.web(window: 5).requests == 6)
        #expect(bench.web(window: 10).requests == 6 + 5)
        #expect(bench.web(window: 30).requests == 21)
        #expect(bench.signals.services(window: 10 * second).seconds == 10)
        // Nobody has looked before.
        #expect(bench.web(window: 600).requests == 21)
        #expect(bench.signals.services(window: 600 * second).seconds == 30)
        // A window that begins between two readings takes all of what came between them, and is longer.
        #expect(bench.web(window: 7).requests == 6 + 5)
        #expect(bench.signals.services(window: 7 * second).seconds == 10)
        #expect(bench.web(window: 5).requestBytes == 60)
        #expect(bench.web(window: 5).responseBytes == 600)
    }

    @Test("Nothing happens: nothing is kept, and time goes on")
    func idle() {
        var bench = SignalBench()
        bench.count(3, requestsKey())
        var hasChanged = bench.read()
        #expect(!hasChanged)
        bench.count(4, requestsKey())
        hasChanged = bench.read()
        #expect(hasChanged)
        let kept = bench.signals.memory.changes
        for _ in 0..<20 { bench.read() }
        #expect(bench.signals.memory.changes == kept)
        #expect(bench.web(window: 60).requests == 0)
        #expect(bench.signals.services(window: 60 * second).seconds == 60)
        #expect(bench.web(window: 900).requests == 4)
    }

    @Test("A counter that goes back belongs to an entry that was made again")
    func restarts() {
        var bench = SignalBench()
        bench.count(50, requestsKey())
        bench.traffic = [(trafficKey(reporter: WEFT_REPORTER_BOTH), traffic(opened: 50, closed: 40))]
        bench.read()
        bench.requests = []
        bench.count(5, requestsKey(), microseconds: 3)
        bench.traffic = [(trafficKey(reporter: WEFT_REPORTER_BOTH), traffic(opened: 4, closed: 1))]
        bench.read()
        #expect(bench.web(window: 5).requests == 5)
        #expect(bench.web(window: 5).requestBytes == 50)
        #expect(bench.web(window: 5).latency(0.99) ?? 1 <= 0.01)
        #expect(bench.web(window: 5).opened == 4)
        #expect(bench.web(window: 5).open == 3)
        // And one that is gone takes what was open with it.
        bench.traffic = []
        bench.read()
        #expect(bench.web(window: 5).open == 0)
    }

    @Test("A worker's entry that stands for something else counts from 0")
    func retiredEntries() throws {
        let directory = SignalBench().directory
        var signals = GoldenSignals()
        let worker = WorkerStatistics(capacity: 1)
        func read(_ seconds: UInt64) {
            signals.update(
                traffic: [(key: weft_traffic_key, sum: weft_traffic)](),
                requests: [(key: weft_requests_key, sum: weft_requests)](), workers: [worker],
                directory: directory, now: seconds * second)
        }
        func record(source: UInt64) {
            var record = RequestRecord()
            record.source = source
            record.service = 101
            record.destination = 2
            record.status = 200
            worker.record(record)
        }
        read(1)
        for _ in 0..<9 { record(source: 1) }
        read(2)
        let reading = try #require(worker.reading(at: 1))
        worker.retire(reading, at: 1)
        for _ in 0..<4 { record(source: 3) }
        read(3)
        let graph = signals.graph(window: 60 * second)
        #expect(graph.edges.map(\.from.name) == ["client", "web-2"])
        #expect(graph.edges.map(\.totals.requests) == [9, 4])
    }

    @Test("A request counts once, whichever lane it took and whoever has seen it")
    func countsOnce() {
        var bench = SignalBench()
        bench.read()
        // Within the node by the kernel; by the proxy; from outside to the proxy; by the server's end alone.
        bench.count(3, requestsKey())
        bench.proxy(5)
        bench.proxy(7, source: 0, isInbound: true)
        bench.count(11, requestsKey(source: 0, service: 0, reporter: WEFT_REPORTER_DESTINATION))
        // To a workload of another node; from a client of this node at whose service's end no workload was known, of
        // which the server's end says the same again.
        bench.count(13, requestsKey(destination: 3, reporter: WEFT_REPORTER_SOURCE))
        bench.count(17, requestsKey(destination: 0, reporter: WEFT_REPORTER_SOURCE))
        bench.count(17, requestsKey(service: 0, reporter: WEFT_REPORTER_DESTINATION))
        // Other ports are the same service.
        bench.count(19, requestsKey(service: 102))
        bench.read(after: 10)
        bench.read(after: 10)
        // All but the 11, of which the service is unknown; all but the 13; all, but not the 17 again.
        #expect(bench.web(window: 60).requests == 64)
        #expect(bench.workload("web-1").requests == 62)
        #expect(bench.workload("web-2").requests == 13)
        let edges = bench.signals.graph(window: 60 * second).edges
        #expect(edges.map(\.totals.requests).reduce(0, +) == 75)
        let rates = bench.signals.points(of: nil, seconds: 20).points.compactMap { $0?.rate }
        #expect(rates.reduce(0, +) == 7.5)
        #expect(bench.web(window: 60).lanes.map(\.lane) == ["kernel", "proxy"])
        #expect(bench.web(window: 60).lanes.map { ($0.share * 64).rounded() } == [52, 12])
    }

    @Test("What is a success, what a failure, and what neither")
    func outcomes() {
        var bench = SignalBench()
        bench.read()
        bench.count(90, requestsKey())
        bench.count(1, requestsKey(status: 404))
        bench.count(2, requestsKey(status: 503))
        bench.count(3, requestsKey(status: 200, outcome: WEFT_REQUEST_SERVER_ENDED))
        bench.count(4, requestsKey(status: 0, outcome: WEFT_REQUEST_SERVER_ENDED))
        bench.count(5, requestsKey(status: 0, outcome: WEFT_REQUEST_CLIENT_ENDED))
        bench.count(6, requestsKey(status: 0, outcome: WEFT_REQUEST_UNPARSED))
        bench.proxy(7, status: 403)
        bench.proxy(1, status: 504, flags: .upstreamTimeout)
        bench.proxy(1, status: 200, flags: .upstreamTermination)
        bench.proxy(1, status: 0)
        bench.proxy(2, status: 0, flags: .downstreamTermination)
        bench.proxy(2, status: 200, flags: .delayInjected)
        bench.read()
        let web = bench.web(window: 60)
        #expect(web.succeeded == 90 + 1 + 7 + 2)
        #expect(web.failed == 2 + 3 + 4 + 1 + 1 + 1)
        #expect(web.clientEnded == 5 + 2)
        #expect(web.success == 100.0 / 112)
        #expect(web.health == .bad)
    }

    @Test("Percentiles lie in the buckets of the requests that they speak of")
    func percentiles() throws {
        var bench = SignalBench()
        bench.read()
        bench.count(50, requestsKey(), microseconds: 90)
        bench.count(45, requestsKey(status: 404), microseconds: 900)
        bench.proxy(5, microseconds: 9000)
        bench.read()
        let web = bench.web(window: 60)
        #expect((0.08...0.1).contains(try #require(web.latency(0.5))))
        #expect((0.8...1).contains(try #require(web.latency(0.95))))
        #expect((8...10).contains(try #require(web.latency(0.99))))
        #expect(bench.workload("web-2").latency(0.5) == nil)
    }

    @Test("Older changes are kept in longer intervals, and none is lost or counted twice")
    func coarseIntervals() {
        var bench = SignalBench()
        bench.read()
        var generator = SystemRandomNumberGenerator()
        var counts: [(at: UInt64, count: Int)] = []
        for _ in 0..<400 {
            let count = Int.random(in: 0...9, using: &generator)
            bench.count(count, requestsKey(source: UInt64.random(in: 1...3, using: &generator)))
            bench.proxy(count)
            bench.read(after: UInt64.random(in: 2...4, using: &generator))
            counts.append((bench.now, 2 * count))
        }
        for window in [10, 60, 300, 890] as [UInt64] {
            let (seconds, totals) = bench.signals.services(window: window * second)
            let begin = Double(bench.now) - seconds
            let expected = counts.filter { Double($0.at) > begin }.reduce(0) { $0 + $1.count }
            let found = totals.values.reduce(0) { $0 + $1.requests }
            #expect(found == UInt64(expected), "\(window) s")
            let measured = totals.values.map(\.latency.count).reduce(0, +)
            #expect(measured == found)
            #expect(seconds >= Double(window) && seconds <= Double(window) + 30)
        }
        #expect(bench.signals.memory.changes < 1000)
    }

    @Test("More changes than there is room for: the windows are shorter, and say so")
    func bounded() {
        var bench = SignalBench(limit: 100)
        bench.read()
        for _ in 0..<100 {
            for destination in 1...10 as ClosedRange<UInt64> { bench.count(1, requestsKey(destination: destination)) }
            bench.read(after: 30)
        }
        #expect(bench.signals.memory.changes <= 130)
        let (seconds, totals) = bench.signals.services(window: 900 * second)
        #expect(seconds < 400)
        let requests = totals.values.map(\.requests).reduce(0, +)
        #expect(Double(requests) == seconds / 3)
    }

    @Test("Series that nobody counts for any more go, and their numbers with them")
    func expiry() {
        var bench = SignalBench()
        bench.read()
        for round in 0..<50 as Range<UInt64> {
            bench.requests = []
            bench.count(1, requestsKey(destination: 1000 + round))
            bench.read(after: 60)
        }
        #expect(bench.signals.memory.series < 20)
        #expect(bench.web(window: 300).requests == 5)
    }

    @Test("Names that are gone stay with what they stood for, and new ones are found")
    func names() {
        var bench = SignalBench()
        bench.read()
        bench.count(1, requestsKey(destination: 9))
        bench.read()
        #expect(bench.workload("late").requests == 0)
        bench.directory.generation += 1
        bench.directory.workloads[9] = WorkloadLabels(workload: "late", namespace: "shop", principal: "")
        bench.directory.workloads[2] = nil
        bench.count(2, requestsKey())
        bench.read()
        #expect(bench.workload("late").requests == 1)
        bench.directory.generation += 1
        bench.directory.services[101] = nil
        bench.read()
        #expect(bench.web(window: 60).requests == 3)
    }

    @Test("History: points of ten seconds, zeroes where nothing came, nothing where nobody looked")
    func history() throws {
        var bench = SignalBench()
        bench.read(after: 10)
        bench.read(after: 5)
        bench.count(40, requestsKey(), microseconds: 90)
        bench.count(10, requestsKey(status: 500), microseconds: 90)
        bench.read(after: 5)
        bench.read(after: 5)
        for _ in 0..<4 { bench.read(after: 10) }
        let web = ServiceName(namespace: "shop", name: "web")
        let (points, end) = bench.signals.points(of: web, seconds: 100)
        #expect(end <= bench.now * second && bench.now * second - end < 10 * second)
        #expect(points.count == 10)
        #expect(points.prefix { $0 == nil }.count == 5, "\(points)")
        let busy = points.compactMap { $0 }.filter { $0.rate > 0 }
        #expect(busy.map { $0.rate * 10 } == [50], "\(points)")
        #expect(busy.first?.success == 0.8)
        #expect((0.08...0.1).contains(try #require(busy.first?.p99)))
        #expect(points.last == SignalPoint())
        #expect(bench.signals.points(of: nil, seconds: 100).points == points)
        let nobody = ServiceName(namespace: "shop", name: "nobody")
        #expect(bench.signals.points(of: nobody, seconds: 20).points == [SignalPoint(), SignalPoint()])
    }

    @Test("History has room for so many services, and forgets the one that was idle longest")
    func boundedHistory() {
        var history = SignalHistory(limit: 2)
        var change = SignalChanges.Requests(series: 0)
        change.succeeded = 10
        for step in 1...4 as ClosedRange<UInt64> {
            history.advance(from: (step * 10 - 10) * second, to: (step * 10) * second)
            let name = ServiceName(namespace: "shop", name: ["a", "b", "a", "c"][Int(step) - 1])
            history.add(change, [], to: name, countsForNode: true)
        }
        history.advance(from: 40 * second, to: 50 * second)
        func rates(_ name: String) -> [Float] {
            history.points(of: ServiceName(namespace: "shop", name: name), count: 5, now: 50 * second).points
                .compactMap { $0?.rate }
        }
        #expect(rates("a") == [1, 0, 1, 0])
        #expect(rates("b") == [0, 0, 0, 0])
        #expect(rates("c") == [0, 0, 0, 1])
    }
}
