import Dispatch
import Synchronization
import Telemetry
import WeftABI

/// The thread that takes flow records out of the agent: to the log on disk, and to a collector. The reactor hands them
/// over in batches and never waits; what the thread cannot keep up with is counted.
final class FlowOutlet: Sendable {
    /// Records that may wait.
    static let capacity = 65_536

    private struct Batch: Sendable {
        var flows: [RawFlow]
        var names: MeshDirectory
    }

    private struct Waiting {
        var batches: [Batch] = []
        var count = 0
        var isOver = false
    }

    private let waiting = Mutex(Waiting())
    private let hasWork = DispatchSemaphore(value: 0)
    private let stopped = DispatchSemaphore(value: 0)
    private let unlogged = Atomic<UInt64>(0)
    private let unexported = Atomic<UInt64>(0)
    private let collector: OTLPExporter?
    private let node: String

    /// Opens the log if there is to be one, and starts the thread.
    ///
    /// - Parameters:
    ///   - collector: gets the records, too.
    ///   - node: this node's name.
    init(log options: FlowLogOptions, collector: OTLPExporter?, node: String) throws(SystemError) {
        self.collector = collector
        self.node = node
        let log: RotatingFile?
        if let file = options.file {
            log = try RotatingFile(file, maxBytes: options.maxBytes, count: options.files)
        } else {
            log = nil
        }
        hasLog = log != nil
        let passed = Passed(log: log)
        DispatchQueue(label: "weft.flows").async { [self] in
            run(passed.log)
            stopped.signal()
        }
    }

    let hasLog: Bool

    /// Records that are not in the log: no room on their way, or none on the disk.
    var lost: UInt64 { unlogged.load(ordering: .relaxed) }

    /// Records that the exporter to the collector has never got.
    var lostForCollector: UInt64 { unexported.load(ordering: .relaxed) }

    /// Hands records over, with the names that are valid now. From the reactor's thread.
    func take(_ flows: [RawFlow], names: MeshDirectory) {
        let isTaken = waiting.withLock { waiting in
            guard waiting.count + flows.count <= Self.capacity else { return false }
            waiting.batches.append(Batch(flows: flows, names: names))
            waiting.count += flows.count
            return true
        }
        guard !isTaken else {
            hasWork.signal()
            return
        }
        if hasLog { unlogged.add(UInt64(flows.count), ordering: .relaxed) }
        if collector != nil { unexported.add(UInt64(flows.count), ordering: .relaxed) }
    }

    /// Writes what there is and ends the thread.
    func stop() {
        waiting.withLock { $0.isOver = true }
        hasWork.signal()
        stopped.wait()
    }

    private func run(_ log: RotatingFile?) {
        while true {
            hasWork.wait()
            let (batches, isOver) = waiting.withLock { waiting in
                defer { (waiting.batches, waiting.count) = ([], 0) }
                return (waiting.batches, waiting.isOver)
            }
            for batch in batches { hand(batch, to: log) }
            if isOver { return }
        }
    }

    private func hand(_ batch: Batch, to log: RotatingFile?) {
        let clock = WallClock.current()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(log == nil ? 0 : batch.flows.count * 640)
        var ends: [Int] = []
        ends.reserveCapacity(log == nil ? 0 : batch.flows.count)
        for raw in batch.flows {
            let record = FlowRecord(raw.flow, raw.texts, directory: batch.names, clock: clock)
            if log != nil {
                record.writeJSON(to: &bytes)
                bytes.append(UInt8(ascii: "\n"))
                ends.append(bytes.count)
            }
            if let collector {
                let isServer = record.reporter == "destination"
                let reporter = batch.names.workload(isServer ? raw.flow.destination : raw.flow.source)
                collector.add(record.otlp(reporter: reporter, node: node))
            }
        }
        guard let log else { return }
        let lost = log.write(bytes, ends: ends)
        if lost > 0 { unlogged.add(UInt64(lost), ordering: .relaxed) }
    }
}

/// Hands the file to the thread that uses it.
private struct Passed: @unchecked Sendable {
    let log: RotatingFile?
}
