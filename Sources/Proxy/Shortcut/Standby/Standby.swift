// Unsafe code of this file: epoll_wait(2) fills a buffer of the call's own.

import CLinux
import Glibc
import WeftABI

/// The standby process. It holds copies of the agent's sockets that the kernel's programs send on behalf of, so that these
/// connections go on by the last rules while there is no agent, and gives them to the next agent. It never reads or writes.
///
/// While an agent is there, what that has shut down is closed here too; nothing has to be told. Without one, clients that
/// leave are noticed here, and one that waits for an agent longer than `patience` is reset.
@safe public final class Standby {
    private struct Held {
        var descriptor: CInt
        var isClient: Bool
        /// When something for the agent was first seen to wait; 0: nothing waits.
        var waitsSince: UInt64 = 0
    }

    private let listener: CInt
    private let memory: ShortcutMemory
    private let epoll: CInt
    /// Nanoseconds.
    private let patience: UInt64
    private let tick: UInt64
    private var held: [UInt64: Held] = [:]
    /// Connections to here, and the one that the agent has.
    private var lines: Set<CInt> = []
    private var agent: CInt = -1
    private var agentLeft = MonotonicClock.now()
    private var isDismissed = false

    /// Marks what epoll tells of lines: the rest is the descriptor. Cookies are numbers that count up from 1.
    private static let lineMark: UInt64 = 1 << 63

    /// - Parameters:
    ///   - listener: where agents connect to (`weft_listen_packets`); it is closed in the end.
    ///   - patience: how long a client may wait for an agent, in nanoseconds.
    ///   - tick: how often is looked after clients while there is no agent, in nanoseconds.
    /// - Returns: nil (errno): no descriptor is left.
    public init?(
        listener: CInt, memory: ShortcutMemory, patience: UInt64 = 60_000_000_000, tick: UInt64 = 1_000_000_000
    ) {
        epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard epoll >= 0 else { return nil }
        self.listener = listener
        self.memory = memory
        self.patience = patience
        self.tick = tick
        weft_raise_descriptor_limit()
        // It was somebody else's: now those who connect are told of this process (unix(7), SO_PEERCRED).
        guard listen(listener, 16) == 0 else { return nil }
        guard watch(listener, EPOLLIN.rawValue, Self.lineMark | UInt64(listener)) else { return nil }
    }

    deinit { close(epoll) }

    /// Serves until it is dismissed, or there is neither an agent nor anything to hold.
    public func run() {
        var nextLook = MonotonicClock.now() + tick
        while !isDismissed {
            let now = MonotonicClock.now()
            if agent < 0, now >= nextLook {
                lookAfterClients(now)
                nextLook = now + tick
                // One that has been started for an agent waits for it.
                if held.isEmpty, now > agentLeft + 5 * tick { break }
            }
            for (data, events) in wait(milliseconds: agent < 0 ? CInt(tick / 1_000_000) : -1) {
                if data & Self.lineMark != 0 {
                    lineSpeaks(CInt(truncatingIfNeeded: data & ~Self.lineMark))
                } else if events & EPOLLHUP.rawValue != 0 {
                    remove(data)
                    if agent < 0 { memory.end(data) }
                }
            }
        }
        for cookie in Array(held.keys) { remove(cookie, resetting: true) }
        for line in lines { close(line) }
        close(listener)
    }

    // MARK: Agents

