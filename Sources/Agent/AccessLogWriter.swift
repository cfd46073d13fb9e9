import CLinux
import Dispatch
import Glibc
import Proxy
import Synchronization
import Telemetry

/// The thread that writes the access log: takes the workers' entries a few times a second, or sooner when they pile up,
/// so that no worker ever waits for a disk.
final class AccessLogWriter: Sendable {
    private static let intervalMilliseconds: CInt = 100

    private let queues: [AccessLogQueue]
    private let options: AccessLogOptions
    private let names: Mutex<MeshDirectory>
    private let isOver = Atomic(false)
    private let unwritten = Atomic<UInt64>(0)
    private let stopped = DispatchSemaphore(value: 0)

    /// Opens the file and starts the thread.
    init(_ options: AccessLogOptions, _ queues: [AccessLogQueue], names: MeshDirectory) throws(SystemError) {
        self.options = options
        self.queues = queues
        self.names = Mutex(names)
        let file = try LogFile(options.file)
        for queue in queues { queue.set(options.policy) }
        let passed = Passed(file)
        DispatchQueue(label: "weft.accesslog").async { [self] in
            run(passed.file)
            stopped.signal()
        }
    }

    /// Entries that are not in the log: no room on their way, or none in the file.
    var lost: UInt64 { queues.reduce(unwritten.load(ordering: .relaxed)) { $0 &+ $1.lost } }

    /// Names for the entries that are written from now on.
    func take(_ directory: MeshDirectory) { names.withLock { $0 = directory } }

    /// Writes what there is and ends the thread.
    func stop() {
        isOver.store(true, ordering: .releasing)
        stopped.wait()
    }

    private func run(_ file: LogFile) {
        var polled = queues.map { pollfd(fd: $0.wakeup, events: Int16(POLLIN), revents: 0) }
        while true {
            let isLast = isOver.load(ordering: .acquiring)
            writeAll(file)
            if isLast { return }
            _ = unsafe poll(&polled, nfds_t(polled.count), Self.intervalMilliseconds)
        }
    }

    private func writeAll(_ file: LogFile) {
        var hasMore = true
        while hasMore {
            hasMore = false
            let formatter = AccessLogFormatter(options.format, names.withLock { $0 }, clock: .current())
            var lines: [UInt8] = []
            var count = 0
            for queue in queues {
                let taken = queue.drain(limit: 512) { formatter.append($0, to: &lines) }
                count += taken
                hasMore = hasMore || taken == 512
            }
            if count > 0, !file.write(lines) { unwritten.add(UInt64(count), ordering: .relaxed) }
        }
    }
}

/// The log's file, which others may move away: it is opened again then.
private final class LogFile {
    private let path: String
    private var descriptor: CInt

    init(_ path: String) throws(SystemError) {
        self.path = path
        descriptor = path == "-" ? 1 : Self.open(path)
        guard descriptor >= 0 else { throw SystemError("open the access log \(path)") }
    }

    deinit { if path != "-" { close(descriptor) } }

    private static func open(_ path: String) -> CInt {
        unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
    }

    /// Writes whole lines; false if they did not get there.
    func write(_ lines: [UInt8]) -> Bool {
        reopenIfMoved()
        var written = 0
        while written < lines.count {
            let count = unsafe lines.withUnsafeBytes { bytes in
                unsafe Glibc.write(descriptor, bytes.baseAddress.map { unsafe $0 + written }, bytes.count - written)
            }
            if count < 0 && weft_errno() == EINTR { continue }
            guard count > 0 else { return false }
            written += count
        }
        return true
    }

    private func reopenIfMoved() {
        guard path != "-" else { return }
        var there = stat()
        var own = stat()
        guard unsafe fstat(descriptor, &own) == 0 else { return }
        if unsafe stat(path, &there) == 0, there.st_ino == own.st_ino, there.st_dev == own.st_dev { return }
        let opened = Self.open(path)
        guard opened >= 0 else { return }
        close(descriptor)
        descriptor = opened
    }
}

/// Hands the file to the thread that uses it.
private struct Passed: @unchecked Sendable {
    let file: LogFile
    init(_ file: LogFile) { self.file = file }
}
