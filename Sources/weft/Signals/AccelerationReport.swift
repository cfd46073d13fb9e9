import BPF
import CLinux
import KernelPlane
import Telemetry
import WeftABI

/// `weft stat --acceleration`: what the accelerated lane is worth, by destination.
struct AccelerationReport {
    /// Requests that each side of a comparison has at least.
    static let enough: UInt64 = 100

    private let summaries: [(subject: AccelerationSummary.Subject, summary: AccelerationSummary)]

    init(_ directory: PinDirectory) throws(Failure) {
        guard directory.isInstalled else { throw .noMaps(at: directory.path, error: weft_errno()) }
        do throws(BPFError) {
            let maps = try PinnedMaps(directory)
            summaries = AccelerationSummary.summaries(
                acceleration: try maps.acceleration.summedCounters(),
                traffic: try maps.traffic.summedCounters(),
                requests: try maps.requests.summedCounters(),
                directory: PinnedNames(
                    names: try maps.names.entries(), workloads: try maps.workloads.entries().map { ($0.key, $0.value) })
            ).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        } catch {
            throw Failure(error)
        }
    }

    /// Of the destinations that a name or a namespace selects.
    func records(namespace: String?, name: String?) -> [Record] {
        summaries.filter { selects($0.subject.name, namespace: namespace, name: name) }.map(record)
    }

    private func selects(_ candidate: String, namespace: String?, name: String?) -> Bool {
        let parts = candidate.split(separator: "/", maxSplits: 1).map(String.init)
        let bare = parts.last.map { String($0.prefix { $0 != ":" }) }
        return (namespace == nil || parts.first == namespace)
            && (name == nil || name == bare || name == "\(parts.first ?? "")/\(bare ?? "")")
    }

    private func record(_ subject: AccelerationSummary.Subject, _ summary: AccelerationSummary) -> Record {
        let gain = summary.gain(enough: Self.enough)
        return Record([
            Field("destination", .string(subject.name)),
            Field("lane", .string(subject.lane)),
            share("connections", summary.connectionShare),
            .hidden("acceleratedConnections", Value(summary.connections)),
            .hidden("otherConnections", counts(summary.slowConnections)),
            share("bytes", summary.byteShare),
            Field(
                "redirectedBytes", Value(summary.redirectedBytes), title: "REDIRECTED",
                text: formatBytes(summary.redirectedBytes)),
            .hidden("redirectedSends", Value(summary.redirectedSends)),
            .hidden("otherSends", counts(summary.slowSends)),
            Field("demotions", Value(summary.demotions)),
            .hidden("promotions", Value(summary.promotions)),
            latency("acceleratedMicroseconds", "LATENCY", summary.accelerated),
            latency("controlMicroseconds", "BY TCP", summary.control),
            .hidden("acceleratedRequests", Value(summary.accelerated.requests)),
            .hidden("controlRequests", Value(summary.control.requests)),
            Field(
                "gain", gain.map { .number($0) } ?? .null, text: gain.map { percent($0) } ?? "-",
                style: gain.map { $0 > 0 ? .good : .caution } ?? .plain),
            Field(
                "reasons", counts(summary.slowSends.merging(summary.slowConnections, uniquingKeysWith: &+)),
                title: "WHY NOT", text: reasons(summary)),
        ])
    }

    private func share(_ name: String, _ share: Double?) -> Field {
        Field(
            name + "Share", share.map { .number($0) } ?? .null, title: name.uppercased(),
            text: share.map { percent($0) } ?? "-")
    }

    private func latency(_ name: String, _ title: String, _ latency: AccelerationSummary.Latency) -> Field {
        Field(
            name, latency.mean.map { .number($0) } ?? .null, title: title,
            text: latency.mean.map { formatBound(microseconds: $0) } ?? "-")
    }

    private func percent(_ share: Double) -> String { fixed(share * 100, decimals: 1) + "%" }

    private func counts(_ counts: [String: UInt64]) -> Value {
        .object(Value.Object(counts.sorted { $0.key < $1.key }.map { ($0.key, Value($0.value)) }))
    }

    /// The two reasons that count most.
    private func reasons(_ summary: AccelerationSummary) -> String {
        let all = summary.slowSends.merging(summary.slowConnections, uniquingKeysWith: &+)
        let most = all.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(2)
        return most.isEmpty ? "-" : most.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
