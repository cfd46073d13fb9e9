import Testing
import WeftABI

@testable import weft

@Suite struct SelectionTests {
    private func slot(_ backend: UInt64, _ alias: UInt64, _ share: Double) -> weft_slot {
        weft_slot(backend: backend, alias: alias, threshold: UInt32(share * 4_294_967_296), reserved: 0)
    }

    @Test func addsUpSlotsAndAliases() {
        // Walker's table of 90/10: the second slot keeps a fifth for itself.
        let shares = Selection.shares(ofSlots: [slot(1, 0, 0.999_999_999), slot(2, 1, 0.2)], equal: false)
        #expect(abs((shares[1] ?? 0) - 0.9) < 1e-8 && abs((shares[2] ?? 0) - 0.1) < 1e-8)
    }

    @Test func countsSlotsOfEqualWeightsWithoutTheirThresholds() {
        #expect(Selection.shares(ofSlots: [slot(1, 2, 0), slot(2, 1, 0)], equal: true) == [1: 0.5, 2: 0.5])
    }

    @Test func countsTheEntriesOfAMaglevTable() {
        #expect(Selection.shares(ofTable: [1, 1, 2, 1]) == [1: 0.75, 2: 0.25])
        #expect(Selection.shares(ofTable: []).isEmpty)
    }

    @Test func leastConnectionsNeverTakesTheMostLoaded() {
        let shares = Selection.sharesByLoad([
            .init(backend: 1, active: 50, weight: 1), .init(backend: 2, active: 0, weight: 1),
            .init(backend: 3, active: 0, weight: 1),
        ])
        #expect(shares[1] == nil && shares[2] == 0.5 && shares[3] == 0.5)
    }

    @Test func leastConnectionsCountsByWeight() {
        // 5 connections on weight 10 are less than 2 on weight 1.
        let shares = Selection.sharesByLoad([
            .init(backend: 1, active: 5, weight: 10), .init(backend: 2, active: 2, weight: 1),
        ])
        #expect(shares == [1: 1])
    }

    @Test func aSingleBackendHasEveryConnection() {
        #expect(Selection.sharesByLoad([.init(backend: 1, active: 9, weight: 1)]) == [1: 1])
        #expect(Selection.sharesByLoad([]).isEmpty)
    }

    @Test func findsTheBucketOfAQuantile() {
        var histogram = weft_histogram()
        #expect(histogram.bound(ofQuantile: 0.5) == nil)
        for value in [1, 3, 3, 900] as [UInt64] { unsafe weft_histogram_add(&histogram, value) }
        #expect(histogram.count == 4 && histogram.bound(ofQuantile: 0.5) == 4 && histogram.bound(ofQuantile: 1) == 1024)
        unsafe weft_histogram_add(&histogram, .max)
        #expect(histogram.bound(ofQuantile: 1) == .infinity)
    }
}
