import CLinux
import Glibc
import Protobuf
import Proxy
import Synchronization

/// Sends records of one signal to a collector, in batches, on a thread of its own: nobody who adds one waits.
///
/// What the collector cannot take now is kept and tried again, ever more rarely; what finds no room meanwhile pushes out
/// the oldest. What the collector refuses, and what is pushed out, is counted as lost.
public final class OTLPExporter: Sendable {
    /// A batch is sent when it has so many records, or when its first is so old.
    static let batchSize = 512
    private static let batchMilliseconds: UInt64 = 1000
    /// Records that wait, and their bytes.
    static let capacity = 8192
    private static let byteCapacity = 16 << 20
    /// Nanoseconds between two attempts.
    private static let backOff: ClosedRange<UInt64> = 1_000_000_000...30_000_000_000
    /// As long as a collector may ask for, seconds.
    private static let longestWait: UInt64 = 300
    /// What is left when the agent stops has so long, nanoseconds.
    private static let lastDeadline: UInt64 = 2_000_000_000
    /// Of a collector's answer, bytes.
    private static let answerLimit = 64 << 10

    private struct State: ~Copyable {
        var waiting: [OTLPRecord] = []
        var byteCount = 0
        /// CLOCK_MONOTONIC, nanoseconds; of the oldest that waits.
        var since: UInt64 = 0
        var thread: UInt?
        var isStopped = false
    }

    public let signal: OTLPSignal
    private let options: OTLPOptions
    private let version: String
    private let report: @Sendable (String?) -> Void
    private let state = Mutex(State())
    private let lostCount = Atomic<UInt64>(0)
    private let exportedCount = Atomic<UInt64>(0)
    /// Readable: there is something to send; and: the end has come.
    private let wake: CInt
    private let halt: CInt

    /// - Parameters:
    ///   - version: of Weft.
    ///   - report: is told why records do not arrive, once for each reason, and nil when they do again.
    /// - Throws: errno, when the process has no descriptor left or there can be no further thread.
    public init(
        _ signal: OTLPSignal, _ options: OTLPOptions, version: String, report: @escaping @Sendable (String?) -> Void
    ) throws(OTLPFailure) {
        self.signal = signal
        self.options = options
        self.version = version
        self.report = report
        wake = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        halt = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard wake >= 0, halt >= 0 else { throw OTLPFailure(errno: weft_errno()) }
        switch ServiceThread.start("otlp-\(signal.rawValue)", self, { $0.run() }) {
        case .success(let thread): state.withLock { $0.thread = thread }
        case .failure(let failure): throw OTLPFailure(errno: failure.errno)
        }
    }

    deinit {
        close(wake)
        close(halt)
    }

    /// Records that the collector has not got, and those that it has.
    public var lost: UInt64 { lostCount.load(ordering: .relaxed) }
    public var exported: UInt64 { exportedCount.load(ordering: .relaxed) }

    /// Sends a record soon.
    public func add(_ record: OTLPRecord) {
        let (wakes, pushedOut) = state.withLock { state -> (Bool, Int) in
            guard !state.isStopped else { return (false, 1) }
            if state.waiting.isEmpty { state.since = WallClock.monotonic() }
            state.waiting.append(record)
            state.byteCount += record.message.count
            var pushedOut = 0
            if state.waiting.count > Self.capacity || state.byteCount > Self.byteCapacity {
                // Many at once: the rest moves up.
                pushedOut = min(Self.batchSize, state.waiting.count)
                state.byteCount -= state.waiting[..<pushedOut].reduce(0) { $0 + $1.message.count }
                state.waiting.removeFirst(pushedOut)
            }
            return (state.waiting.count == 1 || state.waiting.count == Self.batchSize, pushedOut)
        }
        if pushedOut > 0 { lostCount.add(UInt64(pushedOut), ordering: .relaxed) }
        if wakes { eventfd_write(wake, 1) }
    }

    /// Sends what waits, as far as that is quick, and ends the thread.
    public func stop() {
        let thread = state.withLock { state -> UInt? in
            state.isStopped = true
            defer { state.thread = nil }
            return state.thread
        }
        eventfd_write(halt, 1)
        if let thread { ServiceThread.join(thread) }
    }

    // MARK: The thread

    private func run() {
        var failures = 0
        var problem: String?
        while let batch = nextBatch() {
            var isDone = false
            while !isDone {
                switch export(batch, deadline: WallClock.monotonic() + options.timeout * 1_000_000, halt: halt) {
                case .taken(let refused):
                    count(batch.count - refused.count, refused.count)
                    note(refused.count > 0 ? refused.reason : nil, &problem)
                    failures = 0
                    isDone = true
                case .refused(let reason):
                    count(0, batch.count)
                    note(reason, &problem)
                    isDone = true
                case .failed(let reason, let retryAfter):
                    if isHalted {
                        finish(batch)
                        return
                    }
                    note(reason, &problem)
                    failures += 1
                    if !wait(for: Self.pause(failures: failures, retryAfter: retryAfter)) {
                        finish(batch)
                        return
                    }
                }
            }
        }
        finish([])
    }

