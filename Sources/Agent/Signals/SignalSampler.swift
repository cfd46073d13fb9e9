import BPF
import CLinux
import Glibc
import KernelPlane
import Logging
import Proxy
import Telemetry

/// Keeps the golden signals of this node: reads the counters at an interval, and when somebody asks.
final class SignalSampler {
    private static let interval = Duration.seconds(5)
    /// Who asks gets counters that are at most this old, in nanoseconds.
    private static let freshness: UInt64 = 250_000_000
    /// After so many readings in which nothing has changed, every second one is left out.
    private static let quietReadings = 12

    private(set) var signals = GoldenSignals()
    private var quiet = 0
    private var isSkipping = false
    private var reports = LogLimiter()
    /// The process's CPU seconds, the last minute's.
    private var times: [(at: UInt64, seconds: Double)] = []

    /// Begins; what has been counted until now is the past.
    func start(_ agent: Agent) {
        tick(agent)
        agent.reactor.every(Self.interval) { [unowned self, unowned agent] in tick(agent) }
    }

    /// The part of one CPU that this process has used in the last minute; nil in its first seconds.
    var cpuShare: Double? {
        guard let first = times.first, let last = times.last, last.at > first.at else { return nil }
        return (last.seconds - first.seconds) * 1e9 / Double(last.at - first.at)
    }

    private func tick(_ agent: Agent) {
        takeTime()
        isSkipping = quiet >= Self.quietReadings && !isSkipping
        guard !isSkipping else { return }
        do throws(BPFError) {
            try read(agent)
        } catch {
            if reports.admit("signals") != nil { agent.logger.error("the counters could not be read: \(error)") }
        }
    }

    private func takeTime() {
        var usage = rusage()
        guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return }
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        times.append((Reactor.now(), seconds(usage.ru_utime) + seconds(usage.ru_stime)))
        if times.count > 13 { times.removeFirst() }
    }

    /// The signals as they are now.
    func current(_ agent: Agent) throws(BPFError) -> GoldenSignals {
        if Reactor.now() - signals.lastRead > Self.freshness { try read(agent) }
        return signals
    }

    private func read(_ agent: Agent) throws(BPFError) {
        let (traffic, requests) = try agent.plane.withMaps { maps throws(BPFError) in
            (try maps.traffic.summedCounters(), try maps.requests.summedCounters())
        }
        let hasChanged = signals.update(
            traffic: traffic, requests: requests, workers: agent.proxy.engine.statistics, directory: agent.directory,
            now: Reactor.now())
        quiet = hasChanged ? 0 : quiet + 1
    }
}
