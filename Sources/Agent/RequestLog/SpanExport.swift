import Proxy
import Synchronization
import Telemetry

/// Sends the spans of requests to a collector, and keeps their traces for the next reading of the metrics.
final class SpanExport: RequestLogConsumer {
    /// A trace that stands for requests of a series.
    struct Noted {
        var exemplar: Exemplar
        var key: WorkerStatistics.Key
        var worker: Int
    }

    /// As many as a reading takes.
    private static let capacity = 1024

    private let exporter: OTLPExporter
    private let node: String
    private let noted = Mutex<[Noted]>([])

    init(_ exporter: OTLPExporter, node: String) {
        self.exporter = exporter
        self.node = node
    }

    var interest: RequestConsumers { .traces }

    func take(_ entry: borrowing RequestLogEntry, _ names: MeshDirectory, _ clock: WallClock) {
        for span in SpanEncoder(names, clock: clock, node: node).spans(entry) { exporter.add(span) }
        guard entry.subject == .request, let trace = entry.trace, trace.isSampled else { return }
        let record = entry.record
        let exemplar = Exemplar(
            traceID: (trace.traceHigh, trace.traceLow),
            microseconds: (record.ended - min(record.started, record.ended)) / 1000,
            unixNanoseconds: UInt64(max(clock.unixNanoseconds(monotonic: record.ended), 0)))
        let item = Noted(exemplar: exemplar, key: WorkerStatistics.Key(record), worker: entry.worker)
        noted.withLock { noted in
            if noted.count == Self.capacity { noted.removeFirst(Self.capacity / 2) }
            noted.append(item)
        }
    }

    /// The traces since the last time, the newest ones last.
    func takeNoted() -> [Noted] {
        noted.withLock { noted in
            defer { noted = [] }
            return noted
        }
    }

    func flush() {}
}
