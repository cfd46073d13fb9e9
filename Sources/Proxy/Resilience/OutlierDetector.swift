internal import Mesh
internal import Synchronization

/// Outlier detection as Envoy's: what results of requests do to the shared state of an endpoint and of its cluster.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
struct OutlierDetector: BitwiseCopyable, Sendable {
    let settings: Settings
    let endpoint: SharedReference<EndpointShared>
    let cluster: SharedReference<ClusterShared>
    /// All of the cluster, whatever their health.
    let endpoints: UInt32

    /// Counts a result, and ejects the endpoint where it was one too many.
    func report(_ outcome: EndpointOutcome, now: UInt64) {
        let status = outcome.equivalentStatus
        guard status != 0 else { return }
        let isLocal = outcome.failure != .none
        if settings.splitsLocalErrors && isLocal {
            endpoint.value.intervalLocalResults.wrappingAdd(1 << 32, ordering: .relaxed)
            count(endpoint.value.consecutiveLocalFailures, limit: settings.consecutiveLocalFailures, now: now)
            return
        }
        if settings.splitsLocalErrors {
            // An answer is a success of this side's part.
            endpoint.value.intervalLocalResults.wrappingAdd(1 << 32 | 1, ordering: .relaxed)
            Self.reset(endpoint.value.consecutiveLocalFailures)
        }
        guard status >= 500 && status < 600 else {
            endpoint.value.intervalResults.wrappingAdd(1 << 32 | 1, ordering: .relaxed)
            Self.reset(endpoint.value.consecutive5xx)
            Self.reset(endpoint.value.consecutiveGatewayErrors)
            return
        }
        endpoint.value.intervalResults.wrappingAdd(1 << 32, ordering: .relaxed)
        if status >= 502 && status <= 504 {
            count(endpoint.value.consecutiveGatewayErrors, limit: settings.consecutiveGatewayErrors, now: now)
        } else {
            Self.reset(endpoint.value.consecutiveGatewayErrors)
        }
        count(endpoint.value.consecutive5xx, limit: settings.consecutive5xx, now: now)
    }

    private func count(_ counter: borrowing Atomic<UInt32>, limit: UInt32, now: UInt64) {
        guard limit > 0 else { return }
        // Whoever makes it reach the limit ejects; it starts anew even if the maximum share forbids that.
        guard counter.wrappingAdd(1, ordering: .relaxed).newValue == limit else { return }
        counter.store(0, ordering: .relaxed)
        eject(now: now)
    }

    /// Without writing what is 0 already: the line is shared.
    private static func reset(_ counter: borrowing Atomic<UInt32>) {
        if counter.load(ordering: .relaxed) != 0 { counter.store(0, ordering: .relaxed) }
    }

    // MARK: - Ejection

    /// - Returns: false if it was ejected already or the maximum share forbids it.
    @discardableResult
    func eject(now: UInt64) -> Bool {
        guard endpoint.value.flags.isDisjoint(with: [.ejected, .claimed, .removed]) else { return false }
        guard reserve() else {
            cluster.value.ejectionOverflows.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        // The claim keeps other workers and the sweep away until the time of the ejection is there too.
        guard endpoint.value.set(.claimed).isDisjoint(with: [.ejected, .claimed, .removed]) else {
            release()
            return false
        }
        endpoint.value.ejectedAt.store(now, ordering: .relaxed)
        let multiplier = UInt64(endpoint.value.ejectionMultiplier.load(ordering: .relaxed))
        if multiplier * UInt64(settings.baseEjection) < settings.longestEjection + UInt64(settings.baseEjection) {
            endpoint.value.ejectionMultiplier.wrappingAdd(1, ordering: .relaxed)
        }
        endpoint.value.ejections.wrappingAdd(1, ordering: .relaxed)
        endpoint.value.set(.ejected)
        endpoint.value.clear(.claimed)
        cluster.value.changed()
        return true
    }

    private func reserve() -> Bool {
        var ejected = cluster.value.ejected.load(ordering: .relaxed)
        while true {
            let isWithinShare = (UInt64(ejected) + 1) * 100 <= UInt64(settings.maxEjectionPercent) * UInt64(endpoints)
            guard isWithinShare || (settings.alwaysEjectsOne && ejected == 0) else { return false }
            let (exchanged, original) = cluster.value.ejected.weakCompareExchange(
                expected: ejected, desired: ejected &+ 1, ordering: .relaxed)
            if exchanged { return true }
            ejected = original
        }
    }

    /// Never below 0: a new configuration counts anew while workers are at work.
    private func release() {
        var ejected = cluster.value.ejected.load(ordering: .relaxed)
        while ejected > 0 {
            let (exchanged, original) = cluster.value.ejected.weakCompareExchange(
                expected: ejected, desired: ejected - 1, ordering: .relaxed)
            if exchanged { return }
            ejected = original
        }
    }

    /// Ends an ejection: its time is over, an active health check succeeded, or detection was switched off.
    func admit() {
        let flags = endpoint.value.clear(.ejected)
        guard flags.contains(.ejected) else { return }
        // One that a new configuration does not have is not in its count.
        if !flags.contains(.removed) { release() }
        // Otherwise a counter near its limit would eject it again at once.
        Self.reset(endpoint.value.consecutive5xx)
        Self.reset(endpoint.value.consecutiveGatewayErrors)
        Self.reset(endpoint.value.consecutiveLocalFailures)
        cluster.value.changed()
    }

    /// The sweep's part for one endpoint: a healthy interval makes the next ejection shorter, and an ejection ends when its
    /// time is over.
    func sweep(now: UInt64) {
        let flags = endpoint.value.flags
        guard flags.contains(.ejected) else {
            let multiplier = endpoint.value.ejectionMultiplier.load(ordering: .relaxed)
            if multiplier > 0 && !flags.contains(.claimed) {
                endpoint.value.ejectionMultiplier.store(multiplier - 1, ordering: .relaxed)
            }
            return
        }
        let multiplier = UInt64(endpoint.value.ejectionMultiplier.load(ordering: .relaxed))
        let milliseconds = min(multiplier * UInt64(settings.baseEjection), settings.longestEjection)
        let ejectedAt = endpoint.value.ejectedAt.load(ordering: .relaxed)
        if now >= ejectedAt && now - ejectedAt >= milliseconds * 1_000_000 { admit() }
    }
}

extension OutlierDetector {
    /// `OutlierDetection` as the detector needs it.
    struct Settings: BitwiseCopyable, Sendable {
        let consecutive5xx: UInt32
        let consecutiveGatewayErrors: UInt32
        let consecutiveLocalFailures: UInt32
        let splitsLocalErrors: Bool
        let baseEjection: UInt32
        let longestEjection: UInt64
        let maxEjectionPercent: UInt32
        let alwaysEjectsOne: Bool
        /// Shares of failures are compared: every result has to be told.
        let comparesRates: Bool

        init(_ detection: OutlierDetection) {
            consecutive5xx = detection.consecutive5xx
            consecutiveGatewayErrors = detection.consecutiveGatewayErrors
            consecutiveLocalFailures = detection.consecutiveLocalFailures
            splitsLocalErrors = detection.splitsLocalErrors
            baseEjection = detection.baseEjection
            longestEjection = UInt64(max(detection.maxEjection, detection.baseEjection))
            maxEjectionPercent = min(detection.maxEjectionPercent, 100)
            alwaysEjectsOne = detection.alwaysEjectsOne
            comparesRates = detection.successRateFactor > 0 || detection.failurePercentage > 0
        }
    }
}
