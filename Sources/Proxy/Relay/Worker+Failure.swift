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
            retry(exchange, after: delay)
            return false
        case .stop(let stop): reason = stop
        }
        var flags: ResponseFlags
        let detail: ResponseDetail
        var status: UInt16 = 503
        switch failure.kind {
        case .connectFailure: (detail, flags) = (.connectFailure, .upstreamConnectionFailure)
        case .connectTimeout: (detail, flags) = (.connectTimeout, .upstreamConnectionFailure)
        case .perTryTimeout:
            status = 504
            (detail, flags) = (.perTryTimeout, .upstreamTimeout)
        default: (detail, flags) = (.upstreamReset, .upstreamTermination)
        }
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

    mutating func retry(_ exchange: UInt32, after delay: UInt64) {
        statistics.add(.retries)
        exchanges[exchange].tryDeadline = 0
        pause(exchange, .retry, until: tick + (delay + 999_999) / 1_000_000)
    }
}
