import CLinux
import Glibc
import Proxy
import Synchronization
import Telemetry

/// Gets entries about requests that have ended, on the thread of the request log. What it does there holds up the others,
/// so that it does not wait for anybody but a disk.
protocol RequestLogConsumer: AnyObject, Sendable {
    /// Which entries it gets; the access log and traces have one consumer each, taps may be several.
    var interest: RequestConsumers { get }

    /// Takes one request; what `interest` names is among the entry's consumers.
    ///
    /// - Parameter names: what the identifiers stand for.
    func take(_ entry: borrowing RequestLogEntry, _ names: MeshDirectory, _ clock: WallClock)

    /// Some requests were taken, and no more are there for now.
    func flush()
}

/// The thread that takes requests' entries from the workers a few times a second, or sooner when they pile up, and gives
/// them to whoever wants them, so that no worker ever waits. It runs as long as there is a consumer.
final class RequestLog: Sendable {
    private static let intervalMilliseconds: CInt = 100
    private static let batch = 512

    private struct State: ~Copyable {
        var names: MeshDirectory
        var consumers: [Attached] = []
        var thread: UInt?
    }

    private struct Attached {
        let consumer: any RequestLogConsumer
        /// CLOCK_MONOTONIC, nanoseconds: what has ended before is not for it, though it may still be on its way.
        let since = WallClock.monotonic()
    }

    private let queues: [RequestLogQueue]
    private let state: Mutex<State>
    private let isOver = Atomic(false)
    /// Wakes the thread besides the queues'.
    private let wake: CInt

    /// - Throws: when the process has no descriptor left.
    init(_ queues: [RequestLogQueue], names: MeshDirectory) throws(SystemError) {
        self.queues = queues
        state = Mutex(State(names: names))
        wake = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard wake >= 0 else { throw SystemError("create the request log's event") }
    }

    deinit { close(wake) }

    /// From now on the consumer gets requests that begin.
    ///
    /// - Throws: when there can be no further thread.
    func attach(_ consumer: any RequestLogConsumer) throws(SystemError) {
        let isStarted = state.withLock { state in
            state.consumers.append(Attached(consumer: consumer))
            return state.thread != nil
        }
        if !isStarted {
            switch ServiceThread.start("requestlog", self, { $0.run() }) {
            case .success(let thread): state.withLock { $0.thread = thread }
            case .failure(let failure):
                detach(consumer)
                throw SystemError("start the request log's thread", code: failure.errno)
            }
        }
        for queue in queues { queue.set(consumer.interest, isOn: true) }
        eventfd_write(wake, 1)
    }

    /// The consumer gets nothing more, but for what it is being given now.
    func detach(_ consumer: any RequestLogConsumer) {
        let unwanted = state.withLock { state -> RequestConsumers in
            state.consumers.removeAll { $0.consumer === consumer }
            return state.consumers.reduce(consumer.interest) { $0.subtracting($1.consumer.interest) }
        }
        for queue in queues { queue.set(unwanted, isOn: false) }
    }

    /// Requests that a consumer has not got because its thread was too slow.
    func lost(_ consumer: RequestConsumers) -> UInt64 { queues.reduce(0) { $0 &+ $1.lost(consumer) } }

    /// Names for the entries that are taken from now on.
    func take(_ directory: MeshDirectory) { state.withLock { $0.names = directory } }

    /// Hands out what there is and ends the thread.
    func stop() {
        isOver.store(true, ordering: .releasing)
        eventfd_write(wake, 1)
        let thread = state.withLock { state -> UInt? in
            defer { state.thread = nil }
            return state.thread
        }
        if let thread { ServiceThread.join(thread) }
    }

    private func run() {
        var polled = (queues.map(\.wakeup) + [wake]).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while true {
            let isLast = isOver.load(ordering: .acquiring)
            var count: eventfd_t = 0
            _ = unsafe eventfd_read(wake, &count)
            let hasConsumers = handOut()
            if isLast { return }
            _ = unsafe poll(&polled, nfds_t(polled.count), hasConsumers ? Self.intervalMilliseconds : -1)
        }
    }

    /// False: nobody is there who wants anything.
    private func handOut() -> Bool {
        var hasMore = true
        while hasMore {
            hasMore = false
            let (consumers, names) = state.withLock { ($0.consumers, $0.names) }
            let clock = WallClock.current()
            var sum = 0
            for queue in queues {
                let taken = queue.drain(limit: Self.batch) { entry in
                    for attached in consumers
                    where entry.record.ended >= attached.since
                        && !entry.consumers.isDisjoint(with: attached.consumer.interest)
                    {
                        attached.consumer.take(entry, names, clock)
                    }
                }
                sum += taken
                hasMore = hasMore || taken == Self.batch
            }
            if sum > 0 { for attached in consumers { attached.consumer.flush() } }
            if consumers.isEmpty, !hasMore { return false }
        }
        return true
    }
}
