// Deadlines.
extension Worker {
    mutating func expireTimers() {
        while let timer = wheel.popExpired(at: tick) {
            let index = timer / 3
            switch timer % 3 {
            case 0: if downstreams.isLive(index) { downstreamExpired(index) }
            case 1: if exchanges.isLive(index) { exchangeExpired(index) }
            default: if upstreams.isLive(index) { upstreamExpired(index) }
            }
        }
    }

    private mutating func downstreamExpired(_ index: UInt32) {
        switch downstreams[index].phase {
        case .reading:
            if downstreams[index].input.end > downstreams[index].input.start {
                refuse(index, status: 408, .headTimeout, [])
            } else {
                closeDownstream(index)
            }
        case .exchanging: break
        case .flushing, .lingering: closeDownstream(index)
        }
    }

    private mutating func exchangeExpired(_ index: UInt32) {
        let idleDeadline = exchanges[index].lastProgress + options.streamIdleTimeout
        guard tick >= idleDeadline else {
            wheel.set(TimerID.exchange(index), idleDeadline)
            return
        }
        exchanges[index].record.flags.insert(.streamIdleTimeout)
        if exchanges[index].phase == .awaitingHead {
            exchanges[index].keepsUpstream = false
            let status: UInt16 = exchanges[index].requestBody.isComplete ? 504 : 408
            reply(index, status, .idleTimeout, .streamIdleTimeout)
        } else {
            abandon(index, .idleTimeout)
        }
    }

    private mutating func upstreamExpired(_ index: UInt32) {
        let exchange = upstreams[index].exchange
        if exchange == .max {
            closeUpstream(index)
        } else if upstreams[index].isConnecting {
            exchanges[exchange].keepsUpstream = false
            reply(exchange, 503, .connectTimeout, .upstreamConnectionFailure)
        }
    }
}