    /// nil: the end has come.
    private func nextBatch() -> [OTLPRecord]? {
        while true {
            var count: eventfd_t = 0
            _ = unsafe eventfd_read(wake, &count)
            let now = WallClock.monotonic()
            let due = state.withLock { state -> UInt64? in
                if state.waiting.count >= Self.batchSize { return now }
                return state.waiting.isEmpty ? nil : state.since + Self.batchMilliseconds * 1_000_000
            }
            if isHalted { return nil }
            if let due, due <= now { return takeBatch() }
            var polled = [
                pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
                pollfd(fd: halt, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&polled, 2, due.map { CInt(($0 - now) / 1_000_000 + 1) } ?? -1)
        }
    }

    private func takeBatch() -> [OTLPRecord] {
        state.withLock { state in
            let batch = Array(state.waiting.prefix(Self.batchSize))
            state.waiting.removeFirst(batch.count)
            state.byteCount -= batch.reduce(0) { $0 + $1.message.count }
            state.since = WallClock.monotonic()
            return batch
        }
    }

    /// What is left has one chance.
    private func finish(_ first: [OTLPRecord]) {
        let deadline = WallClock.monotonic() + min(Self.lastDeadline, options.timeout * 1_000_000)
        var batch = first.isEmpty ? takeBatch() : first
        while !batch.isEmpty {
            // Nothing interrupts it.
            if case .taken(let refused) = export(batch, deadline: deadline, halt: -1) {
                count(batch.count - refused.count, refused.count)
            } else {
                let rest = state.withLock { state in
                    defer { state.waiting = [] }
                    return state.waiting.count
                }
                count(0, batch.count + rest)
            }
            batch = takeBatch()
        }
    }

    private var isHalted: Bool { state.withLock { $0.isStopped } }

    private func count(_ exported: Int, _ lost: Int) {
        exportedCount.add(UInt64(exported), ordering: .relaxed)
        lostCount.add(UInt64(lost), ordering: .relaxed)
    }

    private func note(_ reason: String?, _ problem: inout String?) {
        guard reason != problem else { return }
        problem = reason
        report(reason)
    }

    /// False: the end has come.
    private func wait(for nanoseconds: UInt64) -> Bool {
        var polled = [pollfd(fd: halt, events: Int16(POLLIN), revents: 0)]
        _ = unsafe poll(&polled, 1, CInt(nanoseconds / 1_000_000 + 1))
        return !isHalted
    }

    /// Twice as long after each failure, and shorter by chance so that many exporters do not come back at once; longer
    /// if the collector asks for it.
    static func pause(failures: Int, retryAfter: UInt64?) -> UInt64 {
        let longest = min(backOff.lowerBound << UInt64(min(failures - 1, 16)), backOff.upperBound)
        let pause = UInt64.random(in: longest / 2...longest)
        guard let retryAfter else { return pause }
        return max(pause, min(retryAfter, longestWait) * 1_000_000_000)
    }

    // MARK: One request

    private enum Outcome {
        case taken(refused: (count: Int, reason: String))
        /// It would not be taken another time either.
        case refused(String)
        case failed(String, retryAfter: UInt64?)
    }

    private func export(_ batch: [OTLPRecord], deadline: UInt64, halt: CInt) -> Outcome {
        var url = options.endpoint
        url.path = (url.path.hasSuffix("/") ? String(url.path.dropLast()) : url.path) + signal.path
        var request = HTTPClient.Request(url)
        request.method = "POST"
        request.fields =
            [("User-Agent", "Weft-OTLP-Exporter/\(version)"), ("Content-Type", "application/x-protobuf")]
            + options.headers
        request.body = OTLPRecord.request(batch, version: version)
        let place = "\(url.host) port \(url.port)"
        let answer: HTTPClient.Answer
        do throws(HTTPClientError) {
            answer = try HTTPClient.send(request, limit: Self.answerLimit, deadline: deadline, wake: halt)
        } catch {
            return .failed("\(place): \(error)", retryAfter: nil)
        }
        switch answer.status {
        case 200..<300:
            let refused = Self.refused(answer.body)
            let count = min(max(refused.count, 0), Int64(batch.count))
            return .taken(
                refused: (Int(count), "\(place) has refused some of the \(signal.rawValue): \(refused.reason)"))
        case 429, 502, 503, 504:
            return .failed(
                "\(place) answers with \(answer.status)", retryAfter: answer.value("retry-after").flatMap { UInt64($0) }
            )
        default: return .refused("\(place) refuses \(signal.rawValue): it answers with \(answer.status)")
        }
    }

    /// What an `Export…ServiceResponse` says of records that were not taken.
    static func refused(_ body: [UInt8]) -> (count: Int64, reason: String) {
        var count: Int64 = 0
        var reason = ""
        func read() throws(ProtobufError) {
            var response = ProtobufReader(body.span)
            while let field = try response.next() {
                guard field == 1 else { continue }
                var partial = try response.message()
                while let field = try partial.next() {
                    switch field {
                    case 1: count = try partial.int64()
                    case 2: reason = try partial.string()
                    default: break
                    }
                }
            }
        }
        // An answer that cannot be read is none about records.
        try? read()
        return (count, String(reason.prefix(200)))
    }
}

/// An exporter could not be started.
public struct OTLPFailure: Error { public let errno: CInt }
