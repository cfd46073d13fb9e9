internal import Mesh
internal import Synchronization

extension ClusterState {
    /// Shares of slow starters are brought up to date this often, nanoseconds.
    private static let slowStartStep: UInt64 = 100_000_000

    @inline(__always)
    mutating func refreshIfNeeded(now: UInt64) {
        if shared.value.epoch.load(ordering: .acquiring) != seenEpoch || now >= refreshAt { refresh(now: now) }
    }

    /// Decides which endpoints are used, and with what share.
    mutating func refresh(now: UInt64) {
        seenEpoch = shared.value.epoch.load(ordering: .acquiring)
        refreshAt = .max

        // Until a worker has the next generation, and for requests that began with this one: endpoints that only the next
        // one does not have are better than none.
        var ignored = EndpointShared.Flags.removed
        for index in endpoints.indices where isCandidate(index, endpoints[index].shared.value.flags) { ignored = [] }

        var candidates: UInt32 = 0
        var healthy: UInt32 = 0
        var awaiting: UInt32 = 0
        for index in endpoints.indices {
            let flags = endpoints[index].shared.value.flags.subtracting(ignored)
            let isCandidate = isCandidate(index, flags)
            let isHealthy = flags.isDisjoint(with: .unhealthy)
            if isCandidate { candidates += 1 }
            if isCandidate && isHealthy { healthy += 1 }
            if isCandidate && flags.contains(.awaitsCheck) { awaiting += 1 }
        }
        isInPanic = healthy * 100 < panicThreshold * candidates

        var total = SIMD4<UInt32>(repeating: 0)
        var usable = SIMD4<UInt32>(repeating: 0)
        for index in endpoints.indices {
            let flags = endpoints[index].shared.value.flags.subtracting(ignored)
            endpoints[index].tier = nil
            guard isCandidate(index, flags) else { continue }
            let tier = min(endpoints[index].distance, UInt8(LocalityTiers.count - 1))
            total[Int(tier)] += 1
            guard isInPanic || flags.isDisjoint(with: .unhealthy) else { continue }
            endpoints[index].tier = tier
            endpoints[index].share = share(index, now: now)
            usable[Int(tier)] += 1
        }
        tiers = LocalityTiers(total: total, usable: usable)
        list()

        if endpoints.count == 0 {
            emptyReason = .noEndpoints
        } else if candidates == 0 {
            emptyReason = .allDraining
        } else {
            emptyReason = awaiting == candidates ? .awaitingChecks : .allUnhealthy
        }
    }

    private func isCandidate(_ index: Int, _ flags: EndpointShared.Flags) -> Bool {
        endpoints[index].weight > 0 && !endpoints[index].isDraining
            && flags.isDisjoint(with: [.draining, .removed])
    }

    private mutating func share(_ index: Int, now: UInt64) -> UInt32 {
        let whole = UInt32(endpoints[index].weight) << 10
        guard slowStart > 0 else { return whole }
        let readySince = endpoints[index].shared.value.readySince.load(ordering: .relaxed)
        let factor = SlowStart.factor(readySince: readySince, window: slowStart, now: now)
        guard factor < 1 else { return whole }
        refreshAt = now + Self.slowStartStep
        return max(UInt32(Double(whole) * factor), 1)
    }

    /// Writes the list of those that are used, tier by tier, with the sums of their shares.
    private mutating func list() {
        usableCount = 0
        isUniform = true
        var sum: UInt64 = 0
        var firstShare: UInt32?
        for tier in 0..<LocalityTiers.count where !tiers.range(tier).isEmpty {
            for index in endpoints.indices where endpoints[index].tier == UInt8(tier) {
                let share = endpoints[index].share
                if let firstShare, firstShare != share { isUniform = false }
                firstShare = firstShare ?? share
                sum += UInt64(share)
                usable[usableCount] = EndpointIndex(index)
                shares[usableCount] = sum
                usableCount += 1
            }
        }
    }
}
