// Copies of requests for other clusters, whose answers are thrown away.
extension Worker {
    /// How long a copy may take, milliseconds, and as much of its response as is read, bytes.
    private static let shadowTimeout: UInt64 = 15_000
    static let shadowLimit: UInt64 = 1 << 20

    /// Sends copies of a request that has arrived whole to the mirrors of its backend.
    mutating func mirror(_ exchange: UInt32) {
        exchanges[exchange].awaitsMirrors = false
        let generation = exchanges[exchange].generation
        let backend = exchanges[exchange].decision.backend
        for place in generations[generation].table.backends[Int(backend)].mirrors.indices {
            let mirror = generations[generation].table.mirrors[place]
            guard mirror.cluster >= 0, mirror.isChosen(random: random.next()) else { continue }
            shadow(exchange, cluster: Int(mirror.cluster))
        }
    }

    /// A client that is not there asks for the same, and what it gets is not written anywhere.
    private mutating func shadow(_ exchange: UInt32, cluster: Int) {
        let source = downstreams[exchanges[exchange].downstream]
        let bytes = buffers.bytes(source.input, source.input.start, source.input.ready)
        var input = Buffer()
        guard buffers.take(&input) else { return }
        if buffers.room(input) < bytes.byteCount, !buffers.grow(&input) || buffers.room(input) < bytes.byteCount {
            buffers.give(&input)
            return
        }
        _ = buffers.append(bytes, to: &input)
        input.cursor = UInt32(exchanges[exchange].request.byteCount)
        input.ready = input.end
        var downstream = Downstream(descriptor: -1, listener: source.listener, peer: source.peer, local: source.local)
        downstream.phase = .exchanging
        downstream.isShadow = true
        downstream.input = input
        downstream.source = source.source
        downstream.principal = source.principal
        let generation = exchanges[exchange].generation
        var copy = Exchange(
            downstream: 0, request: exchanges[exchange].request, generation: generation, tick: tick)
        copy.requestBody = exchanges[exchange].requestBody
        copy.service = exchanges[exchange].service
        copy.decision = exchanges[exchange].decision
        copy.decision.rule = -1
        copy.decision.allowsOrigin = false
        copy.cluster = cluster
        copy.trace = trace(ofMirror: exchange)
        copy.requestID = exchanges[exchange].requestID
        copy.closesDownstream = true
        // Nobody is there to speak another protocol.
        copy.request.wantsUpgrade = false
        copy.requestDeadline = tick + Self.shadowTimeout
        copy.record.started = now
        copy.record.take(source)
        copy.record.rule = exchanges[exchange].record.rule
        copy.record.service = generations[generation].clusterFacts[cluster].service
        guard let index = downstreams.insert(downstream) else {
            buffers.give(&input)
            return
        }
        copy.downstream = index
        guard let place = exchanges.insert(copy) else {
            buffers.give(&input)
            downstreams.remove(index)
            return
        }
        if exchanges[exchange].token != .max {
            tokens.cache.retain(exchanges[exchange].token)
            exchanges[place].token = exchanges[exchange].token
            exchanges[place].tokenRule = exchanges[exchange].tokenRule
        }
        if requestLog.isOn {
            exchanges[place].ticket = requestLog.mirror(exchanges[exchange].ticket, trace: exchanges[place].trace)
        }
        downstreams[index].exchange = place
        listeners[Int(source.listener)].connections += 1
        generations[generation].users += 1
        statistics.add(.downstreamActive, 1)
        statistics.add(.requestsActive, 1)
        statistics.add(.mirrored)
        // Its fields are parsed again when its turn comes: the request itself goes first.
        pause(place, .mirror, until: tick)
    }

    /// Beside the request itself, below who has called; below the request where the trace begins with it.
    private mutating func trace(ofMirror exchange: UInt32) -> TraceContext {
        let original = exchanges[exchange].trace
        var trace = tracing.sibling(of: original)
        if trace.parent == 0 { trace.parent = original.span }
        return trace
    }
}
