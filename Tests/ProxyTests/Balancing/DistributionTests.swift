import Mesh
import Proxy
import Testing

@Suite("Balancing: distribution")
struct DistributionTests {
    static let weights: [[UInt16]] = [[1, 1, 1], [90, 10], [1, 2, 3, 4], [5, 0, 5]]

    @Test(arguments: [HTTPBalancer.Algorithm.random, .peakEWMA, .maglev, .ringHash(minimumSize: 1024)], weights)
    func givesEveryEndpointItsShare(_ algorithm: HTTPBalancer.Algorithm, _ weights: [UInt16]) {
        let cluster = TestCluster(
            .test(endpoints: weights.enumerated().map { .numbered($0, weight: $1) }) {
                $0.balancer.algorithm = algorithm
            })
        let count = 30_000
        let shares = cluster.shares(of: count)
        let total = weights.reduce(0) { $0 + Int($1) }
        for (place, weight) in weights.enumerated() {
            #expect(
                isPlausible(shares[place], of: count, probability: Double(weight) / Double(total)),
                "\(algorithm) \(weights): \(shares)")
        }
    }

    @Test func roundRobinTakesTurns() {
        let cluster = TestCluster(.test(endpoints: 3) { $0.balancer.algorithm = .roundRobin })
        #expect(cluster.shares(of: 300) == [100, 100, 100])
    }

    @Test func weightedRoundRobinIsExactAndSmooth() {
        let cluster = TestCluster(
            .test(endpoints: [.numbered(0, weight: 5), .numbered(1, weight: 1), .numbered(2, weight: 1)]) {
                $0.balancer.algorithm = .roundRobin
            })
        // nginx's example: a a b a c a a, not five times a in a row.
        let picks = (0..<7).compactMap { _ in cluster.pick() }
        #expect(picks == [0, 0, 1, 0, 2, 0, 0])
        #expect(cluster.shares(of: 700) == [500, 100, 100])
    }

    @Test func leastRequestPrefersTheIdle() {
        let cluster = TestCluster(.test(endpoints: 2) { $0.balancer.algorithm = .leastRequest })
        for _ in 0..<5 { cluster.workers[0].began(EndpointIndex(0)) }
        #expect(cluster.shares(of: 200) == [0, 200])
    }

    @Test func weightedLeastRequestDividesTheShareByTheLoad() {
        let cluster = TestCluster(
            .test(endpoints: [.numbered(0, weight: 3), .numbered(1, weight: 1)]) {
                $0.balancer.algorithm = .leastRequest
            })
        #expect(cluster.shares(of: 400) == [300, 100])
        // 3 / (2 + 1) against 1 / (0 + 1).
        for _ in 0..<2 { cluster.workers[0].began(EndpointIndex(0)) }
        #expect(cluster.shares(of: 400) == [200, 200])
    }

    @Test func chooseNothingFromNothing() {
        let cluster = TestCluster(.test(endpoints: 0))
        #expect(cluster.workers[0].pick(PickWish(), random: 1, now: cluster.now) == .none(.noEndpoints))
        let drained = TestCluster(.test(endpoints: [.numbered(0, weight: 0)]))
        #expect(drained.workers[0].pick(PickWish(), random: 1, now: drained.now) == .none(.allDraining))
    }

    @Test func retriesAvoidWhatWasTried() {
        for algorithm in [HTTPBalancer.Algorithm.peakEWMA, .leastRequest, .roundRobin, .random] {
            let cluster = TestCluster(.test(endpoints: 4) { $0.balancer.algorithm = algorithm })
            var tried = TriedEndpoints()
            for place in [0, 1, 3] { tried.insert(EndpointIndex(UInt16(place))) }
            #expect(cluster.shares(of: 100) { $0.excluded = tried } == [0, 0, 100, 0], "\(algorithm)")
            // All tried: better one of them than none.
            tried.insert(EndpointIndex(2))
            #expect(cluster.shares(of: 100) { $0.excluded = tried }.reduce(0, +) == 100)
        }
    }
}
