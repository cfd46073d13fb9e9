import CLinux
import Glibc
import Mesh

// Connections to backends: the pools, and what happens on a connection.
extension Worker {
    enum ConnectStep {
        case connected, failed
        /// This side has no descriptor, port or place left: says nothing about the endpoint.
        case shortage
    }

    private enum Opening {
        case opened(UInt32)
        case failed, shortage
    }

    /// Whether there is a connection for a request, or may be one more. If so `connect` has to follow.
    mutating func admitConnection(_ exchange: UInt32, pool: UInt32) -> Bool {
        let cluster = pools[Int(pool)].cluster
        guard idle(pool, for: exchange) == .max, leg(to: pool, of: exchange) == .max, cluster >= 0 else { return true }
        if currentCluster(of: pool, { $0.admitConnection() }) { return true }
        var open: UInt32 = 0
        for place in pools.indices where pools[place].cluster == cluster {
            open += pools[place].openCount
            guard pools[place].lastIdle != .max else { continue }
            // One that is idle at another endpoint gives way.
            closeUpstream(pools[place].lastIdle)
            return currentCluster(of: pool) { $0.admitConnection() }
        }
        // Each worker may have one, as in Envoy: it could never send anything while others have them all.
        guard open == 0 else { return false }
        currentCluster(of: pool) { $0.takeConnection() }
        return true
    }

    /// Gives the exchange a connection of the pool, an idle one if there is one. `admitConnection` was true before.
    mutating func connect(_ exchange: UInt32, pool: UInt32) -> ConnectStep {
        let index: UInt32
        // The one that was used last: those at the end of the list are the ones that time out.
        let idle = idle(pool, for: exchange)
        let leg = leg(to: pool, of: exchange)
        if leg != .max {
            detachLeg(leg)
            index = leg
            exchanges[exchange].isReusedUpstream = true
            statistics.add(.upstreamReused)
        } else if idle != .max {
            removeIdle(idle)
            index = idle
            exchanges[exchange].isReusedUpstream = true
            statistics.add(.upstreamReused)
        } else {
            let counts = pools[Int(pool)].cluster >= 0
            switch open(pool, counts, for: exchange) {
            case .opened(let opened): index = opened
            case .failed:
                if counts { currentCluster(of: pool) { $0.connectionClosed() } }
                return .failed
            case .shortage:
                if counts { currentCluster(of: pool) { $0.connectionClosed() } }
                return .shortage
            }
            exchanges[exchange].isReusedUpstream = false
        }
        upstreams[index].exchange = exchange
        exchanges[exchange].upstream = index
        exchanges[exchange].record.isToTunnel = upstreams[index].tunnelSource != 0
        return .connected
    }

    /// The pool's cluster as the current generation has it.
    @inline(__always) @discardableResult
    private func currentCluster<Result>(of pool: UInt32, _ body: (borrowing ClusterState) -> Result) -> Result {
        body(generations[generations.current].clusters[pools[Int(pool)].cluster])
    }

    /// The idle connection that was used last, of those that the request may go on; `.max`: there is none. What goes
    /// through a tunnel shows one workload's identity.
    private func idle(_ pool: UInt32, for exchange: UInt32) -> UInt32 {
        let first = pools[Int(pool)].firstIdle
        guard first != .max else { return .max }
        let source = tunnelSource(pool, for: exchange)
        var index = first
        while index != .max, upstreams[index].tunnelSource != source { index = upstreams[index].next }
        return index
    }

    /// The workload whose identity a connection for the request has to show; 0: it goes through no tunnel.
    private func tunnelSource(_ pool: UInt32, for exchange: UInt32) -> UInt64 {
        guard tunnels.table != nil else { return 0 }
        let source = exchanges[exchange].record.source
        if isTunnelled(pools[Int(pool)].endpoint, from: source) { return source }
        // Who asks an authorizer about a client of another node, or of none, is the agent.
        let isCheck = downstreams[exchanges[exchange].downstream].parent != .max
        return isCheck && isTunnelled(pools[Int(pool)].endpoint, from: TunnelTable.agent) ? TunnelTable.agent : 0
    }

    /// One end of a socket pair, whose other end is a tunnel's.
    private mutating func openTunnelled(
        _ pool: UInt32, _ isCounted: Bool, _ source: UInt64, for exchange: UInt32
    ) -> Opening {
        guard let pair = Sockets.pair() else { return .shortage }
        var upstream = Upstream(descriptor: pair.0, pool: pool, isConnecting: true)
        upstream.isCounted = isCounted
        upstream.tunnelSource = source
        upstream.tunnelOutcome = .pending
        upstream.isWritable = false
        guard let index = upstreams.insert(upstream) else {
            close(pair.0)
            close(pair.1)
            return .shortage
        }
        let opening = openUpstreamTunnel(index, pair.1, to: pools[Int(pool)].endpoint, for: exchange)
        guard case .opened = opening else {
            upstreams.remove(index)
            close(pair.0)
            close(pair.1)
            if case .shortage = opening { return .shortage }
            return .failed
        }
        register(index)
        return .opened(index)
    }

    /// Counts a connection that is being made, or stands.
    private mutating func register(_ index: UInt32) {
        let pool = upstreams[index].pool
        pools[Int(pool)].openCount += 1
        statistics.add(.upstreamOpened)
        statistics.add(.upstreamActive, 1)
        guard upstreams[index].isConnecting else { return }
        let cluster = pools[Int(pool)].cluster
        let timeout =
            cluster < 0
            ? options.connectTimeout : generations[generations.current].clusterFacts[cluster].connectTimeout
        wheel.set(TimerID.upstream(index), tick + timeout)
    }

