import KernelPlane
import Telemetry

/// Takes services off the accelerated lane that are no faster on it than the few of their connections that stay with TCP.
struct AccelerationJudge {
    /// Requests that each side of a comparison has at least.
    static let enough: UInt64 = 2000

    /// What a comparison begins with.
    private struct Baseline {
        var accelerated = AccelerationSummary.Latency()
        var control = AccelerationSummary.Latency()
    }

    struct Verdict: Equatable {
        var service: UInt64
        var name: String
        /// Microseconds.
        var accelerated: Double
        var control: Double
    }

    private var baselines: [UInt64: Baseline] = [:]

    /// Compares what has been counted since the last comparison of each service.
    ///
    /// - Returns: the services that gain nothing.
    mutating func judge(_ summaries: [AccelerationSummary.Subject: AccelerationSummary]) -> [Verdict] {
        var verdicts: [Verdict] = []
        for (subject, summary) in summaries.sorted(by: { $0.key < $1.key }) where subject.service != 0 {
            let service = subject.service
            let before = baselines[service] ?? Baseline()
            var recent = AccelerationSummary()
            recent.accelerated = summary.accelerated - before.accelerated
            recent.control = summary.control - before.control
            guard let gain = recent.gain(enough: Self.enough), let fast = recent.accelerated.mean,
                let slow = recent.control.mean
            else { continue }
            baselines[service] = Baseline(accelerated: summary.accelerated, control: summary.control)
            if gain <= 0 {
                verdicts.append(Verdict(service: service, name: subject.name, accelerated: fast, control: slow))
            }
        }
        return verdicts
    }
}
