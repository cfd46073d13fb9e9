import Glibc
import Proxy
import Testing

@Suite struct WorkerStatisticsTests {
    private func request(
        source: UInt64 = 1, service: UInt64 = 2, destination: UInt64 = 3, rule: UInt64 = 0, status: UInt16 = 200,
        flags: ResponseFlags = [], isInbound: Bool = false, microseconds: UInt64 = 1, body: UInt64 = 0,
        response: UInt64 = 0
    ) -> RequestRecord {
        var record = RequestRecord()
        record.source = source
        record.service = service
        record.destination = destination
        record.rule = rule
        record.status = status
        record.flags = flags
        record.isInbound = isInbound
        record.started = 5_000_000_000
        record.ended = 5_000_000_000 + microseconds * 1000
        record.requestBody = body
        record.responseBody = response
        return record
    }

    private func readings(_ statistics: WorkerStatistics) -> [WorkerStatistics.Reading] {
        (0..<statistics.entryCount).compactMap(statistics.reading)
    }

    @Test func countsByEveryPartOfTheKey() throws {
        let statistics = WorkerStatistics(capacity: 64)
        let different = [
            request(), request(source: 9), request(service: 9), request(destination: 9), request(rule: 9),
            request(status: 503), request(flags: [.noRoute]), request(isInbound: true),
        ]
        for (index, record) in different.enumerated() {
            for _ in 0...index { statistics.record(record) }
        }
        let counts = readings(statistics)
        #expect(counts.map(\.requests.count).sorted() == Array(1...8))
        let flagged = try #require(counts.first { $0.key.flags == [.noRoute] })
        #expect(flagged.requests.count == 7)
        #expect(flagged.key.status == 200 && !flagged.key.isInbound)
        #expect(counts.first { $0.key.isInbound }?.requests.count == 8)
        #expect(counts.first { $0.key.status == 503 }?.requests.count == 6)
    }