    private func lineSpeaks(_ line: CInt) {
        guard line != listener else {
            let accepted = weft_accept(listener, CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue))
            guard accepted >= 0 else { return }
            guard watch(accepted, EPOLLIN.rawValue | EPOLLRDHUP.rawValue, Self.lineMark | UInt64(accepted)) else {
                close(accepted)
                return
            }
            lines.insert(accepted)
            return
        }
        guard lines.contains(line) else { return }
        for _ in 0..<64 {
            switch StandbyPacket.receive(line) {
            case .packet(let message): take(message, from: line)
            case .nothing: return
            case .end:
                lines.remove(line)
                close(line)
                if line == agent { agentEnded() }
                return
            }
        }
    }

    private func take(_ message: StandbyPacket, from line: CInt) {
        switch message.words.first {
        case StandbyMessage.hold:
            for socket in message.held { hold(socket) }
        case StandbyMessage.takeOver:
            agent = line
            // What another layout's programs decide about is nothing that this agent knows how to go on with.
            if message.words.dropFirst().first != UInt64(WEFT_LAYOUT) {
                for cookie in Array(held.keys) { remove(cookie, resetting: true) }
                isDismissed = true
            }
            for (cookie, socket) in held {
                let isTold = tell(
                    [StandbyMessage.hold, socket.isClient ? cookie : 0] + (socket.isClient ? [] : [cookie]),
                    [socket.descriptor])
                guard isTold else { return }
            }
            _ = tell([StandbyMessage.end], [])
        case StandbyMessage.dismiss: isDismissed = true
        default: for descriptor in message.descriptors { close(descriptor) }
        }
    }

    /// Waits for an agent that is slow to take over.
    private func tell(_ words: [UInt64], _ descriptors: [CInt]) -> Bool {
        for _ in 0..<50 {
            let error = StandbyPacket.send(agent, words, descriptors)
            if error == 0 { return true }
            guard error == EAGAIN else { return false }
            var ready = pollfd(fd: agent, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&ready, 1, 100)
        }
        return false
    }

    /// What was in the agent's hands is lost with it: nobody knows how far it had come.
    private func agentEnded() {
        agent = -1
        agentLeft = MonotonicClock.now()
        for (cookie, socket) in held where socket.isClient && memory.word(cookie) == .ofAgent {
            remove(cookie, resetting: true)
        }
        removeOrphans()
    }

    // MARK: Sockets

    private func hold(_ socket: HeldSocket) {
        if held[socket.cookie] != nil { remove(socket.cookie) }
        // Hang-ups are always told of.
        guard watch(socket.descriptor, EPOLLET.rawValue, socket.cookie) else {
            close(socket.descriptor)
            return
        }
        held[socket.cookie] = Held(descriptor: socket.descriptor, isClient: socket.isClient)
    }

    private func remove(_ cookie: UInt64, resetting: Bool = false) {
        guard let socket = held.removeValue(forKey: cookie) else { return }
        if resetting {
            if socket.isClient { memory.end(cookie) }
            weft_abort_connection(socket.descriptor)
        }
        close(socket.descriptor)
    }

    /// Legs whose client's connection is not held belong to nobody.
    private func removeOrphans() {
        for (cookie, socket) in held where !socket.isClient && held[memory.client(ofLeg: cookie)] == nil {
            remove(cookie)
        }
    }

    /// Without an agent: clients that have left, and those that have waited for too long.
    private func lookAfterClients(_ now: UInt64) {
        for (cookie, socket) in held where socket.isClient {
            let word = memory.word(cookie)
            var waits = word.isLeft
            switch peek(socket.descriptor) {
            case .quiet: break
            case .bytes: waits = true
            case .ended:
                guard word.isAwaiting else {
                    memory.end(cookie)
                    remove(cookie)
                    continue
                }
                waits = true
            case .failed:
                remove(cookie, resetting: true)
                continue
            }
            guard waits else {
                held[cookie]?.waitsSince = 0
                continue
            }
            if socket.waitsSince == 0 {
                held[cookie]?.waitsSince = now
            } else if now > socket.waitsSince + patience {
                remove(cookie, resetting: true)
            }
        }
        removeOrphans()
    }

    private enum Peek { case quiet, bytes, ended, failed }

    private func peek(_ descriptor: CInt) -> Peek {
        var byte: UInt8 = 0
        let count = unsafe recv(descriptor, &byte, 1, CInt(MSG_PEEK) | CInt(MSG_DONTWAIT))
        if count > 0 { return .bytes }
        if count == 0 { return .ended }
        return weft_errno() == EAGAIN ? .quiet : .failed
    }

    // MARK: epoll

    private func watch(_ descriptor: CInt, _ events: UInt32, _ data: UInt64) -> Bool {
        var event = unsafe epoll_event()
        unsafe event.events = events
        unsafe event.data.u64 = data
        return unsafe epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0
    }

    private func wait(milliseconds: CInt) -> [(data: UInt64, events: UInt32)] {
        unsafe withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            let count = unsafe epoll_wait(epoll, events.baseAddress, 64, milliseconds)
            return (0..<max(0, Int(count))).map { unsafe (events[$0].data.u64, events[$0].events) }
        }
    }
}
