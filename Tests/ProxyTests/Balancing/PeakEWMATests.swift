import Mesh
import Testing

@testable import Proxy

@Suite("Balancing: peak EWMA")
struct PeakEWMATests {
    @Test func beginsAtTheSeedAndDecays() {
        let average = PeakEWMA(now: 0)
        #expect(average.latency(now: 0) == 30_000_000)
        // Ten seconds are one time constant.
        #expect(abs(average.latency(now: 10 * second) - 30_000_000 / 2.718281828) < 1)
        #expect(average.latency(now: 0) == 30_000_000, "reading changes nothing")
    }

    @Test func followsARiseAtOnceAndAFallSlowly() {
        var average = PeakEWMA(now: 0)
        average.observe(500 * millisecond, now: 0)
        #expect(average.latency(now: 0) == 500_000_000)
        average.observe(1 * millisecond, now: 10 * second)
        let weight = 1 / 2.718281828
        let expected = 500_000_000 * weight + 1_000_000 * (1 - weight)
        #expect(abs(average.latency(now: 10 * second) - expected) < 10)
    }

    @Test func aClockThatStandsStillDoesNoHarm() {
        var average = PeakEWMA(now: second)
        average.observe(millisecond, now: 0)
        #expect(average.latency(now: 0) == 30_000_000)
    }

    @Test func aPenaltyNeverLowersTheCost() {
        var average = PeakEWMA(now: 0)
        average.observe(20 * second, now: 0)
        average.penalize(5 * second, now: 0)
        #expect(average.latency(now: 0) == 20e9)
    }

    @Test func aPenaltyLastsAsLongAsItCosts() {
        var average = PeakEWMA(now: 0)
        average.penalize(5 * second, now: 0)
        average.penalize(60 * second, now: second)
        average.penalize(5 * second, now: 2 * second)
        #expect(average.latency(now: 60 * second) == 60e9)
        #expect(average.latency(now: 61 * second) < 30e6)
    }

    /// Also of two endpoints, whose other one is a thousand times as fast as the penalty.
    @Test func whoHasFailedOnceIsTriedAgainWhenItsPenaltyIsOver() {
        let cluster = TestCluster(.test(endpoints: 2))
        for _ in 0..<100 {
            for place in [0, 1] { cluster.serve(place, EndpointOutcome(status: 200, latency: 5 * millisecond)) }
            cluster.now += second
        }
        cluster.serve(0, EndpointOutcome(status: 503, latency: 1))
        #expect(cluster.shares(of: 100) == [0, 100])
        cluster.now += 4 * second
        #expect(cluster.shares(of: 100) == [0, 100])
        cluster.now += 2 * second
        #expect(cluster.shares(of: 100)[0] > 20)
    }

    @Test func loadIsLatencyTimesRequestsInProgress() {
        let cluster = TestCluster(.test(endpoints: 2))
        // 10 ms against 25 ms: equal at 1.5 requests in progress more.
        for _ in 0..<200 {
            cluster.serve(0, EndpointOutcome(status: 200, latency: 10 * millisecond))
            cluster.serve(1, EndpointOutcome(status: 200, latency: 25 * millisecond))
            cluster.now += second
        }
        #expect(cluster.shares(of: 100) == [100, 0])
        cluster.workers[0].began(EndpointIndex(0))
        #expect(cluster.shares(of: 100) == [100, 0])
        cluster.workers[0].began(EndpointIndex(0))
        #expect(cluster.shares(of: 100) == [0, 100])
    }

    static let failures: [(EndpointOutcome, UInt64)] = [
        (EndpointOutcome(status: 500, latency: 1), 5), (EndpointOutcome(status: 503, latency: 1, retryAfter: 1), 5),
        (EndpointOutcome(status: 503, latency: 1, retryAfter: 60), 60),
        (EndpointOutcome(status: 429, latency: 1, retryAfter: 86400), 300),
        (EndpointOutcome(status: 500, latency: 1, retryAfter: 60), 5),
        (EndpointOutcome(failure: .connectFailure, latency: 1), 5), (EndpointOutcome(failure: .timeout, latency: 1), 5),
        (EndpointOutcome(status: 404, latency: 1), 0), (EndpointOutcome(failure: .cancelled, latency: 1), 0),
    ]

    @Test(arguments: failures)
    func failuresCostWhatTheReferenceSays(_ outcome: EndpointOutcome, seconds: UInt64) {
        #expect(outcome.penalty == seconds * second)
    }

    @Test func gRPCFailuresCostToo() {
        var outcome = EndpointOutcome(status: 200, latency: 1)
        for (status, seconds) in [(0, 0), (5, 0), (2, 5), (8, 5), (13, 5), (14, 5), (15, 5)] as [(UInt8, UInt64)] {
            outcome.grpcStatus = status
            #expect(outcome.penalty == seconds * second, "grpc-status \(status)")
        }
    }

    @Test func failingFastDoesNotAttractRequests() {
        let cluster = TestCluster(.test(endpoints: 3))
        for _ in 0..<50 {
            cluster.serve(0, EndpointOutcome(status: 500, latency: 10_000))
            cluster.serve(1, EndpointOutcome(status: 200, latency: 20 * millisecond))
            cluster.serve(2, EndpointOutcome(status: 200, latency: 20 * millisecond))
            cluster.now += millisecond
        }
        #expect(cluster.shares(of: 1000)[0] == 0)
    }
}
