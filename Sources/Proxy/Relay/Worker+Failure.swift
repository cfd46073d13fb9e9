// Attempts that fail, and whether there is another one.
extension Worker {
    /// How the present attempt has failed, when a socket call says that it has.
    func failure(of exchange: UInt32) -> AttemptFailure {
        let upstream = exchanges[exchange].upstream
        guard upstream != .max, !upstreams[upstream].isConnecting else { return AttemptFailure(.connectFailure) }
        var failure = AttemptFailure(exchanges[exchange].hasSent ? .reset : .resetBeforeRequest)
        failure.wasReused = exchanges[exchange].isReusedUpstream && upstreams[upstream].input.end == 0
        return failure
    }

    /// The attempt failed before it had an answer, or while the answer was on its way. False: the exchange is over, or
    /// waits for another attempt.
    @discardableResult
    mutating func upstreamFailed(_ exchange: UInt32, _ failure: AttemptFailure) -> Bool {
        exchanges[exchange].keepsUpstream = false
        guard exchanges[exchange].phase == .awaitingHead else {
            exchanges[exchange].record.flags.insert(.upstreamTermination)
            abandon(exchange, .upstreamReset)
            return false
        }
        switch failure.kind {
        case .connectFailure:
            statistics.add(.upstreamFailed)
            endAttempt(exchange, .connectFailure)
        case .connectTimeout:
            statistics.add(.upstreamFailed)
            endAttempt(exchange, .connectTimeout)
        case .perTryTimeout, .overallTimeout: endAttempt(exchange, .timeout)
        default: endAttempt(exchange, .reset)
        }
        let reason: RetryDecision.Reason
        switch decideRetry(exchange, failure) {
        case .retry(let delay):
            retry(exchange, after: delay, failure)
            return false
        case .stop(let stop): reason = stop
        }
        var (detail, flags) = failure.outcome
        let status: UInt16 = failure.kind == .perTryTimeout ? 504 : 503
        switch reason {
        case .attemptsUsed: flags.insert(.retryLimitExceeded)
        case .budgetExceeded:
            statistics.add(.retriesDenied)
            reply(exchange, 503, .retryBudget, flags)
            return false
        case .overflow:
            statistics.add(.retriesDenied)
            flags.insert(.upstreamOverflow)
        default: break
        }
        reply(exchange, status, detail, flags)
        return false
    }

    mutating func decideRetry(_ exchange: UInt32, _ failure: AttemptFailure) -> RetryDecision {
        let bits = random.next()
        let deadline = exchanges[exchange].requestDeadline
        return exchanges[exchange].retry.decide(
            failure, rule: retryRule(exchange),
            cluster: generations[exchanges[exchange].generation].clusters[exchanges[exchange].cluster],
            canReplay: exchanges[exchange].keepsBody, isIdempotent: exchanges[exchange].request.method.isIdempotent,
            responseStarted: false, deadline: deadline == 0 ? .max : deadline * 1_000_000, random: bits, now: now)
    }

    mutating func retry(_ exchange: UInt32, after delay: UInt64, _ failure: AttemptFailure) {
        statistics.add(.retries)
        traceAttempt(exchange, failure)
        exchanges[exchange].tryDeadline = 0
        pause(exchange, .retry, until: tick + (delay + 999_999) / 1_000_000)
    }

    /// Each attempt is a span of its own, as OpenTelemetry wants it and Envoy does (`spawn_upstream_span`); the next one is
    /// sent on with another.
    private mutating func traceAttempt(_ exchange: UInt32, _ failure: AttemptFailure) {
        let trace = exchanges[exchange].trace
        guard trace.isPresent else { return }
        let next = tracing.sibling(of: trace)
        exchanges[exchange].trace = next
        guard requestLog.isOn else { return }
        var record = exchanges[exchange].record
        record.ended = now
        if failure.kind != .response {
            record.status = 0
            (record.detail, record.flags) = failure.outcome
        }
        let index = exchanges[exchange].downstream
        requestLog.attemptEnded(
            exchanges[exchange].ticket, record, principal: peers.principal(downstreams[index].principal), next: next)
    }
}

extension AttemptFailure {
    /// What is said of a request that ends with it.
    fileprivate var outcome: (ResponseDetail, ResponseFlags) {
        switch kind {
        case .connectFailure: (.connectFailure, .upstreamConnectionFailure)
        case .connectTimeout: (.connectTimeout, .upstreamConnectionFailure)
        case .perTryTimeout: (.perTryTimeout, .upstreamTimeout)
        default: (.upstreamReset, .upstreamTermination)
        }
    }
}
