import Testing

@testable import Proxy

@Suite struct ConnectionRequestsTests {
    @Test func whatWasSetIsFound() {
        let table = ConnectionRequests()
        #expect(table.find(started: 1) == nil && table.find(started: 0) == nil)
        table.set(.init(firstClass: 2, count: 1), started: 1_000_000_007)
        table.set(.init(firstClass: 2, count: .max), started: 1_000_000_007)
        table.set(.init(firstClass: 5, count: 3), started: .max)
        table.set(.init(firstClass: 4, count: 9), started: 0)
        #expect(table.find(started: 1_000_000_007) == .init(firstClass: 2, count: .max))
        #expect(table.find(started: .max) == .init(firstClass: 5, count: 3))
        #expect(table.find(started: 0) == nil && table.find(started: 1_000_000_008) == nil)
    }

    /// Who loses its place is not taken for another.
    @Test func noConnectionGetsWhatIsAnothers() {
        let table = ConnectionRequests()
        // Connections of every 20 microseconds.
        let moments = (UInt64(1)...100_000).map { $0 * 20_000 + $0 % 977 }
        for (number, moment) in moments.enumerated() {
            table.set(.init(firstClass: UInt8(number % 5 + 1), count: UInt32(number)), started: moment)
        }
        var found = 0
        for (number, moment) in moments.enumerated() {
            guard let summary = table.find(started: moment) else { continue }
            found += 1
            #expect(summary == .init(firstClass: UInt8(number % 5 + 1), count: UInt32(number)))
        }
        // Of so many most have gone, but every place has somebody's.
        #expect(found > 25_000 && found <= 32_768, "\(found)")
    }
}
