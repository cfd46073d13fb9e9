public import Proxy

/// The proxy's own counters, summed over its workers: connections, retries, what it refused, how its tunnels fare.
public struct ProxyMetrics {
    private let workers: [WorkerStatistics]

    public init(_ workers: [WorkerStatistics]) { self.workers = workers }

    public func write(to writer: inout MetricWriter) {
        for counter in ProxyCounter.allCases {
            let (name, help) = counter.metric
            let value = workers.reduce(0) { $0 &+ $1.value(counter) }
            if counter.isGauge {
                writer.gauge("weft_proxy_\(name)", help: help, Double(Int64(bitPattern: value)))
            } else {
                writer.counter("weft_proxy_\(name)", help: help, value)
            }
        }
        writer.family(
            "weft_tunnel_handshake_failures_total", .counter,
            help: "Connections between agents that could not be made, by cause.")
        for (cause, count) in Self.sums(workers.map(\.handshakeFailures)) {
            writer.sample(MetricLabels([("cause", cause)]), count)
        }
        writer.family(
            "weft_tunnel_violations_total", .counter,
            help: "Other agents whose connections were ended for what they did with HTTP/2, by cause.")
        for (cause, count) in Self.sums(workers.map(\.peerViolations)) {
            writer.sample(MetricLabels([("cause", cause)]), count)
        }
    }

    /// The sums over workers, whose causes are the same ones in the same order.
    private static func sums(_ workers: [[(cause: String, count: UInt64)]]) -> [(cause: String, count: UInt64)] {
        guard var sums = workers.first else { return [] }
        for worker in workers.dropFirst() {
            for (index, (_, count)) in worker.enumerated() { sums[index].count &+= count }
        }
        return sums
    }
}
