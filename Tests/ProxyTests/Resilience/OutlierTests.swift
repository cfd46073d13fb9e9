import Mesh
import Synchronization
import Testing

@testable import Proxy

/// Envoy's documented behaviour, with a clock that stands where the test puts it.
@Suite("Outlier detection")
struct OutlierTests {
    private static func cluster(_ endpoints: Int = 10, _ configure: (inout OutlierDetection) -> Void = { _ in })
        -> TestCluster
    {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        configure(&detection)
        let cluster = TestCluster(.test(endpoints: endpoints) { $0.outlier = detection })
        cluster.set.tick(now: cluster.now)
        return cluster
    }

    private static func wait(_ cluster: TestCluster, seconds: UInt64) {
        for _ in 0..<seconds {
            cluster.now += second
            cluster.set.tick(now: cluster.now)
        }
    }

    @Test func fiveConsecutive5xxEject() {
        let cluster = Self.cluster()
        cluster.serve(3, status: 500, times: 4)
        #expect(!cluster.isEjected(3))
        cluster.serve(3, status: 200)
        cluster.serve(3, status: 500, times: 4)
        #expect(!cluster.isEjected(3), "a success starts the count anew")
        cluster.serve(3, status: 404)
        cluster.serve(3, status: 503, times: 5)
        #expect(cluster.isEjected(3))
        #expect(cluster.shares(of: 1000)[3] == 0)
        #expect(cluster.endpoints[3].shared.reference.value.ejections.load(ordering: .relaxed) == 1)
    }

    @Test func ejectionTimesGrowWithEachEjectionAndShrinkWithEachHealthyInterval() {
        let cluster = Self.cluster()
        func ejectionTime() -> UInt64 {
            cluster.serve(0, status: 500, times: 5)
            #expect(cluster.isEjected(0))
            var seconds: UInt64 = 0
            while cluster.isEjected(0) && seconds < 1000 {
                Self.wait(cluster, seconds: 1)
                seconds += 1
            }
            return seconds
        }
        // Base 30 s times the number of ejections, at most 300 s, seen by a sweep every 10 s.
        var times: [UInt64] = []
        for _ in 0..<11 { times.append(ejectionTime()) }
        #expect(times == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300])
        // The multiplier goes up to 11, three healthy sweeps take three steps back, and the ejection itself adds one.
        Self.wait(cluster, seconds: 30)
        #expect(ejectionTime() == 270)
        Self.wait(cluster, seconds: 1000)
        #expect(ejectionTime() == 30)
    }

    @Test func gatewayErrorsHaveACountOfTheirOwn() {
        let cluster = Self.cluster {
            $0.consecutive5xx = 0
            $0.consecutiveGatewayErrors = 3
        }
        cluster.serve(0, status: 500, times: 20)
        #expect(!cluster.isEjected(0))
        cluster.serve(0, status: 502)
        cluster.serve(0, status: 503)
        cluster.serve(0, status: 500)
        cluster.serve(0, status: 504, times: 2)
        #expect(!cluster.isEjected(0))
        cluster.serve(0, status: 502)
        #expect(cluster.isEjected(0))
    }

    static let localFailures: [EndpointOutcome.Failure] = [.connectFailure, .connectTimeout, .reset, .timeout]

    @Test(arguments: localFailures)
    func errorsOfThisSideCountAs5xx(_ failure: EndpointOutcome.Failure) {
        let cluster = Self.cluster()
        for _ in 0..<5 { cluster.serve(0, EndpointOutcome(failure: failure, latency: 1)) }
        #expect(cluster.isEjected(0))
    }

    @Test(arguments: localFailures)
    func orByThemselvesWhereTheyAreSplit(_ failure: EndpointOutcome.Failure) {
        let cluster = Self.cluster {
            $0.splitsLocalErrors = true
            $0.consecutiveLocalFailures = 7
        }
        for _ in 0..<6 { cluster.serve(0, EndpointOutcome(failure: failure, latency: 1)) }
        #expect(!cluster.isEjected(0))
        cluster.serve(0, status: 500)
        for _ in 0..<6 { cluster.serve(0, EndpointOutcome(failure: failure, latency: 1)) }
        #expect(!cluster.isEjected(0), "an answer, even a bad one, shows that it can be reached")
        cluster.serve(0, EndpointOutcome(failure: failure, latency: 1))
        #expect(cluster.isEjected(0))
    }

