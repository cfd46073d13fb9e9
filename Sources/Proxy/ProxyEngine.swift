public import CLinux
import Glibc
import Synchronization

/// Names a listener of the engine.
public struct ListenerID: Hashable, Sendable {
    let number: UInt32
}

/// What connections of a listener are for.
public enum ListenerKind: Sendable {
    /// Every request goes to one address.
    case relay(weft_endpoint)
}

/// Why the engine could not start.
public struct ProxyError: Error, Sendable, CustomStringConvertible {
    public let operation: String
    public let errno: CInt

    public var description: String { unsafe "cannot \(operation): \(String(cString: strerror(errno)))" }
}

/// The L7 proxy: worker threads with their event loops. Listening sockets come from outside, as does what is known of
/// services; statistics can be read at any time.
public final class ProxyEngine: Sendable {
    public let options: ProxyOptions
    /// One for each worker; they outlive the engine.
    public let statistics: [WorkerStatistics]
    private let mailboxes: [WorkerMailbox]
    private let threads = Mutex<[UInt]>([])
    private let nextListener = Atomic<UInt32>(1)

    /// Throws when the process has no descriptor left.
    public init(options: ProxyOptions = ProxyOptions()) throws(ProxyError) {
        self.options = options
        var mailboxes: [WorkerMailbox] = []
        for _ in 0..<max(options.workers, 1) {
            guard let mailbox = WorkerMailbox() else {
                throw ProxyError(operation: "create a worker's mailbox", errno: weft_errno())
            }
            mailboxes.append(mailbox)
        }
        self.mailboxes = mailboxes
        statistics = mailboxes.map { _ in WorkerStatistics() }
    }

    /// Starts the threads.
    public func start() throws(ProxyError) {
        for number in mailboxes.indices {
            let start = WorkerStart(
                number: number, options: options, mailbox: mailboxes[number], statistics: statistics[number])
            var thread = pthread_t()
            let argument = unsafe Unmanaged.passRetained(start)
            let error = unsafe pthread_create(
                &thread, nil,
                { argument in
                    guard let argument = unsafe argument else { return nil }
                    unsafe Unmanaged<WorkerStart>.fromOpaque(argument).takeRetainedValue().run()
                    return nil
                }, argument.toOpaque())
            guard error == 0 else {
                unsafe argument.release()
                throw ProxyError(operation: "start a worker's thread", errno: error)
            }
            threads.withLock { $0.append(UInt(thread)) }
        }
    }

    /// Serves connections of listening sockets, one for each worker (SO_REUSEPORT), which the engine closes in the end.
    public func addListener(_ descriptors: [CInt], _ kind: ListenerKind) -> ListenerID {
        precondition(descriptors.count == mailboxes.count, "one listening socket for each worker")
        let id = ListenerID(number: nextListener.add(1, ordering: .relaxed).oldValue)
        for (mailbox, descriptor) in zip(mailboxes, descriptors) {
            mailbox.post(.open(id, descriptor: descriptor, kind))
        }
        return id
    }

    /// Takes no further connections of a listener; those that are open stay.
    public func removeListener(_ id: ListenerID) {
        for mailbox in mailboxes { mailbox.post(.close(id)) }
    }

    /// Takes no further connections, and ends those that are open after their present request.
    public func drain() {
        for mailbox in mailboxes { mailbox.post(.drain) }
    }

    /// Ends all connections and waits for the threads.
    public func stop() {
        for mailbox in mailboxes { mailbox.post(.stop) }
        let running = threads.withLock { threads in
            let all = threads
            threads.removeAll()
            return all
        }
        for thread in running { _ = pthread_join(pthread_t(thread), nil) }
    }
}

/// What a worker's thread begins with.
private final class WorkerStart: Sendable {
    let number: Int
    let options: ProxyOptions
    let mailbox: WorkerMailbox
    let statistics: WorkerStatistics

    init(number: Int, options: ProxyOptions, mailbox: WorkerMailbox, statistics: WorkerStatistics) {
        self.number = number
        self.options = options
        self.mailbox = mailbox
        self.statistics = statistics
    }

    func run() {
        unsafe weft_name_thread("proxy-\(number)")
        Worker.run(options: options, mailbox: mailbox, statistics: statistics)
    }
}
