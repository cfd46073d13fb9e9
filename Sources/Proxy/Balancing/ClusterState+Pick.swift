internal import Mesh

extension ClusterState {
    /// Chooses an endpoint for one attempt.
    ///
    /// - Parameter random: new for each attempt.
    public mutating func pick(_ wish: PickWish, random: UInt64, now: UInt64) -> Pick {
        refreshIfNeeded(now: now)
        if let sessionID = wish.sessionID, let endpoint = endpoint(ofSession: sessionID),
            !wish.excluded.contains(endpoint)
        {
            failFast.found()
            return .endpoint(endpoint)
        }
        guard usableCount > 0 else {
            failFast.missed(now: now)
            return .none(emptyReason)
        }
        failFast.found()
        if usableCount == 1 { return .endpoint(usable[0]) }

        switch (lookup, wish.hash) {
        case (.ring(let table), .some(let hash)): return .endpoint(nextOnRing(table, hash))
        case (.maglev(let table), .some(let hash)): return .endpoint(place(table, hash))
        default: break
        }
        // The bits that choose the tier are not the ones that choose within it.
        let range = tiers.range(tiers.tier(UInt32(truncatingIfNeeded: mix64(random ^ 0x5851_f42d_4c95_7f2d))))
        switch algorithm {
        case .peakEWMA: return .endpoint(oneOfTwo(range, wish.excluded, random: random, now: now))
        case .leastRequest where isUniform:
            return .endpoint(oneOfTwo(range, wish.excluded, random: random, now: now))
        case .leastRequest: return .endpoint(inTurn(range, wish.excluded, sharesFallWithLoad: true))
        case .roundRobin where isUniform: return .endpoint(next(range, wish.excluded))
        case .roundRobin: return .endpoint(inTurn(range, wish.excluded, sharesFallWithLoad: false))
        // Without a key the hashing algorithms are random, as in Envoy.
        case .random, .ringHash, .maglev: return .endpoint(anyOne(range, wish.excluded, random: random))
        }
    }

    /// Whether a request that found no endpoint waits for one. `pick` gives the reason.
    public func waits(for reason: Pick.Reason, now: UInt64) -> FailFast.Verdict {
        switch reason {
        case .noEndpoints, .allDraining: .fail
        case .awaitingChecks, .allUnhealthy: failFast.verdict(now: now)
        }
    }

    // MARK: - Sessions

    /// Whether one of its endpoints, whatever its health, is the session's.
    public func has(session id: UInt64) -> Bool {
        let place = sessions.lowerBound(id) { $0.id < $1 }
        return place < sessions.count && sessions[place].id == id
    }

    /// One that is drained keeps its sessions; one that is unhealthy or not there any more does not.
    private func endpoint(ofSession id: UInt64) -> EndpointIndex? {
        let place = sessions.lowerBound(id) { $0.id < $1 }
        guard place < sessions.count, sessions[place].id == id else { return nil }
        let endpoint = sessions[place].index
        let flags = endpoints[endpoint.index].shared.value.flags
        return isInPanic || flags.isDisjoint(with: .unhealthy) ? endpoint : nil
    }

    // MARK: - Consistent hashing

    private func nextOnRing(_ ring: SharedTableView<HashTable.RingPoint>, _ hash: UInt64) -> EndpointIndex {
        let start = ring.lowerBound(hash) { $0.hash < $1 }
        let tier = nearestTier(hash)
        for step in 0..<ring.count {
            let place = start + step
            let endpoint = ring[place < ring.count ? place : place - ring.count].endpoint
            if endpoints[endpoint.index].tier == tier { return endpoint }
        }
        return usable[0]
    }

    private func place(_ table: SharedTableView<EndpointIndex>, _ hash: UInt64) -> EndpointIndex {
        let tier = nearestTier(hash)
        var hash = hash
        for _ in 0..<64 where table.count > 0 {
            let endpoint = table[Int(hash % UInt64(table.count))]
            if endpoints[endpoint.index].tier == tier { return endpoint }
            hash = mix64(hash &+ 0x9e37_79b9_7f4a_7c15)
        }
        // Hardly any endpoint of the table can be used.
        let range = tiers.range(Int(tier))
        return usable[range.isEmpty ? 0 : range.lowerBound + Int(hash % UInt64(range.count))]
    }

    private func nearestTier(_ hash: UInt64) -> UInt8 {
        UInt8(tiers.tier(UInt32(truncatingIfNeeded: mix64(hash ^ 0x5851_f42d_4c95_7f2d))))
    }

    // MARK: - Load

