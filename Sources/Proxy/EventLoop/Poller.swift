import CLinux
import Glibc

/// What an event is about: the kind of thing, its place and part of its generation, packed into epoll's user data.
struct EventToken: BitwiseCopyable, Equatable {
    enum Kind: UInt8, BitwiseCopyable {
        case mailbox, listener, downstream, upstream
        /// A connection that carries tunnels, and one of the sockets whose bytes they carry.
        case tunnelSession, tunnelStream
    }

    /// As much of a generation as is kept: an event of an earlier owner of the place is told apart.
    static let generationMask: UInt32 = 0x1fff_ffff

    var kind: Kind
    var index: UInt32
    var generation: UInt32

    var packed: UInt64 { UInt64(kind.rawValue) << 61 | UInt64(generation) << 32 | UInt64(index) }

    init(kind: Kind, index: UInt32, generation: UInt32) {
        self.kind = kind
        self.index = index
        self.generation = generation & Self.generationMask
    }

    init(packed: UInt64) {
        switch packed >> 61 {
        case 0: kind = .mailbox
        case 1: kind = .listener
        case 2: kind = .downstream
        case 3: kind = .upstream
        case 4: kind = .tunnelSession
        default: kind = .tunnelStream
        }
        generation = UInt32(truncatingIfNeeded: packed >> 32) & Self.generationMask
        index = UInt32(truncatingIfNeeded: packed)
    }
}

/// What a socket is ready for.
struct Readiness: OptionSet, BitwiseCopyable {
    let rawValue: UInt32

    static let readable = Readiness(rawValue: EPOLLIN.rawValue)
    static let writable = Readiness(rawValue: EPOLLOUT.rawValue)
    static let peerClosed = Readiness(rawValue: EPOLLRDHUP.rawValue)
    static let hangup = Readiness(rawValue: EPOLLHUP.rawValue)
    static let error = Readiness(rawValue: EPOLLERR.rawValue)

    // Words in place of literals of sets: without optimisation those allocate.
    private static let anyEnding = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue

    /// Reading may give bytes, an end or an error.
    var wakesReader: Bool { rawValue & (EPOLLIN.rawValue | Self.anyEnding) != 0 }
    /// A FIN or an error is behind what can be read.
    var hasEnding: Bool { rawValue & Self.anyEnding != 0 }
    var isBroken: Bool { rawValue & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
}

/// One epoll instance with room for the events of one turn. One of the few files with unsafe code.
@safe struct Poller: ~Copyable {
    private static let capacity = 256

    private let descriptor: CInt
    private let events: UnsafeMutablePointer<epoll_event>

    /// An instance without anything; nil (errno) without a descriptor left in the process.
    static func makeDescriptor() -> CInt? {
        let descriptor = epoll_create1(CInt(EPOLL_CLOEXEC))
        return descriptor >= 0 ? descriptor : nil
    }

    /// Owns `descriptor`, which is one of `makeDescriptor`.
    init(_ descriptor: CInt) {
        self.descriptor = descriptor
        unsafe events = .allocate(capacity: Self.capacity)
    }

    deinit {
        close(descriptor)
        unsafe events.deallocate()
    }

    /// Watches a connection for everything, edge-triggered: it is registered once and never changed.
    func addConnection(_ socket: CInt, _ token: EventToken) -> Bool {
        add(socket, token, EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue)
    }

    /// Watches a listener or the mailbox for reading, level-triggered.
    func addSource(_ socket: CInt, _ token: EventToken) -> Bool { add(socket, token, EPOLLIN.rawValue) }

    private func add(_ socket: CInt, _ token: EventToken, _ mask: UInt32) -> Bool {
        var event = unsafe epoll_event()
        unsafe event.events = mask
        unsafe event.data.u64 = token.packed
        return unsafe epoll_ctl(descriptor, EPOLL_CTL_ADD, socket, &event) == 0
    }

    func remove(_ socket: CInt) { _ = epoll_ctl(descriptor, EPOLL_CTL_DEL, socket, nil) }

    /// Waits at most `timeout` milliseconds (-1: for ever); the number of events.
    func wait(timeout: CInt) -> Int {
        let count = unsafe epoll_wait(descriptor, events, CInt(Self.capacity), timeout)
        return max(0, Int(count))
    }

    /// One of the events that `wait` reported last.
    func event(_ index: Int) -> (token: EventToken, readiness: Readiness) {
        precondition(index >= 0 && index < Self.capacity)
        let event = unsafe events[index]
        return (unsafe EventToken(packed: event.data.u64), unsafe Readiness(rawValue: event.events))
    }
}
