import Glibc

// How exchanges and connections end.
extension Worker {
    /// The response has been given to the client's connection, to its end.
    mutating func finish(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let closes =
            exchanges[exchange].closesDownstream || !exchanges[exchange].requestBody.isComplete || isDraining
        if downstreams[index].shortcut.client != 0, !closes { prepareOffer(exchange) }
        endAttempt(exchange, .none)
        conclude(exchange)
        guard !closes else {
            flush(index)
            return
        }
        downstreams[index].phase = .reading
        // What is behind the body is the next request.
        let next = downstreams[index].input.ready
        if next == downstreams[index].input.end {
            buffers.give(&downstreams[index].input)
            wheel.set(TimerID.downstream(index), tick + options.keepAliveTimeout)
            if downstreams[index].isReadable {
                enqueue(downstream: index)
            } else if downstreams[index].shortcut.client != 0 {
                offer(index)
            }
        } else {
            downstreams[index].input.start = next
            downstreams[index].input.cursor = next
            downstreams[index].headStarted = now
            wheel.set(TimerID.downstream(index), tick + options.headTimeout)
            // Not from here: many requests in one buffer would nest as many calls.
            enqueue(downstream: index)
        }
    }

    /// Both directions of a tunnel have ended: true, and the exchange is over.
    mutating func finishTunnel(_ exchange: UInt32) -> Bool {
        guard exchanges[exchange].phase == .tunnelling, exchanges[exchange].requestBody.isComplete,
            exchanges[exchange].responseBody.isComplete
        else { return false }
        exchanges[exchange].closesDownstream = true
        finish(exchange)
        return true
    }

    /// The attempt is over: tells the balancer how, and parks or closes the connection.
    mutating func endAttempt(_ exchange: UInt32, _ failure: EndpointOutcome.Failure) {
        if let endpoint = exchanges[exchange].endpoint {
            exchanges[exchange].endpoint = nil
            let elapsed = now - min(now, exchanges[exchange].attemptStarted)
            var outcome: EndpointOutcome
            if failure == .none {
                let latency = exchanges[exchange].latency
                outcome = EndpointOutcome(
                    status: exchanges[exchange].record.status, latency: latency == 0 ? elapsed : latency,
                    retryAfter: exchanges[exchange].retryAfter)
            } else {
                outcome = EndpointOutcome(failure: failure, latency: elapsed)
            }
            outcome.grpcStatus = exchanges[exchange].grpcStatus
            generations[exchanges[exchange].generation].clusters[exchanges[exchange].cluster].finished(
                endpoint, outcome, now: now)
        }
        releaseUpstream(exchange)
    }

    private mutating func releaseUpstream(_ exchange: UInt32) {
        let upstream = exchanges[exchange].upstream
        guard upstream != .max else { return }
        exchanges[exchange].upstream = .max
        let index = exchanges[exchange].downstream
        let isRequestSent =
            exchanges[exchange].requestBody.isComplete && downstreams[index].input.sendable == 0
            && upstreams[upstream].output.unsent == 0
        if exchanges[exchange].keepsUpstream, exchanges[exchange].responseBody.isComplete, isRequestSent,
            upstreams[upstream].input.unsent == 0, !upstreams[upstream].hasEnding
        {
            if downstreams[index].shortcut.generation != 0, attachLeg(upstream, to: index) { return }
            park(upstream)
        } else {
            closeUpstream(upstream)
        }
        exchanges[exchange].keepsUpstream = false
    }

    /// Records the exchange and frees its place.
    private mutating func conclude(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let generation = exchanges[exchange].generation
        if exchanges[exchange].admission >= 0 {
            releasePermissions(exchange)
            generations[generation].clusters[exchanges[exchange].admission].ended()
        }
        releaseToken(exchange)
        exchanges[exchange].record.ended = now
        exchanges[exchange].record.requestBody = exchanges[exchange].requestBody.byteCount
        exchanges[exchange].record.responseBody = exchanges[exchange].responseBody.byteCount
        let record = exchanges[exchange].record
        // A copy for a mirror is nobody's request.
        if !downstreams[index].isShadow {
            statistics.record(record)
            countOnConnection(index, record)
            requestLog.close(
                exchanges[exchange].ticket, record, client: downstreams[index].peer, local: downstreams[index].local,
                principal: peers.principal(downstreams[index].principal))
        } else if exchanges[exchange].ticket.isOpen {
            requestLog.close(
                exchanges[exchange].ticket, record, client: downstreams[index].peer, local: downstreams[index].local,
                principal: peers.principal(downstreams[index].principal))
        }
        statistics.add(.requestsActive, -1)
        wheel.clear(TimerID.exchange(exchange))
        downstreams[index].exchange = .max
        var changes = exchanges[exchange].changes
        let method = exchanges[exchange].request.method
        exchanges.remove(exchange)
        buffers.give(&changes)
        if downstreams[index].parent != .max { concludeCheck(index, method, record) }
        if generation >= 0 { generations.release(generation) }
    }

