import Mesh
import Synchronization
import Testing

@testable import Proxy

@Suite("Balancing: health")
struct HealthTests {
    private static func checked(_ endpoints: Int, panic: UInt32 = 0) -> TestCluster {
        TestCluster(
            .test(endpoints: endpoints) {
                $0.healthCheck = HealthCheck(probe: .tcp)
                $0.panicThreshold = panic
            })
    }

    private static func set(_ cluster: TestCluster, _ place: Int, _ isHealthy: Bool) {
        cluster.set.clusters[0].setHealth(of: cluster.endpoints[place], isHealthy: isHealthy, now: cluster.now)
    }

    @Test func takesNothingBeforeTheFirstCheck() {
        let cluster = Self.checked(2)
        #expect(cluster.workers[0].pick(PickWish(), random: 1, now: cluster.now) == .none(.awaitingChecks))
        Self.set(cluster, 1, true)
        #expect(cluster.shares(of: 10) == [0, 10])
        Self.set(cluster, 0, false)
        #expect(cluster.shares(of: 10) == [0, 10])
        Self.set(cluster, 1, false)
        #expect(cluster.workers[0].pick(PickWish(), random: 1, now: cluster.now) == .none(.allUnhealthy))
    }

    @Test func checksThatAreTakenAwayForbidNothing() {
        let cluster = Self.checked(2)
        cluster.replace(.test(endpoints: 2))
        #expect(cluster.shares(of: 100).allSatisfy { $0 > 0 })
        // And those that come to known endpoints do not stop them.
        cluster.replace(.test(endpoints: 2) { $0.healthCheck = HealthCheck(probe: .tcp) })
        #expect(cluster.shares(of: 100).allSatisfy { $0 > 0 })
    }

    @Test(arguments: [(50, 4, false), (50, 3, true), (0, 0, false), (100, 7, true)] as [(UInt32, Int, Bool)])
    func panicIgnoresHealth(threshold: UInt32, healthy: Int, isInPanic: Bool) {
        let cluster = Self.checked(8, panic: threshold)
        for place in 0..<8 { Self.set(cluster, place, place < healthy) }
        let shares = cluster.shares(of: 2000)
        #expect(cluster.workers[0].isInPanic == isInPanic)
        for place in 0..<8 {
            if isInPanic {
                #expect(isPlausible(shares[place], of: 2000, probability: 1 / 8))
            } else if place >= healthy {
                #expect(shares[place] == 0)
            }
        }
    }

    @Test func aPassedCheckEndsAnEjection() {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(
            .test(endpoints: 2) {
                $0.outlier = detection
                $0.healthCheck = HealthCheck(probe: .tcp)
            })
        for place in 0..<2 { Self.set(cluster, place, true) }
        cluster.serve(0, status: 500, times: 5)
        #expect(cluster.isEjected(0))
        Self.set(cluster, 0, true)
        #expect(!cluster.isEjected(0))
        #expect(cluster.workers[0].shared.value.ejected.load(ordering: .relaxed) == 0)
    }

    // MARK: - Slow start

    @Test(
        arguments: [(0, 0.1), (1, 0.1), (10, 1.0 / 6), (30, 0.5), (45, 0.75), (60, 1), (600, 1)] as [(UInt64, Double)])
    func slowStartGrowsWithTime(seconds: UInt64, factor: Double) {
        let value = SlowStart.factor(readySince: 100 * second, window: 60 * second, now: (100 + seconds) * second)
        #expect(abs(value - factor) < 1e-9)
    }

    @Test(arguments: [HTTPBalancer.Algorithm.peakEWMA, .leastRequest, .roundRobin, .random])
    func aNewEndpointGetsItsShareBySteps(_ algorithm: HTTPBalancer.Algorithm) {
        func config(_ endpoints: Int) -> ClusterConfig {
            .test(endpoints: endpoints) {
                $0.balancer.algorithm = algorithm
                $0.balancer.slowStart = 60_000
            }
        }
        let cluster = TestCluster(config(3))
        cluster.now += 100 * second
        cluster.replace(config(4))
        for (seconds, factor) in [(0, 0.1), (30, 0.5), (60, 1)] as [(UInt64, Double)] {
            cluster.now = 1100 * second + seconds * second
            // So that all have the same load.
            for place in 0..<4 { cluster.serve(place, EndpointOutcome(status: 200, latency: 50 * millisecond)) }
            let shares = cluster.shares(of: 20_000)
            #expect(
                isPlausible(shares[3], of: 20_000, probability: factor / (3 + factor)),
                "\(algorithm) after \(seconds) s: \(shares)")
        }
    }

    // MARK: - Locality

    @Test(arguments: [
        ([4, 0, 0, 0], [4, 0, 0, 0], [100, 0, 0, 0]), ([4, 4, 0, 0], [4, 4, 0, 0], [100, 0, 0, 0]),
        // 71 % healthy are enough for all.
        ([100, 4, 0, 0], [72, 4, 0, 0], [100, 0, 0, 0]), ([100, 4, 0, 0], [50, 4, 0, 0], [70, 30, 0, 0]),
        ([4, 4, 4, 0], [0, 4, 4, 0], [0, 100, 0, 0]), ([10, 10, 10, 10], [1, 1, 1, 1], [25, 25, 25, 25]),
        ([100, 0, 100, 0], [25, 0, 25, 0], [50, 0, 50, 0]), ([0, 0, 0, 4], [0, 0, 0, 1], [0, 0, 0, 100]),
    ])
    func tiersShareTheLoadAsEnvoysPriorities(_ total: [UInt32], _ usable: [UInt32], _ expected: [Int]) {
        let tiers = LocalityTiers(total: SIMD4(total), usable: SIMD4(usable))
        var random = RandomBits(seed: 7)
        var shares = [0, 0, 0, 0]
        for _ in 0..<20_000 { shares[tiers.tier(UInt32(truncatingIfNeeded: random.next()))] += 1 }
        for tier in 0..<4 {
            #expect(isPlausible(shares[tier], of: 20_000, probability: Double(expected[tier]) / 100), "\(shares)")
            #expect(tiers.range(tier).count == Int(usable[tier]))
        }
    }
}