    /// The power of two choices: the less loaded of two random ones.
    private func oneOfTwo(_ range: Range<Int>, _ excluded: TriedEndpoints, random: UInt64, now: UInt64)
        -> EndpointIndex
    {
        var random = random
        for _ in 0..<Self.drawings {
            let (first, second) = two(range, random)
            switch (excluded.contains(first), excluded.contains(second)) {
            case (false, false): return isLessLoaded(second, than: first, now: now) ? second : first
            case (false, true): return first
            case (true, false): return second
            case (true, true): random = mix64(random &+ 0x9e37_79b9_7f4a_7c15)
            }
        }
        return next(after: random, in: range, excluded)
    }

    /// As often as Envoy's host predicate asks again.
    private static let drawings = 5

    private func isLessLoaded(_ a: EndpointIndex, than b: EndpointIndex, now: UInt64) -> Bool {
        if algorithm == .peakEWMA {
            return endpoints[a.index].load(now: now) < endpoints[b.index].load(now: now)
        }
        return endpoints[a.index].active < endpoints[b.index].active
    }

    /// Two different ones, each as likely as any other. With different shares each of the two is drawn by share: where
    /// loads are equal the first is taken, so that the shares come out right.
    private func two(_ range: Range<Int>, _ random: UInt64) -> (EndpointIndex, EndpointIndex) {
        let high = UInt32(truncatingIfNeeded: random >> 32)
        let low = UInt32(truncatingIfNeeded: random)
        guard isUniform else { return (byShare(range, high), byShare(range, low)) }
        let first = scale(high, range.count)
        guard range.count > 1 else { return (usable[range.lowerBound], usable[range.lowerBound]) }
        let second = scale(low, range.count - 1)
        return (
            usable[range.lowerBound + first], usable[range.lowerBound + (second >= first ? second + 1 : second)]
        )
    }

    // MARK: - Random

    private func anyOne(_ range: Range<Int>, _ excluded: TriedEndpoints, random: UInt64) -> EndpointIndex {
        var random = random
        for _ in 0..<Self.drawings {
            let endpoint = byShare(range, UInt32(truncatingIfNeeded: random >> 32))
            if !excluded.contains(endpoint) { return endpoint }
            random = mix64(random &+ 0x9e37_79b9_7f4a_7c15)
        }
        return next(after: random, in: range, excluded)
    }

    private func byShare(_ range: Range<Int>, _ random: UInt32) -> EndpointIndex {
        guard !isUniform else { return usable[range.lowerBound + scale(random, range.count)] }
        let before = range.lowerBound == 0 ? 0 : shares[range.lowerBound - 1]
        let sum = shares[range.upperBound - 1] - before
        let wanted = before + sum.multipliedFullWidth(by: UInt64(random) << 32).high
        var low = range.lowerBound
        var high = range.upperBound - 1
        while low < high {
            let middle = (low + high) / 2
            if shares[middle] <= wanted { low = middle + 1 } else { high = middle }
        }
        return usable[low]
    }

    /// The first that was not tried, from a random place on; any if all were.
    private func next(after random: UInt64, in range: Range<Int>, _ excluded: TriedEndpoints) -> EndpointIndex {
        let start = scale(UInt32(truncatingIfNeeded: random), range.count)
        for step in range.indices {
            let endpoint = usable[range.lowerBound + (start + step - range.lowerBound) % range.count]
            if !excluded.contains(endpoint) { return endpoint }
        }
        return usable[range.lowerBound + start]
    }

    // MARK: - Turns

    private mutating func next(_ range: Range<Int>, _ excluded: TriedEndpoints) -> EndpointIndex {
        for _ in range {
            turn = turn &+ 1
            let endpoint = usable[range.lowerBound + Int(turn % UInt64(range.count))]
            if !excluded.contains(endpoint) { return endpoint }
        }
        return usable[range.lowerBound + Int(turn % UInt64(range.count))]
    }

    /// Smooth weighted round robin as nginx has it: everyone gains its share, the richest is taken and pays for all.
    ///
    /// - Parameter sharesFallWithLoad: Envoy's weighted least request: share / (requests in progress + 1).
    private mutating func inTurn(_ range: Range<Int>, _ excluded: TriedEndpoints, sharesFallWithLoad: Bool)
        -> EndpointIndex
    {
        var sum: Int64 = 0
        var best: EndpointIndex?
        for position in range {
            let endpoint = usable[position]
            guard !excluded.contains(endpoint) else { continue }
            var share = Int64(endpoints[endpoint.index].share) << 10
            if sharesFallWithLoad { share = max(share / Int64(endpoints[endpoint.index].active + 1), 1) }
            sum += share
            endpoints[endpoint.index].turn += share
            if let best, endpoints[best.index].turn >= endpoints[endpoint.index].turn { continue }
            best = endpoint
        }
        guard let best else { return usable[range.lowerBound] }
        endpoints[best.index].turn -= sum
        return best
    }
}
