public import WeftABI

/// How long connections wait for accept() at local workloads' listening sockets, from readings of their accept queues.
///
/// No hook sees a connection leave the queue; but by Little's law the mean time that it waited there is the mean length
/// of the queue divided by the rate of connections. So the length is integrated over time: the rate of that integral,
/// divided by the rate of connections that were accepted, is the mean wait.
public struct AcceptQueues {
    private struct Key: Hashable {
        var workload: UInt64
        var port: UInt16
    }

    private struct Queue {
        var length: UInt64 = 0
        var limit: UInt64 = 0
        /// The integral of the length, in nanoseconds.
        var waited: UInt64 = 0
        /// When a socket was there.
        var seen: UInt64 = 0

        mutating func add(_ reading: weft_accept_queue, passed: UInt64, now: UInt64) {
            length += UInt64(reading.length)
            limit += UInt64(reading.limit)
            waited &+= UInt64(reading.length) &* passed
            seen = now
        }
    }

    private let limit: Int
    /// Nanoseconds.
    private let expiry: UInt64
    private var queues: [Key: Queue] = [:]
    private var overflow: Queue?
    private var last: UInt64?

    /// - Parameters:
    ///   - limit: the most ports of workloads that have series of their own.
    ///   - expiry: how long they are shown when nobody listens there any more.
    public init(limit: Int, expiry: Duration = .seconds(600)) {
        self.limit = limit
        self.expiry = UInt64(max(expiry.components.seconds, 0)) * 1_000_000_000
    }

    /// Takes a reading of all queues. Several sockets of one port (SO_REUSEPORT, or one for each family) are one queue.
    ///
    /// - Parameter now: CLOCK_MONOTONIC in nanoseconds.
    public mutating func take(_ readings: [weft_accept_queue], now: UInt64) {
        let passed = now - min(last ?? now, now)
        last = now
        for key in queues.keys {
            queues[key]?.length = 0
            queues[key]?.limit = 0
        }
        overflow?.length = 0
        overflow?.limit = 0
        for reading in readings {
            let key = Key(workload: reading.workload, port: UInt16(bigEndian: reading.port))
            if queues[key] != nil || queues.count < limit {
                queues[key, default: Queue()].add(reading, passed: passed, now: now)
            } else {
                overflow = overflow ?? Queue()
                overflow?.add(reading, passed: passed, now: now)
            }
        }
        let expiry = expiry
        if queues.values.contains(where: { now - $0.seen > expiry }) {
            queues = queues.filter { now - $0.value.seen <= expiry }
        }
    }

    /// Writes what is known of the queues, by the names of Istio's metrics for who serves.
    public func write(to writer: inout MetricWriter, directory: some NameDirectory) {
        var named: [(labels: MetricLabels, queue: Queue)] = queues.sorted {
            ($0.key.workload, $0.key.port) < ($1.key.workload, $1.key.port)
        }.compactMap { key, queue in
            // A workload that has left the configuration has no name any more.
            guard let workload = directory.workload(key.workload) else { return nil }
            return (Self.labels(workload.workload, workload.namespace, "\(key.port)"), queue)
        }
        if let overflow { named.append((Self.labels("overflow", "overflow", "overflow"), overflow)) }
        writer.family(
            "weft_accept_queue_length", .gauge,
            help: "Established connections that a workload has not accepted yet, when it was last looked.")
        for (labels, queue) in named { writer.sample(labels, queue.length) }
        writer.family(
            "weft_accept_queue_limit", .gauge,
            help: "Connections that may wait to be accepted: the backlog of listen(), bounded by net.core.somaxconn.")
        for (labels, queue) in named { writer.sample(labels, queue.limit) }
        writer.family(
            "weft_accept_queue_seconds_total", .counter,
            help: "Time that connections have waited to be accepted, of all together: the queue's length over time.")
        for (labels, queue) in named { writer.sample(labels, Double(queue.waited) / 1e9) }
    }

    private static func labels(_ workload: String, _ namespace: String, _ port: String) -> MetricLabels {
        MetricLabels([
            ("destination_workload", workload), ("destination_workload_namespace", namespace), ("port", port),
        ])
    }
}
