import CLinux
import Glibc
import Synchronization

/// What clusters and limits need now and then, on a thread of its own: health checks, ends of ejections, comparisons of
/// success rates, and quotas on disk.
final class ClusterKeeper: Sendable {
    private struct Mail: ~Copyable {
        var configuration: ProxyConfiguration?
        var isStopping = false
        var thread: UInt?
        var quotaProblem: QuotaFile.Failure?
    }

    /// Nanoseconds between two looks at the ejections.
    private static let period: UInt64 = 250_000_000
    /// What quotas counted in this time is lost if the agent is killed.
    private static let savePeriod: UInt64 = 1_000_000_000

    /// What quotas had counted before this start.
    let quotas: QuotaRecords
    private let quotaFile: QuotaFile?
    private let dialer: TunnelDialer
    private let mail = Mutex(Mail())
    private let wake: CInt

    /// nil if the process has no descriptor left. A state of the quotas that cannot be read is left as it is, and nothing
    /// is written over it.
    init?(quotaPath: String? = nil, _ dialer: TunnelDialer) {
        self.dialer = dialer
        wake = eventfd(0, CInt(EFD_CLOEXEC) | CInt(EFD_NONBLOCK))
        guard wake >= 0 else { return nil }
        guard let file = quotaPath.map(QuotaFile.init) else {
            quotaFile = nil
            quotas = QuotaRecords()
            return
        }
        do {
            quotas = try file.load()
            quotaFile = file
        } catch {
            quotas = QuotaRecords()
            quotaFile = nil
            mail.withLock { $0.quotaProblem = error }
        }
    }

    deinit { close(wake) }

    var quotaProblem: QuotaFile.Failure? { mail.withLock { $0.quotaProblem } }

    func start() throws(ProxyError) {
        switch ServiceThread.start("keeper", self, { $0.run() }) {
        case .success(let started): mail.withLock { $0.thread = started }
        case .failure(let failure):
            throw ProxyError(operation: "start the thread of health checks", errno: failure.errno)
        }
    }

    /// From now on the endpoints and limits of this configuration are looked after.
    func update(_ configuration: ProxyConfiguration) {
        mail.withLock { $0.configuration = configuration }
        eventfd_write(wake, 1)
    }

    /// Ends the thread, and waits until it has saved the quotas.
    func stop() {
        let thread = mail.withLock { mail -> UInt? in
            mail.isStopping = true
            defer { mail.thread = nil }
            return mail.thread
        }
        eventfd_write(wake, 1)
        if let thread { ServiceThread.join(thread) }
    }

    private func run() {
        var schedule = HealthSchedule(dialer)
        var current: ProxyConfiguration?
        var due = MonotonicClock.now()
        var saveDue = due
        while true {
            let (news, isStopping) = mail.withLock { mail -> (ProxyConfiguration?, Bool) in
                defer { mail.configuration = nil }
                return (mail.configuration, mail.isStopping)
            }
            if isStopping {
                current = news ?? current
                break
            }
            let now = MonotonicClock.now()
            if let news {
                // Limits that are gone are counted no more, but may come back.
                if let current { save(current) }
                current = news
                schedule.update(news.clusters, now: now)
            }
            if now >= due {
                due = now + Self.period
                current?.clusters.tick(now: now)
            }
            if now >= saveDue {
                saveDue = now + Self.savePeriod
                if let current { save(current) }
            }
            wait(&schedule, timeout: min(schedule.turn(now: now) ?? Self.period, due - now))
        }
        if let current { save(current) }
        schedule.close()
    }

    private func save(_ configuration: ProxyConfiguration) {
        guard let quotaFile else { return }
        do {
            try quotaFile.save(configuration.limiters)
            mail.withLock { $0.quotaProblem = nil }
        } catch {
            mail.withLock { $0.quotaProblem = error }
        }
    }

    private func wait(_ schedule: inout HealthSchedule, timeout: UInt64) {
        var polled = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        let probes = schedule.probes
        polled += probes.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        // Rounded up, so that what it waits for is due then.
        let milliseconds = CInt(min(timeout / 1_000_000 + 1, 60_000))
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
