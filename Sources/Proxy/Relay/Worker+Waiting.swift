// Requests that wait for an endpoint, or for a connection to one.
extension Worker {
    /// The exchanges of this worker that wait, in the order in which they came: a list through `Exchange.nextWaiting`.
    struct WaitingList {
        var first = UInt32.max
        var last = UInt32.max
    }

    /// Waits in the queue of its cluster, if there is a place.
    ///
    /// - Parameter forConnection: there is an endpoint, but no connection that may be used or made.
    mutating func queue(_ exchange: UInt32, forConnection: Bool = false) {
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        if !exchanges[exchange].isQueued {
            guard generations[generation].clusters[cluster].admitToQueue() else {
                reply(exchange, 503, .upstreamOverflow, .upstreamOverflow)
                return
            }
            exchanges[exchange].isQueued = true
            append(exchange)
        }
        exchanges[exchange].awaitsConnection = forConnection
        // What becomes free in other workers, and endpoints that come back, nobody announces here.
        pause(exchange, .endpoint, until: tick + options.endpointPoll)
    }

    mutating func leaveQueue(_ exchange: UInt32) {
        guard exchanges[exchange].isQueued else { return }
        exchanges[exchange].isQueued = false
        remove(exchange)
        generations[exchanges[exchange].generation].clusters[exchanges[exchange].cluster].leftQueue()
    }

    /// Lets the first request go on that waits for a connection of a pool's cluster: one is idle now, or may be made.
    @inline(__always)
    mutating func wakeWaiting(for pool: UInt32) {
        if waiting.first != .max { wakeFirst(ofCluster: pools[Int(pool)].cluster) }
    }

    mutating func wakeFirst(ofCluster cluster: Int) {
        var exchange = waiting.first
        while exchange != .max {
            // Clusters have other numbers in other generations: such a request looks for itself.
            let isMeant =
                exchanges[exchange].cluster == cluster || exchanges[exchange].generation != generations.current
            if isMeant, exchanges[exchange].awaitsConnection, exchanges[exchange].wakeup > tick {
                exchanges[exchange].wakeup = tick
                enqueue(downstream: exchanges[exchange].downstream)
                return
            }
            exchange = exchanges[exchange].nextWaiting
        }
    }

    private mutating func append(_ exchange: UInt32) {
        exchanges[exchange].nextWaiting = .max
        exchanges[exchange].previousWaiting = waiting.last
        if waiting.last == .max {
            waiting.first = exchange
        } else {
            exchanges[waiting.last].nextWaiting = exchange
        }
        waiting.last = exchange
    }

    private mutating func remove(_ exchange: UInt32) {
        let next = exchanges[exchange].nextWaiting
        let previous = exchanges[exchange].previousWaiting
        if previous == .max { waiting.first = next } else { exchanges[previous].nextWaiting = next }
        if next == .max { waiting.last = previous } else { exchanges[next].previousWaiting = previous }
    }
}
