// Deadlines.
extension Worker {
    mutating func expireTimers() {
        while let timer = wheel.popExpired(at: tick) {
            let index = timer / TimerID.kinds
            switch timer % TimerID.kinds {
            case 0: if downstreams.isLive(index) { downstreamExpired(index) }
            case 1: if exchanges.isLive(index) { exchangeExpired(index) }
            case 2: if upstreams.isLive(index) { upstreamExpired(index) }
            case 3: if tunnels.sessions.isLive(index) { tunnelSessionExpired(index) }
            default: if tunnels.streams.isLive(index) { tunnelStreamExpired(index) }
            }
        }
    }

    /// Sets the exchange's timer to the first of its deadlines.
    mutating func armTimer(_ exchange: UInt32) {
        // A request that waits is not idle.
        let wakeup = exchanges[exchange].wakeup
        var deadline = wakeup != 0 ? wakeup : exchanges[exchange].lastProgress + options.streamIdleTimeout
        let request = exchanges[exchange].requestDeadline
        if request != 0 { deadline = min(deadline, request) }
        let attempt = exchanges[exchange].tryDeadline
        if attempt != 0 { deadline = min(deadline, attempt) }
        let departure = exchanges[exchange].departure
        if departure != 0 { deadline = min(deadline, departure) }
        wheel.set(TimerID.exchange(exchange), deadline)
    }

    private mutating func downstreamExpired(_ index: UInt32) {
        switch downstreams[index].phase {
        case .reading:
            if downstreams[index].shortcut.isOffered {
                shortcutExpired(index)
            } else if downstreams[index].isBetweenRequests {
                closeDownstream(index)
            } else {
                refuse(index, status: 408, .headTimeout, [])
            }
        case .exchanging: break
        case .flushing, .lingering: closeDownstream(index)
        }
    }

    private mutating func exchangeExpired(_ exchange: UInt32) {
        let state = exchanges[exchange]
        let isAnswered = state.phase != .awaitingHead && state.phase != .waiting
        if state.requestDeadline != 0, tick >= state.requestDeadline, state.phase != .tunnelling {
            exchanges[exchange].record.flags.insert(.upstreamTimeout)
            if isAnswered, downstreams[state.downstream].isShadow {
                finish(exchange)
            } else if isAnswered {
                abandon(exchange, .requestTimeout)
            } else {
                endAttempt(exchange, .timeout)
                reply(exchange, 504, .requestTimeout, .upstreamTimeout)
            }
        } else if state.departure != 0, tick >= state.departure {
            askDeparted(exchange)
        } else if state.phase == .waiting, tick >= state.wakeup {
            resume(exchange)
        } else if state.phase == .relaying, state.throttle.isOn, state.wakeup != 0, tick >= state.wakeup {
            exchanges[exchange].wakeup = 0
            if pumpResponse(exchange), exchanges[exchange].wakeup == 0 { armTimer(exchange) }
        } else if state.tryDeadline != 0, tick >= state.tryDeadline, state.phase == .awaitingHead {
            upstreamFailed(exchange, AttemptFailure(.perTryTimeout))
        } else if tick >= state.lastProgress + options.streamIdleTimeout, state.phase != .waiting {
            exchanges[exchange].record.flags.insert(.streamIdleTimeout)
            if isAnswered {
                abandon(exchange, .idleTimeout)
            } else {
                endAttempt(exchange, .timeout)
                let isComplete = exchanges[exchange].requestBody.isComplete
                reply(exchange, isComplete ? 504 : 408, isComplete ? .idleTimeout : .bodyTimeout, .streamIdleTimeout)
            }
        } else {
            // What has passed and means nothing in this phase would fire again at once.
            if tick >= state.wakeup { exchanges[exchange].wakeup = 0 }
            if tick >= state.tryDeadline { exchanges[exchange].tryDeadline = 0 }
            if tick >= state.requestDeadline { exchanges[exchange].requestDeadline = 0 }
            armTimer(exchange)
        }
    }

    private mutating func upstreamExpired(_ index: UInt32) {
        let exchange = upstreams[index].exchange
        if exchange == .max {
            closeUpstream(index)
        } else if upstreams[index].isConnecting {
            upstreamFailed(exchange, AttemptFailure(.connectTimeout))
        }
    }
}
