import CLinux
import Glibc

// Connections to backends: the pools, and what happens on a connection.
extension Worker {
    /// Gives the exchange a connection of the pool, an idle one if there is one. False: none could be made.
    mutating func connect(_ exchange: UInt32, pool: UInt32) -> Bool {
        let index: UInt32
        if let idle = takeIdle(pool) {
            index = idle
            upstreams[index].isIdle = false
            exchanges[exchange].isReusedUpstream = true
            statistics.add(.upstreamReused)
        } else {
            guard let opened = open(pool) else { return false }
            index = opened
            exchanges[exchange].isReusedUpstream = false
        }
        upstreams[index].exchange = exchange
        exchanges[exchange].upstream = index
        return true
    }

    private mutating func open(_ pool: UInt32) -> UInt32? {
        var inProgress = false
        let descriptor = Sockets.connect(to: pools[Int(pool)].endpoint, inProgress: &inProgress)
        guard descriptor >= 0 else {
            statistics.add(.upstreamFailed)
            return nil
        }
        guard let index = upstreams.insert(Upstream(descriptor: descriptor, pool: pool, isConnecting: inProgress))
        else {
            close(descriptor)
            return nil
        }
        let token = EventToken(kind: .upstream, index: index, generation: upstreams.generation(index))
        guard poller.addConnection(descriptor, token) else {
            upstreams.remove(index)
            close(descriptor)
            return nil
        }
        pools[Int(pool)].openCount += 1
        statistics.add(.upstreamOpened)
        statistics.add(.upstreamActive, 1)
        if inProgress { wheel.set(TimerID.upstream(index), tick + options.connectTimeout) }
        return index
    }

    /// The connection that was used last: those at the end of the list are the ones that time out.
    private mutating func takeIdle(_ pool: UInt32) -> UInt32? {
        let index = pools[Int(pool)].firstIdle
        guard index != .max else { return nil }
        removeIdle(index)
        return index
    }

    private mutating func removeIdle(_ index: UInt32) {
        let pool = Int(upstreams[index].pool)
        let next = upstreams[index].next
        let previous = upstreams[index].previous
        if previous == .max { pools[pool].firstIdle = next } else { upstreams[previous].next = next }
        if next == .max { pools[pool].lastIdle = previous } else { upstreams[next].previous = previous }
        upstreams[index].next = .max
        upstreams[index].previous = .max
        pools[pool].idleCount -= 1
        statistics.add(.upstreamIdle, -1)
        wheel.clear(TimerID.upstream(index))
    }

    /// Puts a connection, on which a response has ended cleanly, into its pool.
    mutating func park(_ index: UInt32) {
        let pool = Int(upstreams[index].pool)
        guard !isDraining, pools[pool].idleCount < options.idleUpstreamsPerEndpoint else {
            closeUpstream(index)
            return
        }
        buffers.give(&upstreams[index].input)
        upstreams[index].exchange = .max
        upstreams[index].isIdle = true
        upstreams[index].served &+= 1
        upstreams[index].progress = HeadProgress()
        let first = pools[pool].firstIdle
        upstreams[index].next = first
        upstreams[index].previous = .max
        if first == .max { pools[pool].lastIdle = index } else { upstreams[first].previous = index }
        pools[pool].firstIdle = index
        pools[pool].idleCount += 1
        statistics.add(.upstreamIdle, 1)
        wheel.set(TimerID.upstream(index), tick + options.upstreamIdleTimeout)
    }

    mutating func closeUpstream(_ index: UInt32) {
        if upstreams[index].isIdle { removeIdle(index) }
        wheel.clear(TimerID.upstream(index))
        buffers.give(&upstreams[index].input)
        buffers.give(&upstreams[index].output)
        close(upstreams[index].descriptor)
        pools[Int(upstreams[index].pool)].openCount -= 1
        upstreams.remove(index)
        statistics.add(.upstreamActive, -1)
    }

    mutating func upstreamEvent(_ index: UInt32, _ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.readable, .peerClosed, .hangup, .error]) {
            upstreams[index].isReadable = true
            if !readiness.isDisjoint(with: [.peerClosed, .hangup, .error]) { upstreams[index].hasEnding = true }
        }
        if readiness.contains(.writable) {
            upstreams[index].isWritable = true
            if upstreams[index].isConnecting, !readiness.contains(.error) { connected(index) }
        }
        let exchange = upstreams[index].exchange
        guard exchange != .max else {
            // Whatever an idle connection has to say, it is not an answer: it is at its end, or out of step.
            if upstreams[index].isReadable { closeUpstream(index) }
            return
        }
        if upstreams[index].isConnecting {
            if readiness.contains(.error) {
                upstreamFailed(exchange, Sockets.pendingError(upstreams[index].descriptor))
            }
            return
        }
        // The response first: what remains of a request is of no use once its answer is complete.
        if pumpResponse(exchange), exchanges[exchange].phase != .replying, readiness.contains(.writable) {
            _ = pumpRequest(exchange)
        }
    }

    mutating func connected(_ index: UInt32) {
        upstreams[index].isConnecting = false
        wheel.clear(TimerID.upstream(index))
    }
}
