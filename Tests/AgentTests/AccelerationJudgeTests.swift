import Telemetry
import Testing

@testable import Agent

struct AccelerationJudgeTests {
    private func summaries(
        _ requests: UInt64, accelerated: UInt64, control: UInt64
    ) -> [AccelerationSummary.Subject: AccelerationSummary] {
        var summary = AccelerationSummary()
        summary.accelerated.requests = requests
        summary.accelerated.sumMicroseconds = requests * accelerated
        summary.control.requests = requests
        summary.control.sumMicroseconds = requests * control
        return [AccelerationSummary.Subject(name: "shop/web:80", service: 7, lane: "accelerated"): summary]
    }

    @Test("a service that is no faster is taken off, one that is faster or not known well enough is not")
    func judges() {
        var judge = AccelerationJudge()
        #expect(judge.judge(summaries(1999, accelerated: 90, control: 60)).isEmpty)
        #expect(judge.judge(summaries(2000, accelerated: 40, control: 60)).isEmpty)
        // Of what has come since then: 200 µs against 60.
        let verdicts = judge.judge(summaries(4000, accelerated: 120, control: 60))
        #expect(verdicts == [.init(service: 7, name: "shop/web:80", accelerated: 200, control: 60)])
        #expect(judge.judge(summaries(4000, accelerated: 120, control: 60)).isEmpty)
    }
}
