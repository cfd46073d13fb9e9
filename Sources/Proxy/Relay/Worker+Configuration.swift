import CLinux
import Mesh

// A new configuration: taken in between two turns, so that every request sees one of them from its head to its end.
extension Worker {
    /// False: requests of too many generations are in progress.
    mutating func adopt(_ configuration: ProxyConfiguration) -> Bool {
        guard generations.hasRoom else { return false }
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
        for index in pools.indices where pools[index].isRetired {
            while pools[index].firstIdle != .max { closeUpstream(pools[index].firstIdle) }
        }
        return true
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
        guard generations.count <= 1 else { return }
        for index in pools.indices where pools[index].isRetired && pools[index].openCount == 0 {
            guard poolPlaces.removeValue(forKey: pools[index].identity) != nil else { continue }
            freePlaces.append(UInt32(index))
        }
    }
}