    @Test func whatTheClientGaveUpSaysNothing() {
        let cluster = Self.cluster()
        cluster.serve(0, status: 500, times: 4)
        for _ in 0..<10 { cluster.serve(0, EndpointOutcome(failure: .cancelled, latency: 1)) }
        #expect(!cluster.isEjected(0))
        cluster.serve(0, status: 500)
        #expect(cluster.isEjected(0))
    }

    @Test(arguments: [(10, 10, 1), (10, 25, 2), (10, 100, 10), (9, 10, 0), (3, 50, 1), (4, 0, 0)])
    func ejectsAtMostItsShare(endpoints: Int, percent: UInt32, ejected: Int) {
        let cluster = Self.cluster(endpoints) { $0.maxEjectionPercent = percent }
        for place in 0..<endpoints { cluster.serve(place, status: 500, times: 5) }
        #expect((0..<endpoints).count { cluster.isEjected($0) } == ejected)
        let overflows = cluster.workers[0].shared.value.ejectionOverflows.load(ordering: .relaxed)
        #expect(overflows == UInt64(endpoints - ejected))
    }

    @Test func ejectsOneInAnyCaseWhereThatIsAskedFor() {
        let cluster = Self.cluster(3) {
            $0.maxEjectionPercent = 10
            $0.alwaysEjectsOne = true
        }
        for place in 0..<3 { cluster.serve(place, status: 500, times: 5) }
        #expect((0..<3).count { cluster.isEjected($0) } == 1)
    }

    // MARK: - Comparison

    @Test func ejectsWhoSucceedsMuchLessThanTheOthers() {
        let cluster = Self.cluster(6) {
            $0.consecutive5xx = 0
            $0.successRateFactor = 1900
        }
        func load(_ bad: UInt64) {
            for place in 0..<6 {
                for request in 0..<100 as Range<UInt64> {
                    cluster.serve(place, status: place == 5 && request < bad ? 500 : 200)
                }
            }
        }
        // 5 × 100 % and once 60 %: mean 93.3, deviation 14.9, threshold 65.0.
        load(40)
        Self.wait(cluster, seconds: 9)
        #expect(!cluster.isEjected(5))
        Self.wait(cluster, seconds: 1)
        #expect((0..<6).map { cluster.isEjected($0) } == [false, false, false, false, false, true])
    }

    static let rates: [(rates: [UInt64], requests: UInt64, outliers: [Int])] = [
        ([100, 100, 100, 100, 60], 100, [4]),
        // Nobody differs.
        ([50, 50, 50, 50, 50], 100, []),
        // Too few requests, too few hosts.
        ([100, 100, 100, 100, 0], 99, []),
        ([100, 100, 100, 0], 100, []),
        // All differ: none by 1.9 deviations.
        ([100, 80, 60, 40, 20], 100, []),
    ]

    @Test(arguments: rates)
    func theThresholdIsMeanMinusDeviations(rates: [UInt64], requests: UInt64, outliers: [Int]) {
        var detection = OutlierDetection()
        detection.successRateFactor = 1900
        let results = rates.enumerated().map { place, rate in
            SuccessRate.Result(index: place, word: requests << 32 | requests * rate / 100)
        }
        #expect(SuccessRate.outliers(results, detection) == outliers)
    }

    @Test func ejectsWhoFailsTooOftenWhateverTheOthersDo() {
        var detection = OutlierDetection()
        detection.failurePercentage = 85
        let results = [0, 10, 15, 16, 100].enumerated().map { place, rate in
            SuccessRate.Result(index: place, word: 100 << 32 | UInt64(rate))
        }
        #expect(SuccessRate.outliers(results, detection) == [0, 1, 2])
    }

    // MARK: - Changes of the configuration

