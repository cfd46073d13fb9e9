import CLinux
import Glibc
import Synchronization

/// The event loop of the control plane: file descriptors, timers, signals and work posted by other threads, on one
/// thread.
///
/// It is confined to the thread that runs it and therefore not `Sendable`; other threads reach it through `mailbox`.
/// It sleeps in epoll_wait without a timeout and never wakes by itself.
public final class Reactor {
    /// What a descriptor is ready for, or is watched for.
    public struct Events: OptionSet, Sendable {
        public let rawValue: UInt32

        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let readable = Events(rawValue: EPOLLIN.rawValue)
        public static let writable = Events(rawValue: EPOLLOUT.rawValue)
        /// The peer sent its FIN; it may still read.
        public static let peerClosed = Events(rawValue: EPOLLRDHUP.rawValue)
        /// Both directions are closed. Always reported.
        public static let hangup = Events(rawValue: EPOLLHUP.rawValue)
        /// Always reported.
        public static let error = Events(rawValue: EPOLLERR.rawValue)
    }

    /// One registered descriptor. A registration that has ended stays harmless: it names nothing any more.
    public struct Registration: Equatable, Sendable {
        fileprivate let slot: UInt32
        fileprivate let generation: UInt32
    }

    private struct Slot {
        var generation: UInt32 = 0
        var descriptor: CInt = -1
        var handler: ((Events) -> Void)?
    }

    /// Where other threads post work for this reactor.
    public let mailbox: ReactorMailbox

    private let epoll: CInt
    private let timerDescriptor: CInt
    private var slots: [Slot] = []
    private var freeSlots: [UInt32] = []
    var timers = ReactorTimers()
    private var armedDeadline: UInt64?
    var signals = ReactorSignals()
    private var isRunning = false

    /// Throws when the process has no descriptor left.
    public init() throws(SystemError) {
        epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw SystemError("create an epoll instance") }
        timerDescriptor = timerfd_create(CLOCK_MONOTONIC, CInt(TFD_CLOEXEC | TFD_NONBLOCK))
        guard timerDescriptor >= 0 else {
            let error = SystemError("create a timer descriptor")
            close(epoll)
            throw error
        }
        do throws(SystemError) {
            mailbox = try ReactorMailbox()
        } catch {
            close(epoll)
            close(timerDescriptor)
            throw error
        }
        try register(timerDescriptor, .readable) { [unowned self] _ in fireTimers() }
        try register(mailbox.descriptor, .readable) { [unowned self] _ in
            for work in mailbox.collect() { work(self) }
        }
    }

    deinit {
        close(epoll)
        close(timerDescriptor)
        signals.close()
    }

    // MARK: Descriptors

    /// Calls `handler` whenever `descriptor` is ready for one of `events` (level-triggered). The caller keeps ownership
    /// of the descriptor and unregisters it before closing it.
    @discardableResult
    public func register(
        _ descriptor: CInt, _ events: Events, _ handler: @escaping (Events) -> Void
    ) throws(SystemError) -> Registration {
        let slot: UInt32
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = UInt32(slots.count)
            slots.append(Slot())
        }
        let registration = Registration(slot: slot, generation: slots[Int(slot)].generation)
        guard control(EPOLL_CTL_ADD, descriptor, events, registration) else {
            let error = SystemError("watch descriptor \(descriptor)")
            freeSlots.append(slot)
            throw error
        }
        slots[Int(slot)].descriptor = descriptor
        slots[Int(slot)].handler = handler
        return registration
    }

    /// Changes what a descriptor is watched for. Nothing happens if the registration has ended.
    public func modify(_ registration: Registration, _ events: Events) {
        guard let slot = current(registration) else { return }
        _ = control(EPOLL_CTL_MOD, slots[slot].descriptor, events, registration)
    }

    /// Ends a registration: its handler is not called again, not even for events that were reported already.
    public func unregister(_ registration: Registration) {
        guard let slot = current(registration) else { return }
        _ = control(EPOLL_CTL_DEL, slots[slot].descriptor, [], registration)
        slots[slot].handler = nil
        slots[slot].descriptor = -1
        slots[slot].generation &+= 1
        freeSlots.append(registration.slot)
    }

    private func current(_ registration: Registration) -> Int? {
        let slot = Int(registration.slot)
        guard slots.indices.contains(slot), slots[slot].generation == registration.generation,
            slots[slot].handler != nil
        else { return nil }
        return slot
    }

    private func control(_ operation: CInt, _ descriptor: CInt, _ events: Events, _ registration: Registration) -> Bool
    {
        var event = unsafe epoll_event()
        unsafe event.events = events.rawValue
        unsafe event.data.u64 = UInt64(registration.generation) << 32 | UInt64(registration.slot)
        return unsafe epoll_ctl(epoll, operation, descriptor, &event) == 0
    }

    // MARK: The loop

    /// Handles events until `stop()` is called.
    public func run() throws(SystemError) {
        isRunning = true
        while isRunning { try turn(timeout: -1) }
    }

    /// Makes `run()` return after the events that are being handled.
    public func stop() { isRunning = false }

    /// Handles what is ready, after waiting at most `timeout` milliseconds for something (-1: for ever).
    public func turn(timeout: CInt) throws(SystemError) {
        let ready = try wait(timeout: timeout)
        for event in ready {
            let registration = Registration(
                slot: UInt32(truncatingIfNeeded: event.token), generation: UInt32(event.token >> 32))
            // An earlier handler of this turn may have ended the registration, or reused its slot.
            guard let slot = current(registration), let handler = slots[slot].handler else { continue }
            handler(event.events)
        }
    }

    private func wait(timeout: CInt) throws(SystemError) -> [(token: UInt64, events: Events)] {
        let capacity = 64
        var ready: [(token: UInt64, events: Events)] = []
        let failure: SystemError? = unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: capacity) {
            buffer in
            let count = unsafe epoll_wait(epoll, buffer.baseAddress, CInt(capacity), timeout)
            guard count >= 0 else { return weft_errno() == EINTR ? nil : SystemError("wait for events") }
            ready.reserveCapacity(Int(count))
            for index in 0..<Int(count) {
                let event = unsafe buffer[index]
                unsafe ready.append((event.data.u64, Events(rawValue: event.events)))
            }
            return nil
        }
        if let failure { throw failure }
        return ready
    }

    // MARK: Timers

    private func fireTimers() {
        var expirations: UInt64 = 0
        _ = unsafe read(timerDescriptor, &expirations, MemoryLayout<UInt64>.size)
        armedDeadline = nil
        let now = Self.now()
        // A handler may add or cancel timers; what it adds for now waits for the next turn.
        var due: [ReactorTimers.ID] = []
        while let id = timers.popDue(at: now) { due.append(id) }
        for id in due { timers.handler(firing: id, at: now)?() }
        armTimer()
    }

    /// Sets the timer descriptor to the earliest deadline, or disarms it when there is none.
    func armTimer() {
        let next = timers.nextDeadline()
        guard next != armedDeadline else { return }
        var setting = itimerspec()
        if let next {
            // A zero value would disarm it.
            let deadline = max(next, 1)
            setting.it_value.tv_sec = Int(deadline / 1_000_000_000)
            setting.it_value.tv_nsec = Int(deadline % 1_000_000_000)
        }
        _ = unsafe timerfd_settime(timerDescriptor, CInt(TFD_TIMER_ABSTIME), &setting, nil)
        armedDeadline = next
    }

    /// CLOCK_MONOTONIC in nanoseconds: the clock of the timers and of the kernel programs.
    public static func now() -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
