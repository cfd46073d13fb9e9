import CLinux
import Mesh

// A new configuration: taken in between two turns, so that every request sees one of them from its head to its end.
extension Worker {
    mutating func adopt(_ configuration: ProxyConfiguration) {
        if !generations.hasRoom { endOldest() }
        let set = configuration.clusters
        let isFirst = generations.current < 0
        freePools()
        for index in pools.indices { pools[index].isRetired = true }
        var clusterPlaces: [ClusterKey: Int] = [:]
        var places: [UInt32] = []
        for (cluster, value) in set.clusters.enumerated() {
            clusterPlaces[value.config.key] = cluster
            for endpoint in value.endpoints { places.append(pool(of: endpoint, cluster)) }
        }
        // Connections of endpoints that are gone still count in their cluster's circuit breaker.
        if !isFirst {
            let old = generations[generations.current].clusters.set.clusters
            for index in pools.indices where pools[index].isRetired && pools[index].cluster >= 0 {
                pools[index].cluster = clusterPlaces[old[pools[index].cluster].config.key] ?? -1
            }
        }
        if isFirst {
            generations.adopt(Generation(configuration, WorkerClusters(set, now: now), pools: places))
        } else {
            let clusters = generations[generations.current].clusters.successor(for: set, now: now)
            generations.adopt(Generation(configuration, clusters, pools: places))
        }
        dropLegs()
        for index in pools.indices where pools[index].isRetired {
            while pools[index].firstIdle != .max { closeUpstream(pools[index].firstIdle) }
        }
        if generations.count > 1 { moveExchanges(clusterPlaces) }
    }

    /// Requests without an answer after so many changes of the configuration are given up for the next one.
    private mutating func endOldest() {
        guard let oldest = generations.oldest else { return }
        for index in 0..<exchanges.limit where exchanges.isLive(index) && exchanges[index].generation == oldest {
            abandon(index, .overload)
        }
    }

    // MARK: Requests of older generations

    /// What has its answer, tunnels above all, needs no rule any more: it leaves its generation, however long it still takes.
    private mutating func moveExchanges(_ clusterPlaces: [ClusterKey: Int]) {
        for index in 0..<exchanges.limit where exchanges.isLive(index) {
            guard exchanges[index].generation >= 0, exchanges[index].generation != generations.current,
                exchanges[index].phase == .relaying || exchanges[index].phase == .tunnelling,
                !exchanges[index].awaitsMirrors
            else { continue }
            move(index, clusterPlaces)
        }
    }

    /// Takes what the exchange counts in to the current generation. What that one does not have is counted as over now.
    private mutating func move(_ exchange: UInt32, _ clusterPlaces: [ClusterKey: Int]) {
        let old = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        let admission = exchanges[exchange].admission
        if admission >= 0 { releasePermissions(exchange) }
        if let endpoint = exchanges[exchange].endpoint {
            let before = generations[old].clusters.set.clusters[cluster]
            let identity = before.endpoints[endpoint.index].identity
            exchanges[exchange].endpoint = clusterPlaces[before.config.key].flatMap { place in
                generations[generations.current].clusters.set.clusters[place].endpoints
                    .firstIndex { $0.identity == identity }
                    .map { EndpointIndex($0) }
            }
            if exchanges[exchange].endpoint == nil {
                generations[old].clusters[cluster].finished(
                    endpoint, EndpointOutcome(failure: .cancelled, latency: 0), now: now)
            }
        }
        exchanges[exchange].cluster = place(of: cluster, in: old, clusterPlaces)
        exchanges[exchange].admission = place(of: admission, in: old, clusterPlaces)
        // A fallback that is gone: nothing is held of it.
        if exchanges[exchange].cluster < 0 { exchanges[exchange].cluster = exchanges[exchange].admission }
        if admission >= 0, exchanges[exchange].admission < 0 { generations[old].clusters[admission].ended() }
        exchanges[exchange].decision = .notFound
        exchanges[exchange].service = -1
        exchanges[exchange].generation = generations.current
        generations[generations.current].users += 1
        generations.release(old)
    }

    private func place(of cluster: Int, in generation: Int, _ clusterPlaces: [ClusterKey: Int]) -> Int {
        guard cluster >= 0 else { return -1 }
        return clusterPlaces[generations[generation].clusters.set.clusters[cluster].config.key] ?? -1
    }

    /// The pool of an endpoint, a new one if it has none yet.
    private mutating func pool(of endpoint: Cluster.Endpoint, _ cluster: Int) -> UInt32 {
        if let place = poolPlaces[endpoint.identity] {
            pools[Int(place)].cluster = cluster
            pools[Int(place)].isRetired = false
            return place
        }
        let address = weft_endpoint(
            high: endpoint.config.address.high, low: endpoint.config.address.low, port: endpoint.config.port)
        let pool = UpstreamPool(endpoint: address, identity: endpoint.identity, cluster: cluster)
        let place: UInt32
        if let free = freePlaces.popLast() {
            pools[Int(free)] = pool
            place = free
        } else {
            place = UInt32(pools.count)
            pools.append(pool)
        }
        poolPlaces[endpoint.identity] = place
        return place
    }

    /// Makes the places of pools that are of no use any more free. Requests of older generations may still use them.
    private mutating func freePools() {
        var isUsed = [Bool](repeating: false, count: pools.count)
        for index in 0..<Generations.capacity where generations.isLive(index) && index != generations.current {
            generations[index].markPools(&isUsed)
        }
        for index in pools.indices where pools[index].isRetired && pools[index].openCount == 0 && !isUsed[index] {
            guard poolPlaces.removeValue(forKey: pools[index].identity) != nil else { continue }
            freePlaces.append(UInt32(index))
        }
    }
}