    /// Bounds are inclusive, and Istio's are among them.
    @Test(
        arguments: [
            0, 1, 10, 11, 20, 21, 500, 501, 1000, 1001, 5000, 10_001, 99_999, 2_500_000, 3_600_000_000, 3_600_000_001,
            .max / 2000,
        ] as [UInt64])
    func putsDurationsIntoTheFirstBucketThatHoldsThem(microseconds: UInt64) throws {
        let statistics = WorkerStatistics(capacity: 4)
        statistics.record(request(microseconds: microseconds))
        let requests = try #require(readings(statistics).first).requests
        #expect(requests.duration.sum == microseconds)
        let bucket = try #require(requests.duration.buckets.indices.first { requests.duration.buckets[$0] == 1 })
        #expect(requests.duration.count == 1)
        if let bound = LatencyHistogram.bound(bucket) { #expect(microseconds <= bound) }
        if bucket > 0 { #expect(microseconds > (LatencyHistogram.bound(bucket - 1) ?? 0)) }
    }

    @Test func percentilesAreOffByLessThanTheirBucket() throws {
        let statistics = WorkerStatistics(capacity: 4)
        for microseconds in 1...1000 as ClosedRange<UInt64> { statistics.record(request(microseconds: microseconds)) }
        let duration = try #require(readings(statistics).first).requests.duration
        for (fraction, exact) in [(0.5, 500.0), (0.95, 950), (0.99, 990), (1, 1000)] {
            let value = try #require(duration.percentile(fraction))
            #expect(abs(value - exact) <= exact / 4, "p\(fraction): \(value)")
        }
        #expect(LatencyHistogram().percentile(0.5) == nil)
    }

    @Test(arguments: [(0, 0), (1, 1), (2, 2), (5, 2), (6, 3), (1000, 9), (3_600_000, 18), (.max, 19)])
    func putsBytesIntoIstiosBuckets(bytes: UInt64, bucket: Int) throws {
        let statistics = WorkerStatistics(capacity: 4)
        statistics.record(request(body: bytes, response: 7))
        let requests = try #require(readings(statistics).first).requests
        #expect(requests.requestBytes.sum == bytes)
        #expect(requests.requestBytes.buckets[bucket] == 1)
        #expect(requests.responseBytes.sum == 7)
        #expect(requests.responseBytes.buckets[3] == 1)
    }

    @Test func whatFindsNoRoomCountsInTheOverflow() throws {
        let statistics = WorkerStatistics(capacity: 3)
        for source in 1...10 as ClosedRange<UInt64> {
            for _ in 0..<2 { statistics.record(request(source: source)) }
        }
        let counts = readings(statistics)
        #expect(counts.count == 4)
        #expect(counts.reduce(0) { $0 + $1.requests.count } == 20)
        #expect(counts.first { $0.key == .overflow }?.requests.count == 14)
    }

    @Test func retiredEntriesLeaveTheirRoomUnlessTheyHaveCountedSince() throws {
        let statistics = WorkerStatistics(capacity: 3)
        for source in 1...3 as ClosedRange<UInt64> { statistics.record(request(source: source)) }
        var generations: [UInt64: UInt64] = [:]
        for position in 1..<statistics.entryCount {
            let reading = try #require(statistics.reading(at: position))
            generations[reading.key.source] = reading.generation
            if reading.key.source != 3 { statistics.retire(reading, at: position) }
        }
        // 1 is used again before anybody needs room.
        statistics.record(request(source: 1))
        statistics.record(request(source: 4))
        statistics.record(request(source: 5))
        let counts = readings(statistics)
        #expect(Set(counts.map(\.key.source)) == [1, 3, 4, .max])
        #expect(counts.first { $0.key.source == 1 }?.requests.count == 2)
        #expect(counts.first { $0.key.source == 4 }?.requests.count == 1)
        // Whoever read the old entry sees that this is another one.
        #expect(counts.first { $0.key.source == 4 }?.generation != generations[2])
        // Those that stayed are still found.
        for source in [1, 3, 4] as [UInt64] { statistics.record(request(source: source)) }
        #expect(readings(statistics).first { $0.key == .overflow }?.requests.count == 1)
        #expect(readings(statistics).reduce(0) { $0 + $1.requests.count } == 8)
    }

    /// Which ends are tunnels and who was proved to be there tell requests apart as well.
    @Test func tunnelsAndPeersAreOfTheKey() throws {
        let statistics = WorkerStatistics(capacity: 8)
        var record = request()
        statistics.record(record)
        record.isToTunnel = true
        statistics.record(record)
        record.isToTunnel = false
        record.isFromTunnel = true
        statistics.record(record)
        record.peer = 7
        statistics.record(record)
        let keys = readings(statistics).map(\.key)
        #expect(keys.map(\.isToTunnel) == [false, true, false, false])
        #expect(keys.map(\.isFromTunnel) == [false, false, true, true])
        #expect(keys.map(\.peer) == [0, 0, 0, 7])
        #expect(keys.allSatisfy { $0.status == 200 && $0.source == 1 && $0.destination == 3 })
    }

    @Test func countersAndGauges() {
        let statistics = WorkerStatistics(capacity: 1)
        statistics.add(.retries)
        statistics.add(.retries, 4)
        statistics.add(.downstreamActive, 3)
        statistics.add(.downstreamActive, -1)
        statistics.set(.ejected, 7)
        #expect(statistics.value(.retries) == 5)
        #expect(statistics.value(.downstreamActive) == 2)
        #expect(statistics.value(.ejected) == 7)
        let names = ProxyCounter.allCases.map(\.metric.name)
        #expect(Set(names).count == names.count)
    }

    /// One thread counts while another reads and retires: what is counted at the end is what was recorded.
    @Test func countsExactlyWhileItIsRead() async {
        let statistics = WorkerStatistics(capacity: 16)
        let total = 200_000
        let reader = Task.detached {
            var seen: [Int: (generation: UInt64, count: UInt64)] = [:]
            var retired: UInt64 = 0
            while !Task.isCancelled {
                for position in 0..<statistics.entryCount {
                    guard let reading = statistics.reading(at: position) else { continue }
                    if let last = seen[position], last.generation == reading.generation {
                        // Counters never go back within a generation.
                        if reading.requests.count < last.count { return UInt64.max }
                    } else if let last = seen[position] {
                        retired += last.count
                    }
                    seen[position] = (reading.generation, reading.requests.count)
                    statistics.retire(reading, at: position)
                }
            }
            for position in 0..<statistics.entryCount {
                guard let reading = statistics.reading(at: position) else {
                    retired += seen[position]?.count ?? 0
                    continue
                }
                if let last = seen[position], last.generation != reading.generation { retired += last.count }
                retired += reading.requests.count
            }
            return retired
        }
        for number in 0..<total { statistics.record(request(source: UInt64(number / 100 % 64) + 1)) }
        reader.cancel()
        #expect(await reader.value == UInt64(total))
    }
}
