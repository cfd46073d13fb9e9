import Testing

@testable import Doctor

struct BehaviourReportTests {
    private func report(_ verdicts: [BehaviourProbe.Verdict]) -> BehaviourReport {
        BehaviourReport(
            kernel: .current, ranAt: 0, milliseconds: 0,
            probes: zip(BehaviourProbes.names, verdicts).map { BehaviourProbe(name: $0, verdict: $1, detail: "") })
    }

    @Test func oneFailureKeepsTheLaneOff() {
        let count = BehaviourProbes.names.count
        var verdicts = (0..<count).map { $0 % 2 == 0 ? BehaviourProbe.Verdict.pass : .worksWithGuard }
        #expect(report(verdicts).enablesAcceleration)
        verdicts[count - 1] = .fail
        #expect(!report(verdicts).enablesAcceleration)
        #expect(report(verdicts).failures.map(\.name) == [BehaviourProbes.names[count - 1]])
    }

    @Test func oneWayInWhichFIONREADIsWrongIsEnough() throws {
        #expect(report(BehaviourProbes.names.map { _ in .pass }).isFIONREADRight)
        let place = try #require(BehaviourProbes.names.firstIndex(of: "fionread-tcp"))
        #expect(!report(BehaviourProbes.names.indices.map { $0 == place ? .worksWithGuard : .pass }).isFIONREADRight)
        #expect(report(BehaviourProbes.names.indices.map { $0 == 0 ? .fail : .pass }).isFIONREADRight)
        #expect(!report([]).isFIONREADRight)
    }

    @Test func whatWasNotTriedIsNoPass() {
        #expect(!report([]).enablesAcceleration)
        #expect(!report([.pass, .pass]).enablesAcceleration)
    }

    @Test func namesAreFitForLabelsAndUnlikeEachOther() {
        #expect(Set(BehaviourProbes.names).count == BehaviourProbes.names.count)
        #expect(BehaviourProbes.names.allSatisfy { $0.allSatisfy { $0.isLowercase || $0 == "-" } })
    }

    @Test func aByteThatIsLostDoubledOrMovedShows() {
        for change: ([UInt8]) -> [UInt8] in [
            { Array($0.dropFirst()) + [0] },
            { [$0[0]] + $0.dropLast() },
            { Array($0[70_000...]) + $0[..<70_000] },
            { Array($0[1..<65_522]) + $0[..<1] + $0[65_522...] },
        ] {
            var stream = ProbeStream(seed: 3)
            let bytes = stream.next(200_000)
            stream.take(bytes.count)
            stream.check(change(bytes))
            #expect(!stream.isWhole)
        }
        var stream = ProbeStream(seed: 3)
        for size in [1, 65_521, 200_000, 7] {
            stream.check(stream.next(size))
            stream.take(size)
        }
        #expect(stream.isWhole)
        stream.take(1)
        #expect(!stream.isWhole)
    }
}
