import CLinux
import Glibc
import Proxy
import Synchronization
import Telemetry

/// Writes the access log's lines.
final class AccessLogWriter: RequestLogConsumer {
    private struct Pending: ~Copyable {
        let file: LogFile
        var lines: [UInt8] = []
        var count: UInt64 = 0
    }

    private let format: AccessLogOptions.Format
    private let pending: Mutex<Pending>
    private let lost = Atomic<UInt64>(0)

    /// Opens the file.
    init(_ options: AccessLogOptions) throws(SystemError) {
        format = options.format
        pending = Mutex(Pending(file: try LogFile(options.file)))
    }

    var interest: RequestConsumers { .accessLog }

    /// Entries for which there was no room in the file.
    var unwritten: UInt64 { lost.load(ordering: .relaxed) }

    func take(_ entry: borrowing RequestLogEntry, _ names: MeshDirectory, _ clock: WallClock) {
        let formatter = AccessLogFormatter(format, names, clock: clock)
        pending.withLock { pending in
            formatter.append(entry, to: &pending.lines)
            pending.count += 1
        }
    }

    func flush() {
        pending.withLock { pending in
            guard pending.count > 0 else { return }
            if !pending.file.write(pending.lines) { lost.add(pending.count, ordering: .relaxed) }
            pending.lines.removeAll(keepingCapacity: pending.lines.count < 1 << 20)
            pending.count = 0
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
