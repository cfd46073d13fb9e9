internal import Mesh

extension ClusterState {
    /// Endpoints that one client's requests are spread over at most, when the kernel's programs do it.
    static let spread = 4

    /// Whether requests are sent to an endpoint, as far as was known when it was asked for one last.
    func isUsable(_ endpoint: EndpointIndex) -> Bool { endpoints[endpoint.index].tier != nil }

    /// Whether there is another usable endpoint than these that has not failed of late: failures count as seconds.
    func hasOther(than known: TriedEndpoints, now: UInt64) -> Bool {
        for place in 0..<usableCount where !known.contains(usable[place]) {
            if endpoints[usable[place].index].latency.latency(now: now) < 1_000_000_000 { return true }
        }
        return false
    }

    /// Over how many endpoints requests may be spread evenly; nil: something else than chance decides, or has to be told of
    /// each request.
    mutating func evenEndpoints(now: UInt64) -> Int? {
        refreshIfNeeded(now: now)
        switch algorithm {
        case .ringHash, .maglev: return nil
        case .peakEWMA, .leastRequest, .roundRobin, .random: break
        }
        guard isUniform, refreshAt == .max, usableCount > 0, limits.maxRequests == nil,
            limits.maxRequestsPerConnection == nil
        else { return nil }
        if let outlier, outlier.comparesRates { return nil }
        let tier = endpoints[usable[0].index].tier
        for place in 0..<usableCount where endpoints[usable[place].index].tier != tier { return nil }
        return min(usableCount, Self.spread)
    }
}
