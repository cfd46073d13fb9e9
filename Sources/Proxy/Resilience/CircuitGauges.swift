public import Synchronization

/// What a cluster has in use, over all workers, against Envoy's circuit breakers.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking
public struct CircuitGauges: ~Copyable, Sendable {
    public enum Resource: UInt8, BitwiseCopyable, Sendable, CaseIterable {
        case connections, pending, requests, retries
    }

    public let connections = Atomic<Int>(0)
    public let pending = Atomic<Int>(0)
    public let requests = Atomic<Int>(0)
    public let retries = Atomic<Int>(0)
    /// Times that something was refused, of each resource.
    public let connectionOverflows = Atomic<UInt64>(0)
    public let pendingOverflows = Atomic<UInt64>(0)
    public let requestOverflows = Atomic<UInt64>(0)
    public let retryOverflows = Atomic<UInt64>(0)

    init() {}

    /// Whether one more is within `limit`. If so it must be released when it is no longer used.
    @inline(__always)
    func acquire(_ resource: Resource, limit: UInt32) -> Bool {
        switch resource {
        case .connections: Self.acquire(connections, connectionOverflows, limit)
        case .pending: Self.acquire(pending, pendingOverflows, limit)
        case .requests: Self.acquire(requests, requestOverflows, limit)
        case .retries: Self.acquire(retries, retryOverflows, limit)
        }
    }

    @inline(__always)
    func release(_ resource: Resource) {
        switch resource {
        case .connections: connections.wrappingSubtract(1, ordering: .relaxed)
        case .pending: pending.wrappingSubtract(1, ordering: .relaxed)
        case .requests: requests.wrappingSubtract(1, ordering: .relaxed)
        case .retries: retries.wrappingSubtract(1, ordering: .relaxed)
        }
    }

    @inline(__always)
    private static func acquire(_ gauge: borrowing Atomic<Int>, _ overflows: borrowing Atomic<UInt64>, _ limit: UInt32)
        -> Bool
    {
        if gauge.wrappingAdd(1, ordering: .relaxed).oldValue < Int(limit) { return true }
        gauge.wrappingSubtract(1, ordering: .relaxed)
        overflows.wrappingAdd(1, ordering: .relaxed)
        return false
    }
}
