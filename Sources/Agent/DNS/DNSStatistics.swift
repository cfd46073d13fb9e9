import Synchronization
import Telemetry

/// What became of the questions; counted by the name server's thread and read by others.
final class DNSStatistics: Sendable {
    enum Result: Int, CaseIterable {
        /// A name of the mesh.
        case mesh
        case cached, forwarded
        /// No resolver answered, or too much is asked at the same time.
        case failed
        /// What is not answered by rule.
        case refused
        /// No question at all.
        case malformed

        var name: String { "\(self)" }
    }

    private let counters = Mutex([UInt64](repeating: 0, count: Result.allCases.count))

    func count(_ result: Result, _ number: Int = 1) {
        counters.withLock { $0[result.rawValue] += UInt64(number) }
    }

    func value(_ result: Result) -> UInt64 { counters.withLock { $0[result.rawValue] } }

    func write(to writer: inout MetricWriter) {
        let counters = counters.withLock { $0 }
        writer.family("weft_dns_queries_total", .counter, help: "Questions for names, by what became of them.")
        for result in Result.allCases {
            writer.sample(MetricLabels([("result", result.name)]), counters[result.rawValue])
        }
    }
}
