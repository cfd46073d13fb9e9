internal import CLinux
internal import Glibc
internal import Mesh
internal import Synchronization

/// Checks the endpoints of clusters that ask for it, on a thread of its own, with a bounded number of connections.
public final class HealthChecker: Sendable {
    private struct Mail: ~Copyable {
        var set: ClusterSet?
        var isStopping = false
        var thread: pthread_t?
    }

    private let mail = Mutex(Mail())
    private let wake: CInt

    /// Nothing is checked before `update`. nil if the process has no descriptor left or cannot start a thread.
    public init?() {
        wake = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard wake >= 0 else { return nil }
        var thread = pthread_t()
        // The thread keeps the checker until `stop`.
        let argument = unsafe Unmanaged.passRetained(self)
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let checker = unsafe Unmanaged<HealthChecker>.fromOpaque(argument).takeRetainedValue()
                unsafe weft_name_thread("health-checks")
                checker.run()
                return nil
            }, argument.toOpaque())
        guard error == 0 else {
            unsafe argument.release()
            close(wake)
            return nil
        }
        let started = thread
        mail.withLock { $0.thread = started }
    }

    deinit { close(wake) }

    /// From now on the endpoints of this generation are checked.
    public func update(_ set: ClusterSet) {
        mail.withLock { $0.set = set }
        eventfd_write(wake, 1)
    }

    /// Ends the thread, and waits until it has.
    public func stop() {
        let thread = mail.withLock { mail -> pthread_t? in
            mail.isStopping = true
            defer { mail.thread = nil }
            return mail.thread
        }
        eventfd_write(wake, 1)
        if let thread { _ = pthread_join(thread, nil) }
    }

    private func run() {
        var schedule = HealthSchedule()
        while true {
            let (set, isStopping) = mail.withLock { mail -> (ClusterSet?, Bool) in
                defer { mail.set = nil }
                return (mail.set, mail.isStopping)
            }
            if isStopping { break }
            if let set { schedule.update(set, now: MonotonicClock.now()) }
            let timeout = schedule.turn(now: MonotonicClock.now())
            wait(&schedule, timeout: timeout)
        }
        schedule.close()
    }

    private func wait(_ schedule: inout HealthSchedule, timeout: UInt64?) {
        var polled = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        let probes = schedule.probes
        polled += probes.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        // Rounded up, so that what it waits for is due then.
        let milliseconds = timeout.map { CInt(min($0 / 1_000_000 + 1, 60_000)) } ?? -1
        guard unsafe poll(&polled, nfds_t(polled.count), milliseconds) > 0 else { return }
        if polled[0].revents != 0 {
            var count: eventfd_t = 0
            _ = unsafe eventfd_read(wake, &count)
        }
        let now = MonotonicClock.now()
        for (probe, result) in zip(probes, polled.dropFirst()) where result.revents != 0 {
            schedule.advance(probe.identity, now: now)
        }
    }
}