    private mutating func open(_ pool: UInt32, _ isCounted: Bool, for exchange: UInt32) -> Opening {
        let source = tunnelSource(pool, for: exchange)
        if source != 0 { return openTunnelled(pool, isCounted, source, for: exchange) }
        var inProgress = false
        let endpoint = pools[Int(pool)].endpoint
        let descriptor = Sockets.connect(
            to: endpoint, ClientAddress(endpoint).isLoopback ? WEFT_PATH_LOCAL : WEFT_PATH_ANY,
            inProgress: &inProgress)
        guard descriptor >= 0 else { return Sockets.isShortage(descriptor) ? .shortage : .failed }
        var upstream = Upstream(descriptor: descriptor, pool: pool, isConnecting: inProgress)
        upstream.isCounted = isCounted
        guard let index = upstreams.insert(upstream) else {
            close(descriptor)
            return .shortage
        }
        let token = EventToken(kind: .upstream, index: index, generation: upstreams.generation(index))
        guard poller.addConnection(descriptor, token) else {
            upstreams.remove(index)
            close(descriptor)
            return .shortage
        }
        register(index)
        return .opened(index)
    }

    private mutating func removeIdle(_ index: UInt32) {
        let pool = Int(upstreams[index].pool)
        let next = upstreams[index].next
        let previous = upstreams[index].previous
        if previous == .max { pools[pool].firstIdle = next } else { upstreams[previous].next = next }
        if next == .max { pools[pool].lastIdle = previous } else { upstreams[next].previous = previous }
        upstreams[index].next = .max
        upstreams[index].previous = .max
        upstreams[index].isIdle = false
        pools[pool].idleCount -= 1
        statistics.add(.upstreamIdle, -1)
        wheel.clear(TimerID.upstream(index))
    }

    /// Puts a connection, on which a response has ended cleanly, into its pool.
    mutating func park(_ index: UInt32) {
        let pool = Int(upstreams[index].pool)
        let cluster = pools[pool].cluster
        upstreams[index].served &+= 1
        guard !isDraining, !pools[pool].isRetired, cluster >= 0,
            pools[pool].idleCount < options.idleUpstreamsPerEndpoint
        else {
            closeUpstream(index)
            return
        }
        let facts = generations[generations.current].clusterFacts[cluster]
        guard upstreams[index].served < facts.requestsPerConnection else {
            closeUpstream(index)
            return
        }
        // What no event will announce any more: the backend's end, or bytes that are no answer to anything.
        if upstreams[index].isReadable {
            guard Sockets.isQuiet(upstreams[index].descriptor) else {
                closeUpstream(index)
                return
            }
            upstreams[index].isReadable = false
        }
        buffers.give(&upstreams[index].input)
        upstreams[index].exchange = .max
        upstreams[index].isIdle = true
        upstreams[index].progress = HeadProgress()
        let first = pools[pool].firstIdle
        upstreams[index].next = first
        upstreams[index].previous = .max
        if first == .max { pools[pool].lastIdle = index } else { upstreams[first].previous = index }
        pools[pool].firstIdle = index
        pools[pool].idleCount += 1
        statistics.add(.upstreamIdle, 1)
        wheel.set(TimerID.upstream(index), tick + min(options.upstreamIdleTimeout, facts.idleTimeout))
        wakeWaiting(for: UInt32(pool))
    }

    mutating func closeUpstream(_ index: UInt32) {
        if upstreams[index].client != .max { detachLeg(index) }
        if upstreams[index].isIdle { removeIdle(index) }
        wheel.clear(TimerID.upstream(index))
        buffers.give(&upstreams[index].input)
        buffers.give(&upstreams[index].output)
        if upstreams[index].isHeld {
            Sockets.endHeld(upstreams[index].descriptor)
        } else {
            close(upstreams[index].descriptor)
        }
        let pool = upstreams[index].pool
        let isCounted = upstreams[index].isCounted && pools[Int(pool)].cluster >= 0
        if isCounted { currentCluster(of: pool) { $0.connectionClosed() } }
        pools[Int(pool)].openCount -= 1
        upstreams.remove(index)
        statistics.add(.upstreamActive, -1)
        if isCounted { wakeWaiting(for: pool) }
    }

    mutating func upstreamEvent(_ index: UInt32, _ readiness: Readiness) {
        guard takeOutcome(index) else { return }
        if readiness.wakesReader {
            upstreams[index].isReadable = true
            if readiness.hasEnding { upstreams[index].hasEnding = true }
        }
        if readiness.contains(.writable) {
            upstreams[index].isWritable = true
            if upstreams[index].isConnecting, !readiness.isBroken { connected(index) }
        }
        let exchange = upstreams[index].exchange
        guard exchange != .max else {
            if upstreams[index].client != .max {
                if upstreams[index].isReadable { legSpeaks(index) }
                return
            }
            // Whatever an idle connection has to say, it is not an answer: it is at its end, or out of step.
            if upstreams[index].isReadable { closeUpstream(index) }
            return
        }
        if upstreams[index].isConnecting {
            if readiness.contains(.error) { upstreamFailed(exchange, AttemptFailure(.connectFailure)) }
            return
        }
        // The response first: what remains of a request is of no use once its answer is complete.
        if pumpResponse(exchange), readiness.contains(.writable) { _ = pumpRequest(exchange) }
    }

    mutating func connected(_ index: UInt32) {
        upstreams[index].isConnecting = false
        wheel.clear(TimerID.upstream(index))
    }
}
