import CLinux
import Glibc
import Synchronization

/// Work for a reactor from any thread.
public final class ReactorMailbox: Sendable {
    /// The eventfd that wakes the reactor.
    let descriptor: CInt
    private let queue = Mutex<[@Sendable (Reactor) -> Void]>([])

    init() throws(SystemError) {
        descriptor = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { throw SystemError("create an event descriptor") }
    }

    deinit { close(descriptor) }

    /// Runs `work` on the reactor's thread, in the order of the posts. Work that is posted after the reactor has stopped
    /// never runs.
    public func post(_ work: @escaping @Sendable (Reactor) -> Void) {
        let wasEmpty = queue.withLock { queue in
            queue.append(work)
            return queue.count == 1
        }
        guard wasEmpty else { return }
        var one: UInt64 = 1
        _ = unsafe write(descriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Everything posted so far; clears the wake-up before it looks, so that no post is left without one.
    func collect() -> [@Sendable (Reactor) -> Void] {
        var count: UInt64 = 0
        _ = unsafe read(descriptor, &count, MemoryLayout<UInt64>.size)
        return queue.withLock { queue in
            let work = queue
            queue = []
            return work
        }
    }
}

/// A value that belongs to a reactor's thread and that other threads may pass on, but not touch: it is given out only
/// against that reactor, which only its own thread has.
public struct ReactorLocal<Value>: @unchecked Sendable {
    // Safe: `owner` is compared by identity, and `value` is given out only to code that holds the reactor itself.
    private let owner: ObjectIdentifier
    private let value: Value

    public init(_ value: Value, of reactor: Reactor) {
        self.value = value
        owner = ObjectIdentifier(reactor)
    }

    /// The value. Asking with another reactor is a programming error.
    public func get(on reactor: Reactor) -> Value {
        precondition(ObjectIdentifier(reactor) == owner, "the value belongs to another reactor")
        return value
    }
}
