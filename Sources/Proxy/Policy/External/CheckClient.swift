import CLinux
import Glibc
import Synchronization

/// Asks authorizers that speak gRPC, for all workers, on a thread of its own that there is once one is asked.
final class CheckClient: Sendable {
    private struct Mail: ~Copyable {
        var calls: [CheckCall] = []
        var thread: UInt?
        var isStopped = false
    }

    /// A connection without calls is closed after this time, nanoseconds.
    private static let idleTimeout: UInt64 = 60_000_000_000

    private let mail = Mutex(Mail())
    private let wake: CInt

    private let dialer: TunnelDialer

    /// nil if the process has no descriptor left.
    init?(_ dialer: TunnelDialer) {
        self.dialer = dialer
        wake = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard wake >= 0 else { return nil }
    }

    deinit { close(wake) }

    /// The answer comes as mail, whatever happens, unless the client is stopped.
    func ask(_ call: CheckCall) {
        let isFirst = mail.withLock { mail -> Bool in
            mail.calls.append(call)
            guard mail.thread == nil, !mail.isStopped else { return false }
            mail.thread = start()
            return mail.thread == nil
        }
        if isFirst { call.mailbox.post(.checked(CheckReply(exchange: call.exchange, generation: call.generation))) }
        eventfd_write(wake, 1)
    }

    /// nil: there can be no further thread.
    private func start() -> UInt? {
        try? ServiceThread.start("checks", self) { $0.run() }.get()
    }

    func stop() {
        let thread = mail.withLock { mail -> UInt? in
            mail.isStopped = true
            defer { mail.thread = nil }
            return mail.thread
        }
        eventfd_write(wake, 1)
        if let thread { ServiceThread.join(thread) }
    }

    private func run() {
        var connections: [CheckConnection] = []
        while true {
            var count: eventfd_t = 0
            _ = unsafe eventfd_read(wake, &count)
            let (calls, isStopped) = mail.withLock { mail -> ([CheckCall], Bool) in
                defer { mail.calls = [] }
                return (mail.calls, mail.isStopped)
            }
            if isStopped { return }
            let now = MonotonicClock.now()
            for call in calls { ask(call, &connections, now: now) }
            for connection in connections { connection.expire(now: now) }
            connections.removeAll {
                $0.hasFailed || $0.isIdle && now >= $0.lastUse + Self.idleTimeout
            }
            wait(connections, now: now)
        }
    }

    private func ask(_ call: CheckCall, _ connections: inout [CheckConnection], now: UInt64) {
        let known = connections.first {
            !$0.hasFailed && $0.endpoint.high == call.endpoint.high && $0.endpoint.low == call.endpoint.low
                && $0.endpoint.port == call.endpoint.port
        }
        if let known {
            known.start(call, now: now)
        } else if let connection = CheckConnection(call.endpoint, dialer, now: now) {
            connections.append(connection)
            connection.start(call, now: now)
        } else {
            call.mailbox.post(.checked(CheckReply(exchange: call.exchange, generation: call.generation)))
        }
    }

    private func wait(_ connections: [CheckConnection], now: UInt64) {
        var polled = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        polled += connections.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        var timeout: CInt = connections.isEmpty ? -1 : 60_000
        for connection in connections {
            guard let deadline = connection.deadline else { continue }
            timeout = min(timeout, CInt(min((deadline - min(now, deadline)) / 1_000_000 + 1, 60_000)))
        }
        guard unsafe poll(&polled, nfds_t(polled.count), timeout) > 0 else { return }
        let later = MonotonicClock.now()
        for (connection, result) in zip(connections, polled.dropFirst()) where result.revents != 0 {
            connection.advance(result.revents, now: later)
        }
    }
}
