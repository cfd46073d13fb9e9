import Glibc

// How exchanges and connections end.
extension Worker {
    /// The response has been given to the client's connection, to its end.
    mutating func finish(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        let closes = exchanges[exchange].closesDownstream || !exchanges[exchange].requestBody.isComplete
        releaseUpstream(exchange)
        conclude(exchange)
        guard !closes else {
            flush(index)
            return
        }
        downstreams[index].served &+= 1
        downstreams[index].phase = .reading
        // What is behind the body is the next request.
        let next = downstreams[index].input.ready
        if next == downstreams[index].input.end {
            buffers.give(&downstreams[index].input)
            wheel.set(TimerID.downstream(index), tick + options.keepAliveTimeout)
            if downstreams[index].isReadable { enqueue(downstream: index) }
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

    /// Parks or closes the exchange's connection to the backend.
    mutating func releaseUpstream(_ exchange: UInt32) {
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
            park(upstream)
        } else {
            closeUpstream(upstream)
        }
    }

    /// Records the exchange and frees its place.
    private mutating func conclude(_ exchange: UInt32) {
        let index = exchanges[exchange].downstream
        exchanges[exchange].record.ended = now
        exchanges[exchange].record.requestBody = exchanges[exchange].requestBody.byteCount
        exchanges[exchange].record.responseBody = exchanges[exchange].responseBody.byteCount
        statistics.record(exchanges[exchange].record)
        statistics.add(.requestsActive, -1)
        wheel.clear(TimerID.exchange(exchange))
        downstreams[index].exchange = .max
        exchanges.remove(exchange)
    }

    /// Ends an exchange whose response cannot be completed: the client sees its connection break.
    mutating func abandon(_ exchange: UInt32, _ detail: ResponseDetail = .downstreamClosed) {
        let index = exchanges[exchange].downstream
        if detail == .downstreamClosed { exchanges[exchange].record.flags.insert(.downstreamTermination) }
        exchanges[exchange].record.detail = detail
        exchanges[exchange].keepsUpstream = false
        releaseUpstream(exchange)
        conclude(exchange)
        // A FIN would make a response that ends with the connection look complete.
        if detail != .downstreamClosed { downstreams[index].hasFailed = true }
        closeDownstream(index)
    }

    /// The connection to the backend failed or ended before the response was complete. False: the exchange is over.
    @discardableResult
    mutating func upstreamFailed(_ exchange: UInt32, _ error: CInt) -> Bool {
        let upstream = exchanges[exchange].upstream
        let wasConnecting = upstream == .max || upstreams[upstream].isConnecting
        exchanges[exchange].keepsUpstream = false
        releaseUpstream(exchange)
        if wasConnecting {
            statistics.add(.upstreamFailed)
            reply(exchange, 503, .connectFailure, .upstreamConnectionFailure)
        } else if exchanges[exchange].phase == .awaitingHead {
            reply(exchange, 503, .upstreamReset, error == 0 ? .upstreamTermination : .upstreamReset)
        } else {
            exchanges[exchange].record.flags.insert(error == 0 ? .upstreamTermination : .upstreamReset)
            abandon(exchange, .upstreamReset)
        }
        return false
    }

    // MARK: The client's connection

    /// Ends the connection once what is kept for the client has been sent.
    mutating func flush(_ index: UInt32) {
        downstreams[index].phase = .flushing
        if downstreams[index].output.unsent > 0 {
            wheel.set(TimerID.downstream(index), tick + options.streamIdleTimeout)
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
        wheel.clear(TimerID.downstream(index))
        buffers.give(&downstreams[index].input)
        buffers.give(&downstreams[index].output)
        if downstreams[index].hasFailed {
            Sockets.reset(downstreams[index].descriptor)
        } else {
            close(downstreams[index].descriptor)
        }
        downstreams.remove(index)
        statistics.add(.downstreamActive, -1)
    }

    mutating func closeEverything() {
        for index in 0..<upstreams.limit where upstreams.isLive(index) && upstreams[index].isIdle {
            closeUpstream(index)
        }
        for index in 0..<downstreams.limit where downstreams.isLive(index) {
            if downstreams[index].phase == .exchanging {
                abandon(downstreams[index].exchange, .draining)
            } else {
                closeDownstream(index)
            }
        }
        for listener in listeners where listener.isOpen { close(listener.descriptor) }
        listeners.removeAll()
    }
}
