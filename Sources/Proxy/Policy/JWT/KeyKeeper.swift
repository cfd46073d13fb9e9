import CLinux
import Glibc
import Mesh
import Synchronization

/// Gets the keys of issuers from files and servers, on a thread of its own that there is once a source needs it.
final class KeyKeeper: Sendable {
    private struct Mail: ~Copyable {
        var sources: [KeySource]?
        var thread: UInt?
        var isStopped = false
    }

    /// Nanoseconds between two looks at files, and at what workers want.
    private static let period: UInt64 = 1_000_000_000
    /// How long a set is kept whose server does not say, seconds.
    static let defaultAge: UInt64 = 1200
    /// Bounds of what a server says, seconds.
    private static let ages: ClosedRange<UInt64> = 10...86_400
    /// Between two fetches because of unknown keys.
    private static let wantedPeriod: UInt64 = 5_000_000_000
    private static let longestBackOff: UInt64 = 60_000_000_000

    private let mail = Mutex(Mail())
    private let wake: CInt

    /// nil if the process has no descriptor left.
    init?() {
        wake = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard wake >= 0 else { return nil }
    }

    deinit { close(wake) }

    /// From now on these sources are looked after.
    func update(_ sources: [KeySource]) {
        let remote = sources.filter {
            if case .url = $0.keys { true } else { false }
        }
        let isNeeded = mail.withLock { mail -> Bool in
            mail.sources = remote
            return mail.thread == nil && !mail.isStopped && !remote.isEmpty
        }
        if isNeeded { start() }
        eventfd_write(wake, 1)
    }

    private func start() {
        guard let started = try? ServiceThread.start("keys", self, { $0.run() }).get() else { return }
        mail.withLock { $0.thread = started }
    }

    /// Ends the thread, whatever it waits for.
    func stop() {
        let thread = mail.withLock { mail -> UInt? in
            mail.isStopped = true
            defer { mail.thread = nil }
            return mail.thread
        }
        eventfd_write(wake, 1)
        if let thread { ServiceThread.join(thread) }
    }

    private struct Kept {
        let source: KeySource
        var due: UInt64
        var fetched: UInt64 = 0
        var backOff: UInt64 = 0
        var stamp = FileStamp()
    }

    private func run() {
        var kept: [Kept] = []
        while true {
            // What was written before is in the mail.
            var count: eventfd_t = 0
            _ = unsafe eventfd_read(wake, &count)
            let (news, isStopped) = mail.withLock { mail -> ([KeySource]?, Bool) in
                defer { mail.sources = nil }
                return (mail.sources, mail.isStopped)
            }
            if isStopped { return }
            if let news {
                kept = news.map { source in
                    kept.first { $0.source === source } ?? Kept(source: source, due: MonotonicClock.now())
                }
            }
            for index in kept.indices {
                look(after: &kept[index])
                if hasMail { break }
            }
            var polled = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
            let milliseconds = kept.isEmpty ? -1 : CInt(Self.period / 1_000_000)
            _ = unsafe poll(&polled, 1, milliseconds)
        }
    }

    private var hasMail: Bool { mail.withLock { $0.isStopped || $0.sources != nil } }

    private func look(after kept: inout Kept) {
        guard case .url(let text) = kept.source.keys else { return }
        if text.hasPrefix("file:") {
            read(String(text.dropFirst(text.hasPrefix("file://") ? 7 : 5)), &kept)
            return
        }
        let now = MonotonicClock.now()
        let wanted = kept.source.wanted.load(ordering: .relaxed)
        let isWanted = wanted > kept.fetched && now >= kept.fetched + Self.wantedPeriod && kept.backOff == 0
        guard now >= kept.due || isWanted else { return }
        kept.fetched = now
        fetch(text, &kept)
    }

    private func fetch(_ text: String, _ kept: inout Kept) {
        var age: UInt64?
        if let url = HTTPURL(text) {
            do throws(HTTPClientError) {
                let deadline = kept.fetched + UInt64(max(kept.source.timeout, 1)) * 1_000_000
                let answer = try KeyFetch.get(url, deadline: deadline, wake: wake)
                if kept.source.take(answer.body) { age = answer.maximumAge ?? Self.defaultAge }
            } catch {
                kept.source.fail("\(text): \(error)")
            }
        } else {
            kept.source.fail("\(text) is no http:, https: or file: URL")
        }
        let now = MonotonicClock.now()
        if let age {
            kept.backOff = 0
            kept.due = now + min(max(age, Self.ages.lowerBound), Self.ages.upperBound) * 1_000_000_000
        } else {
            kept.backOff = min(max(kept.backOff * 2, 1_000_000_000), Self.longestBackOff)
            kept.due = now + kept.backOff
        }
    }

    // MARK: Files

    private struct FileStamp: Equatable {
        var size: Int64 = -1
        var inode: UInt64 = 0
        var seconds = 0
        var nanoseconds = 0
    }

    private func read(_ path: String, _ kept: inout Kept) {
        var status = stat()
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, unsafe fstat(descriptor, &status) == 0 else {
            let error = weft_errno()
            if kept.stamp != FileStamp() || kept.source.reading.failures == 0 {
                kept.source.fail(unsafe "cannot read \(path): \(String(cString: strerror(error)))")
            }
            kept.stamp = FileStamp()
            return
        }
        let stamp = FileStamp(
            size: Int64(status.st_size), inode: UInt64(status.st_ino), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
        guard stamp != kept.stamp else { return }
        kept.stamp = stamp
        var bytes = [UInt8](repeating: 0, count: KeySet.maximumSize + 1)
        var count = 0
        while count < bytes.count {
            let result = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress.map { unsafe $0 + count }, $0.count - count)
            }
            guard result > 0 else { break }
            count += result
        }
        kept.source.take(Array(bytes[..<count]))
    }
}
