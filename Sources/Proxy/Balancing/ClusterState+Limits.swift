internal import Mesh
internal import Synchronization

/// Whether a retry may be made.
public enum RetryPermission: UInt8, BitwiseCopyable, Sendable {
    case granted
    /// 503, detail `retryBudget`.
    case budgetExceeded
    /// As many retries as the circuit breaker allows are in progress.
    case overflow
}

extension ClusterState {
    /// Begins a request: false if the circuit breaker of requests is open (503, UO, detail `upstreamOverflow`). `ended()`
    /// follows exactly once if it is true, however many attempts are made in between.
    public func admit(now: UInt64) -> Bool {
        guard shared.value.gauges.acquire(.requests, limit: limits.maxRequests ?? .max) else { return false }
        if budget.minConcurrency == nil { shared.value.budget.deposit(budget, now: now) }
        return true
    }

    public func ended() { shared.value.gauges.release(.requests) }

    /// Asks for a retry. `retryEnded()` follows exactly once if it is granted.
    public func permitRetry(now: UInt64) -> RetryPermission {
        guard shared.value.gauges.acquire(.retries, limit: limits.maxRetries ?? .max) else { return .overflow }
        guard isWithinBudget(now: now) else {
            shared.value.gauges.release(.retries)
            return .budgetExceeded
        }
        return .granted
    }

    public func retryEnded() { shared.value.gauges.release(.retries) }

    private func isWithinBudget(now: UInt64) -> Bool {
        guard let minimum = budget.minConcurrency else { return shared.value.budget.withdraw(budget, now: now) }
        // Envoy's form; the one that asks is counted already.
        let requests = max(shared.value.gauges.requests.load(ordering: .relaxed), 0)
        let allowed = max(Int(minimum), requests * Int(budget.percent) / 100)
        guard shared.value.gauges.retries.load(ordering: .relaxed) > allowed else { return true }
        shared.value.budget.refusals.wrappingAdd(1, ordering: .relaxed)
        return false
    }

    /// Asks for a connection more. `connectionClosed()` follows exactly once if it is true.
    public func admitConnection() -> Bool {
        shared.value.gauges.acquire(.connections, limit: limits.maxConnections ?? .max)
    }

    /// Takes a connection whatever the limit is. `connectionClosed()` follows exactly once.
    func takeConnection() { _ = shared.value.gauges.acquire(.connections, limit: .max) }

    public func connectionClosed() { shared.value.gauges.release(.connections) }

    /// Asks for a place in the queue of requests that wait for a connection or an endpoint: at most 10,000 where nothing is
    /// configured. `leftQueue()` follows exactly once if it is true.
    public func admitToQueue() -> Bool {
        shared.value.gauges.acquire(.pending, limit: limits.maxPendingRequests ?? 10_000)
    }

    public func leftQueue() { shared.value.gauges.release(.pending) }
}
