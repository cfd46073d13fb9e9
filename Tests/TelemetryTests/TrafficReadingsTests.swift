import Telemetry
import Testing
import WeftABI

struct TrafficReadingsTests {
    private func key(_ reporter: weft_reporter) -> weft_traffic_key {
        var key = weft_traffic_key()
        key.source = 1
        key.service = 2
        key.destination = 3
        key.reporter = UInt8(reporter.rawValue)
        return key
    }

    @Test func aConnectionWithinTheNodeBecomesWhatEachEndCounted() throws {
        var within = weft_traffic()
        within.opened = 5
        within.failed = 1
        within.sent_bytes = 100
        within.received_bytes = 900
        within.retransmits = 2
        within.connect_us.sum = 7
        var refused = weft_traffic()
        refused.denied = 3
        let readings = TrafficReadings.byReporter([
            (key: key(WEFT_REPORTER_BOTH), sum: within), (key: key(WEFT_REPORTER_SOURCE), sum: refused),
        ])
        #expect(readings.count == 2)
        let source = try #require(readings.first { UInt32($0.0.reporter) == WEFT_REPORTER_SOURCE.rawValue }).1
        #expect(source.opened == 5)
        #expect(source.failed == 1)
        #expect(source.denied == 3)
        #expect(source.sent_bytes == 100)
        #expect(source.connect_us.sum == 7)
        let server = try #require(readings.first { UInt32($0.0.reporter) == WEFT_REPORTER_DESTINATION.rawValue }).1
        #expect(server.opened == 5)
        #expect(server.failed == 0)
        #expect(server.sent_bytes == 900)
        #expect(server.received_bytes == 100)
        #expect(server.retransmits == 0)
        #expect(server.connect_us.sum == 0)
    }

    @Test func otherEntriesStayAsTheyAre() {
        var traffic = weft_traffic()
        traffic.opened = 1
        let readings = TrafficReadings.byReporter([(key: key(WEFT_REPORTER_DESTINATION), sum: traffic)])
        #expect(readings.map(\.1.opened) == [1])
    }
}