    /// For the connection's flow record.
    mutating func countOnConnection(_ index: UInt32, _ record: RequestRecord) {
        downstreams[index].requests.count &+= 1
        if downstreams[index].requests.firstClass == 0 {
            downstreams[index].requests.firstClass = UInt8(truncatingIfNeeded: min(record.status / 100, 9))
        }
        connectionRequests.set(downstreams[index].requests, started: downstreams[index].startedAt)
    }

    /// Gives back what the request holds of the present cluster besides its admission.
    mutating func releasePermissions(_ exchange: UInt32) {
        let generation = exchanges[exchange].generation
        let cluster = exchanges[exchange].cluster
        exchanges[exchange].retry.release(generations[generation].clusters[cluster])
        let isWoken = exchanges[exchange].awaitsConnection && exchanges[exchange].wakeup <= tick
        guard exchanges[exchange].isQueued else { return }
        leaveQueue(exchange)
        // It does not take what it was woken for.
        if isWoken, generation == generations.current { wakeFirst(ofCluster: cluster) }
    }

    /// Ends an exchange whose response cannot be completed: the client sees its connection break.
    mutating func abandon(_ exchange: UInt32, _ detail: ResponseDetail = .downstreamClosed) {
        let index = exchanges[exchange].downstream
        exchanges[exchange].keepsUpstream = false
        exchanges[exchange].record.detail = detail
        switch detail {
        case .downstreamClosed:
            exchanges[exchange].record.flags.insert(.downstreamTermination)
            endAttempt(exchange, .cancelled)
        case .upstreamReset, .upstreamProtocolError: endAttempt(exchange, .reset)
        case .requestTimeout, .perTryTimeout, .idleTimeout: endAttempt(exchange, .timeout)
        default: endAttempt(exchange, .cancelled)
        }
        conclude(exchange)
        // A FIN would make a response that ends with the connection look complete.
        downstreams[index].hasFailed = true
        closeDownstream(index)
    }

    // MARK: The client's connection

    /// Ends the connection once what is kept for the client has been sent.
    mutating func flush(_ index: UInt32) {
        guard !downstreams[index].isShadow else {
            closeDownstream(index)
            return
        }
        downstreams[index].phase = .flushing
        if downstreams[index].output.unsent > 0 {
            wheel.set(TimerID.downstream(index), tick + options.lingerTimeout)
            guard downstreams[index].isWritable else { return }
            switch sendOutput(index) {
            case .sent: break
            case .blocked: return
            case .failed:
                closeDownstream(index)
                return
            }
        }
        // close() with unread bytes sends a reset, which may destroy the response before the client has read it.
        Sockets.shutdownWriting(downstreams[index].descriptor)
        downstreams[index].phase = .lingering
        downstreams[index].isReadable = true
        buffers.give(&downstreams[index].input)
        wheel.set(TimerID.downstream(index), tick + options.lingerTimeout)
        linger(index)
    }

    /// Throws away what the client still sends, up to its end or the timer's.
    mutating func linger(_ index: UInt32) {
        guard downstreams[index].isReadable else { return }
        var buffer = Buffer()
        guard buffers.take(&buffer) else {
            closeDownstream(index)
            return
        }
        defer { buffers.give(&buffer) }
        for _ in 0..<16 {
            buffer.rewind(to: 0)
            switch buffers.receive(downstreams[index].descriptor, into: &buffer) {
            case .bytes: continue
            case .wouldBlock:
                downstreams[index].isReadable = false
                return
            case .end, .failed:
                closeDownstream(index)
                return
            }
        }
        enqueue(downstream: index)
    }

    mutating func closeDownstream(_ index: UInt32) {
        if downstreams[index].shortcut.client != 0 { endShortcut(index) }
        wheel.clear(TimerID.downstream(index))
        buffers.give(&downstreams[index].input)
        buffers.give(&downstreams[index].output)
        if downstreams[index].isShadow {
            // It has no socket.
        } else if downstreams[index].shortcut.isHeld {
            Sockets.endHeld(downstreams[index].descriptor, resetting: downstreams[index].hasFailed)
        } else if downstreams[index].hasFailed {
            Sockets.reset(downstreams[index].descriptor)
        } else {
            close(downstreams[index].descriptor)
        }
        if downstreams[index].hasFailed { breakTunnel(downstreams[index].tunnel) }
        listeners[Int(downstreams[index].listener)].connections -= 1
        downstreams.remove(index)
        statistics.add(.downstreamActive, -1)
    }

    mutating func closeEverything() {
        for index in 0..<downstreams.limit where downstreams.isLive(index) {
            if downstreams[index].phase == .exchanging {
                abandon(downstreams[index].exchange, .draining)
            } else {
                closeDownstream(index)
            }
        }
        for index in 0..<upstreams.limit where upstreams.isLive(index) { closeUpstream(index) }
        closeTunnels()
        for listener in listeners where listener.isOpen { close(listener.descriptor) }
        listeners.removeAll()
    }
}