    @Test func stateOutlivesAChangeOfTheConfiguration() {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(.test(endpoints: 4) { $0.outlier = detection })
        cluster.serve(2, status: 500, times: 5)
        #expect(cluster.isEjected(2))
        let identity = cluster.endpoints[2].identity
        // The first endpoint goes, so the others have other places.
        cluster.replace(.test(endpoints: (1..<4).map { .numbered($0) }) { $0.outlier = detection })
        #expect(cluster.isEjected(1))
        #expect(cluster.endpoints[1].identity == identity)
        #expect(cluster.shares(of: 100)[1] == 0)
        // The ejected one goes: the next may use the share.
        cluster.replace(.test(endpoints: [.numbered(1), .numbered(3)]) { $0.outlier = detection })
        #expect(cluster.workers[0].shared.value.ejected.load(ordering: .relaxed) == 0)
        // Detection goes, and with it its effects.
        cluster.serve(0, status: 500, times: 5)
        #expect(cluster.isEjected(0))
        cluster.replace(.test(endpoints: [.numbered(1), .numbered(3)]))
        #expect(!cluster.isEjected(0))
    }

    @Test func aRemovedEndpointsRequestsEndInPeace() {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(.test(endpoints: 2) { $0.outlier = detection })
        cluster.workers[0].began(EndpointIndex(0))
        let set = ClusterSet(
            from: [.test(endpoints: [.numbered(1)]) { $0.outlier = detection }], previous: cluster.set,
            now: cluster.now)
        // The old generation goes on until its requests have ended, and ejects nobody that the new one does not have.
        for _ in 0..<9 { cluster.serve(0, status: 500) }
        cluster.workers[0].finished(EndpointIndex(0), EndpointOutcome(status: 500, latency: 1), now: cluster.now)
        #expect(!cluster.isEjected(0))
        #expect(set.clusters[0].shared.reference.value.ejected.load(ordering: .relaxed) == 0)
        #expect(cluster.pick() == 1, "the old generation knows that it is gone")
    }

    @Test func aNewCountIsNeverMadeNegative() {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(.test(endpoints: 3) { $0.outlier = detection })
        for place in 0..<2 { cluster.serve(place, status: 500, times: 5) }
        #expect(cluster.isEjected(0) && cluster.isEjected(1))
        let old = cluster.set
        let count = { cluster.workers[0].shared.value.ejected.load(ordering: .relaxed) }
        // One of the ejected goes: its end in the old generation is not one of the new one.
        cluster.replace(.test(endpoints: (1..<3).map { .numbered($0) }) { $0.outlier = detection })
        #expect(count() == 1)
        old.clusters[0].detector(old.clusters[0].endpoints[0])?.admit()
        #expect(count() == 1)
        // Whatever became of the count meanwhile.
        cluster.workers[0].shared.value.ejected.store(0, ordering: .relaxed)
        cluster.set.clusters[0].detector(cluster.endpoints[0])?.admit()
        #expect(count() == 0)
        cluster.workers[0].shared.value.ejected.store(.max, ordering: .relaxed)
        cluster.serve(1, status: 500, times: 5)
        #expect(!cluster.isEjected(1), "no share is left")
    }

    // MARK: - Several workers

    @Test func workersAgree() async {
        for round in 0..<20 {
            var detection = OutlierDetection()
            detection.maxEjectionPercent = 50
            let set = ClusterSet(from: [.test(endpoints: 8) { $0.outlier = detection }], now: second)
            set.tick(now: second)
            await withTaskGroup(of: Void.self) { group in
                for worker in 0..<4 as Range<UInt64> {
                    group.addTask {
                        var clusters = WorkerClusters(set, now: second)
                        var random = RandomBits(seed: worker + UInt64(round) * 10)
                        for step in 0..<2000 as Range<UInt64> {
                            let now = second + step * 50 * millisecond
                            let endpoint = EndpointIndex(UInt16(random.next() % 8))
                            clusters[0].began(endpoint)
                            let status: UInt16 = random.next() % 8 == 0 ? 200 : 503
                            clusters[0].finished(endpoint, EndpointOutcome(status: status, latency: 1), now: now)
                            if worker == 0 { set.tick(now: now) }
                            let ejected = set.clusters[0].shared.reference.value.ejected.load(ordering: .relaxed)
                            if ejected > 4 { Issue.record("more than half are ejected: \(ejected)") }
                        }
                    }
                }
            }
            let flagged = set.clusters[0].endpoints.count { $0.shared.reference.value.flags.contains(.ejected) }
            let counted = set.clusters[0].shared.reference.value.ejected.load(ordering: .relaxed)
            #expect(flagged == Int(counted))
            #expect(
                set.clusters[0].endpoints.allSatisfy { $0.shared.reference.value.active.load(ordering: .relaxed) == 0 })
        }
    }
}
