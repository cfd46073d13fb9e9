import Testing
import WeftABI

@testable import Telemetry

/// What a scrape of many series of requests takes. In a release build (`swift test -c release -Xswiftc -enable-testing
/// --filter ScrapeCostTests`) of 5,000 series with three histograms each, which is 340,000 lines; in a debug build of a
/// tenth of them.
@Suite struct ScrapeCostTests {
    #if DEBUG
        private static let pairs = 250
    #else
        private static let pairs = 2500
    #endif

    private static let directory: TestDirectory = {
        var directory = TestDirectory.shop
        for id in (1000 as UInt64)..<1100 {
            directory.workloads[id] = WorkloadLabels(
                workload: "workload-\(id)", namespace: "shop",
                principal: "spiffe://cluster.local/ns/shop/sa/workload-\(id)", labels: ["app": "w", "version": "v1"])
        }
        return directory
    }()

    /// All counters of a pair: they grow with the round.
    private func reading(_ pair: Int, round: UInt64) -> (key: weft_requests_key, sum: weft_requests) {
        var sum = weft_requests()
        unsafe withUnsafeMutableBytes(of: &sum) { bytes in
            for offset in stride(from: 0, to: bytes.count, by: 8) {
                unsafe bytes.storeBytes(
                    of: UInt64(offset + pair) * round, toByteOffset: offset, as: UInt64.self)
            }
        }
        return (requestKey(source: UInt64(1000 + pair / 50), destination: UInt64(1050 + pair % 50)), sum)
    }

    @Test(arguments: [1.0, 0.01])
    func aPieceIsMadeInAMoment(changing: Double) {
        var metrics = RequestMetrics(limit: 2 * Self.pairs)
        let clock = ContinuousClock()
        var best = (update: Duration.seconds(100), write: Duration.seconds(100), piece: Duration.seconds(100))
        var size = 0
        var piece: [UInt8] = []
        for round in 1...6 as ClosedRange<UInt64> {
            let readings = (0..<Self.pairs).map {
                reading($0, round: Double($0) < changing * Double(Self.pairs) ? round : 1)
            }
            let update = clock.measure { metrics.update(readings, directory: Self.directory, now: round * second) }
            var longest = Duration.zero
            size = 0
            let write = clock.measure {
                var stream = MetricStream(.text, metrics.parts)
                var hasMore = true
                while hasMore {
                    piece.removeAll(keepingCapacity: true)
                    longest = max(longest, clock.measure { hasMore = stream.next(into: &piece) })
                    size += piece.count
                }
            }
            guard round > 1 else { continue }
            best = (min(best.update, update), min(best.write, write), min(best.piece, longest))
        }
        print(
            "\(2 * Self.pairs) series of requests, \(Int(changing * 100)) % of them changed: \(size) bytes,",
            "read in \(best.update), written in \(best.write), the longest piece in \(best.piece)")
        #expect(metrics.requests.count == 2 * Self.pairs)
        // Far from the truth in either build: it guards against quadratic work, and against pieces that are no pieces.
        #expect(best.write < .seconds(5))
        #expect(best.piece < .milliseconds(500))
    }
}
