internal import Glibc
internal import Mesh

/// When which endpoint is checked, and the checks under way.
struct HealthSchedule {
    private struct Target {
        var cluster: Cluster
        var endpoint: Cluster.Endpoint
        var check: HealthCheck
        var counter = HealthCounter()
        /// Nanoseconds.
        var due: UInt64
        var probe: HealthProbe?
    }

    /// Checks at the same time.
    static let concurrency = 64

    /// By the endpoint's identity.
    private var targets: [UInt64: Target] = [:]
    private var running: Set<UInt64> = []
    private var random = RandomBits(seed: 0x2545_f491_4f6c_dd1d)
    private let dialer: TunnelDialer

    init(_ dialer: TunnelDialer) { self.dialer = dialer }

    /// Endpoints that stay keep what is known of them. New ones are checked at once.
    mutating func update(_ set: ClusterSet, now: UInt64) {
        var next: [UInt64: Target] = [:]
        for cluster in set.clusters {
            guard let check = cluster.config.traffic.healthCheck else { continue }
            for endpoint in cluster.endpoints {
                if var known = targets.removeValue(forKey: endpoint.identity) {
                    known.cluster = cluster
                    known.endpoint = endpoint
                    if known.check != check { known.due = min(known.due, now) }
                    known.check = check
                    next[endpoint.identity] = known
                } else {
                    next[endpoint.identity] = Target(cluster: cluster, endpoint: endpoint, check: check, due: now)
                }
            }
        }
        for (identity, gone) in targets {
            gone.probe?.close()
            running.remove(identity)
        }
        targets = next
    }

    /// Ends checks that take too long and begins those that are due.
    ///
    /// - Returns: nanoseconds until there is something to do again; nil: never.
    mutating func turn(now: UInt64) -> UInt64? {
        for identity in running where targets[identity]?.probe.map({ $0.deadline <= now }) ?? true {
            finish(identity, .failure, now: now)
        }
        if running.count < Self.concurrency {
            let due = targets.filter { $0.value.probe == nil && $0.value.due <= now }
                .sorted { ($0.value.due, $0.key) < ($1.value.due, $1.key) }
            for (identity, _) in due.prefix(Self.concurrency - running.count) { begin(identity, now: now) }
        }
        let hasRoom = running.count < Self.concurrency
        let next = targets.values.lazy
            .compactMap { $0.probe.map(\.deadline) ?? (hasRoom ? $0.due : nil) }.min()
        return next.map { $0 > now ? $0 - now : 0 }
    }

    private mutating func begin(_ identity: UInt64, now: UInt64) {
        guard let target = targets[identity] else { return }
        guard let probe = HealthProbe(target.check, endpoint: target.endpoint.config, dialer, now: now) else {
            return finish(identity, .failure, now: now)
        }
        targets[identity]?.probe = probe
        running.insert(identity)
    }

    /// What the checks under way wait for.
    var probes: [(identity: UInt64, descriptor: CInt, events: Int16)] {
        running.compactMap { identity in
            targets[identity]?.probe.map { (identity, $0.descriptor, $0.events) }
        }
    }

    mutating func advance(_ identity: UInt64, now: UInt64) {
        if let result = targets[identity]?.probe?.advance() { finish(identity, result, now: now) }
    }

    private mutating func finish(_ identity: UInt64, _ result: HealthCounter.Result, now: UInt64) {
        running.remove(identity)
        guard var target = targets[identity] else { return }
        target.probe?.close()
        target.probe = nil
        let interval = UInt64(max(target.check.interval, 1)) * 1_000_000
        // Up to a tenth later, so that checks of many endpoints do not stay together.
        target.due = now + interval + (interval / 10).multipliedFullWidth(by: random.next()).high
        let flags = target.endpoint.shared.reference.value.flags
        let isHealthy = target.counter.record(
            result, target.check, isHealthy: !flags.contains(.failedCheck))
        targets[identity] = target
        target.cluster.setHealth(of: target.endpoint, isHealthy: isHealthy, now: now)
    }

    mutating func close() {
        for target in targets.values { target.probe?.close() }
        targets = [:]
        running = []
    }
}

extension HealthProbe {
    func close() { Glibc.close(descriptor) }
}
