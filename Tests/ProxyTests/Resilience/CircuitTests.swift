import Mesh
import Synchronization
import Testing

@testable import Proxy

@Suite("Circuit breakers")
struct CircuitTests {
    private static func cluster(_ configure: (inout ConnectionLimits) -> Void) -> TestCluster {
        TestCluster(.test(endpoints: 1) { configure(&$0.limits) })
    }

    @Test func boundsRequests() {
        let cluster = Self.cluster { $0.maxRequests = 2 }
        #expect(cluster.admit())
        #expect(cluster.admit())
        #expect(!cluster.admit())
        cluster.workers[0].ended()
        #expect(cluster.admit())
        #expect(cluster.workers[0].shared.value.gauges.requestOverflows.load(ordering: .relaxed) == 1)
    }

    @Test func boundsConnectionsAndTheQueue() {
        let cluster = Self.cluster {
            $0.maxConnections = 1
            $0.maxPendingRequests = 1
        }
        #expect(cluster.admitConnection())
        #expect(!cluster.admitConnection())
        cluster.workers[0].connectionClosed()
        #expect(cluster.admitConnection())
        #expect(cluster.admitToQueue())
        #expect(!cluster.admitToQueue())
        cluster.workers[0].leftQueue()
        #expect(cluster.admitToQueue())
    }

    @Test func boundsRetries() {
        let cluster = Self.cluster { $0.maxRetries = 1 }
        #expect(cluster.permitRetry() == .granted)
        #expect(cluster.permitRetry() == .overflow)
        cluster.workers[0].retryEnded()
        #expect(cluster.permitRetry() == .granted)
    }

    @Test func theQueueIsBoundedInAnyCase() {
        let cluster = Self.cluster { _ in }
        #expect((0..<20_000).count { _ in cluster.admitToQueue() } == 10_000)
    }

    @Test func gaugesStayWithTheClusterWhenTheConfigurationChanges() {
        let cluster = Self.cluster { $0.maxRequests = 1 }
        #expect(cluster.admit())
        cluster.replace(.test(endpoints: 2) { $0.limits.maxRequests = 2 })
        #expect(cluster.admit())
        #expect(!cluster.admit())
    }

    @Test func noMoreThanTheLimitOverAllWorkers() async {
        let set = ClusterSet(from: [.test(endpoints: 1) { $0.limits.maxRequests = 3 }], now: second)
        let inUse = SharedCell(CircuitGauges())
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let clusters = WorkerClusters(set, now: second)
                    for _ in 0..<20_000 where clusters[0].admit(now: second) {
                        let count = inUse.reference.value.requests.wrappingAdd(1, ordering: .relaxed).newValue
                        if count > 3 { Issue.record("\(count) at once") }
                        inUse.reference.value.requests.wrappingSubtract(1, ordering: .relaxed)
                        clusters[0].ended()
                    }
                }
            }
        }
        #expect(set.clusters[0].shared.reference.value.gauges.requests.load(ordering: .relaxed) == 0)
    }
}

@Suite("Fail-fast")
struct FailFastTests {
    @Test func waitsThreeSecondsForAnEndpoint() {
        var failFast = FailFast()
        failFast.missed(now: 10 * second)
        #expect(failFast.verdict(now: 10 * second) == .wait(until: 13 * second))
        failFast.missed(now: 12 * second)
        #expect(failFast.verdict(now: 13 * second - 1) == .wait(until: 13 * second))
        #expect(failFast.verdict(now: 13 * second) == .fail)
        #expect(failFast.verdict(now: 100 * second) == .fail)
        failFast.found()
        failFast.missed(now: 101 * second)
        #expect(failFast.verdict(now: 101 * second) == .wait(until: 104 * second))
    }

    @Test func aClusterFailsFastUntilAnEndpointIsBack() {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(.test(endpoints: 1) { $0.outlier = detection })
        cluster.set.tick(now: cluster.now)
        cluster.serve(0, status: 503, times: 5)
        let pick = cluster.workers[0].pick(PickWish(), random: 0, now: cluster.now)
        #expect(pick == .none(.allUnhealthy))
        #expect(
            cluster.workers[0].waits(for: .allUnhealthy, now: cluster.now) == .wait(until: cluster.now + 3 * second))
        cluster.now += 3 * second
        #expect(cluster.workers[0].waits(for: .allUnhealthy, now: cluster.now) == .fail)
        cluster.now += 30 * second
        cluster.set.tick(now: cluster.now)
        #expect(cluster.pick() == 0)
        #expect(cluster.workers[0].waits(for: .noEndpoints, now: cluster.now) == .fail, "there is nothing to wait for")
    }
}
