import Testing
import WeftABI

@testable import Telemetry

struct AccelerationSummaryTests {
    private struct Names: NameDirectory {
        let generation: UInt64 = 1
        func workload(_ id: UInt64) -> WorkloadLabels? {
            id == 0 ? nil : WorkloadLabels(workload: "w\(id)", namespace: "shop", principal: "")
        }
        func service(_ id: UInt64) -> ServiceLabels? {
            id == 0 ? nil : ServiceLabels(host: "", name: "s\(id)", namespace: "shop", port: 80)
        }
        func rule(_ id: UInt64) -> String? { nil }
    }

    private func key(_ source: UInt64, _ service: UInt64, _ lane: weft_lane) -> weft_acceleration_key {
        var key = weft_acceleration_key()
        key.source = source
        key.service = service
        key.destination = 9
        key.lane = UInt8(truncatingIfNeeded: lane.rawValue)
        return key
    }

    private func requests(
        _ source: UInt64, _ lane: weft_lane, count: UInt64, microseconds: UInt64
    ) -> (key: weft_requests_key, sum: weft_requests) {
        var key = weft_requests_key()
        key.source = source
        key.service = 1
        key.destination = 9
        key.status = 200
        key.lane = UInt8(truncatingIfNeeded: lane.rawValue)
        key.reporter = UInt8(truncatingIfNeeded: WEFT_REPORTER_BOTH.rawValue)
        var value = weft_requests()
        value.count = count
        value.duration.sum = microseconds
        return (key, value)
    }

    @Test("what several sources have with a service is one line, with the reasons by name and the shares of all of it")
    func sums() throws {
        var first = weft_acceleration()
        first.connections = 3
        first.redirected.bytes = 600
        first.redirected.sends = 6
        first.slow_sends.4 = 2
        first.slow_connections.11 = 1
        var traffic = weft_traffic_key()
        traffic.source = 5
        traffic.service = 1
        traffic.destination = 9
        traffic.lane = UInt8(truncatingIfNeeded: WEFT_LANE_ACCELERATED.rawValue)
        traffic.reporter = UInt8(truncatingIfNeeded: WEFT_REPORTER_BOTH.rawValue)
        var carried = weft_traffic()
        carried.sent_bytes = 1000
        carried.received_bytes = 600
        let summaries = AccelerationSummary.summaries(
            acceleration: [
                (key(5, 1, WEFT_LANE_ACCELERATED), first), (key(6, 1, WEFT_LANE_ACCELERATED), first),
                (key(7, 0, WEFT_LANE_PROXY), first),
            ], traffic: [(traffic, carried)], requests: [], directory: Names())
        #expect(summaries.keys.sorted().map { "\($0.name) \($0.lane)" } == ["shop/s1:80 accelerated", "shop/w9 proxy"])
        let summary = try #require(summaries.first { $0.key.service == 1 }?.value)
        #expect(summary.connections == 6 && summary.redirectedBytes == 1200)
        #expect(summary.slowSends == ["slow_reader": 4] && summary.slowConnections == ["control": 2])
        #expect(summary.connectionShare == 0.75 && summary.byteShare == 0.75)
    }

    @Test("the control group is of the same workloads, and both sides need requests enough for a gain")
    func gain() throws {
        func summary(_ more: [(key: weft_requests_key, sum: weft_requests)]) throws -> AccelerationSummary {
            let summaries = AccelerationSummary.summaries(
                acceleration: [(key(5, 1, WEFT_LANE_ACCELERATED), weft_acceleration())], traffic: [],
                requests: [requests(5, WEFT_LANE_ACCELERATED, count: 1000, microseconds: 60_000)] + more,
                directory: Names())
            return try #require(summaries.values.first)
        }
        let other = requests(6, WEFT_LANE_KERNEL, count: 1000, microseconds: 1)
        #expect(try summary([other]).gain(enough: 10) == nil)
        let control = requests(5, WEFT_LANE_KERNEL, count: 100, microseconds: 10_000)
        #expect(try summary([other, control]).gain(enough: 10) == 0.4)
        #expect(try summary([other, control]).gain(enough: 101) == nil)
    }
}
