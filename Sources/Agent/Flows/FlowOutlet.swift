import Dispatch
import Synchronization
import Telemetry

/// The thread that takes flow records out of the agent: to the log on disk. The reactor hands them over in batches and
/// never waits; what the thread cannot keep up with is counted.
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

    /// Opens the log, and starts the thread.
    init(log options: FlowLogOptions) throws(SystemError) {
        let log = try RotatingFile(options.file ?? "", maxBytes: options.maxBytes, count: options.files)
        let passed = Passed(log: log)
        DispatchQueue(label: "weft.flows").async { [self] in
            run(passed.log)
            stopped.signal()
        }
    }

    /// Records that are not in the log: no room on their way, or none on the disk.
    var lost: UInt64 { unlogged.load(ordering: .relaxed) }

    /// Hands records over, with the names that are valid now. From the reactor's thread.
    func take(_ flows: [RawFlow], names: MeshDirectory) {
        let isTaken = waiting.withLock { waiting in
            guard waiting.count + flows.count <= Self.capacity else { return false }
            waiting.batches.append(Batch(flows: flows, names: names))
            waiting.count += flows.count
            return true
        }
        if isTaken { hasWork.signal() } else { unlogged.add(UInt64(flows.count), ordering: .relaxed) }
    }

    /// Writes what there is and ends the thread.
    func stop() {
        waiting.withLock { $0.isOver = true }
        hasWork.signal()
        stopped.wait()
    }

    private func run(_ log: RotatingFile) {
        while true {
            hasWork.wait()
            let (batches, isOver) = waiting.withLock { waiting in
                defer { (waiting.batches, waiting.count) = ([], 0) }
                return (waiting.batches, waiting.isOver)
            }
            for batch in batches { write(batch, to: log) }
            if isOver { return }
        }
    }

    private func write(_ batch: Batch, to log: RotatingFile) {
        let clock = WallClock.current()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(batch.flows.count * 640)
        var ends: [Int] = []
        ends.reserveCapacity(batch.flows.count)
        for raw in batch.flows {
            FlowRecord(raw.flow, raw.texts, directory: batch.names, clock: clock).writeJSON(to: &bytes)
            bytes.append(UInt8(ascii: "\n"))
            ends.append(bytes.count)
        }
        let lost = log.write(bytes, ends: ends)
        if lost > 0 { unlogged.add(UInt64(lost), ordering: .relaxed) }
    }
}

/// Hands the file to the thread that uses it.
private struct Passed: @unchecked Sendable {
    let log: RotatingFile
}
