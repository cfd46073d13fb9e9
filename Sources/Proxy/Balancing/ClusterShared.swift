public import Synchronization

/// What all workers know of one cluster. It outlives generations of the configuration, as long as they have the cluster.
public struct ClusterShared: ~Copyable, Sendable {
    /// Grows whenever an endpoint becomes usable or stops being so; workers look at it before they choose.
    public let epoch = Atomic<UInt64>(0)
    /// By outlier detection, now.
    public let ejected = Atomic<UInt32>(0)
    /// Ejections that the maximum share forbade.
    public let ejectionOverflows = Atomic<UInt64>(0)
    public let nextSweep = Atomic<UInt64>(0)
    public let gauges = CircuitGauges()
    public let budget: RetryBudgetWindow
    /// Where round robin is, for all workers of the cluster together would cost a shared line per request: each worker
    /// starts somewhere else instead.
    let workers = Atomic<UInt64>(0)

    init(now: UInt64) { budget = RetryBudgetWindow(now: now) }

    func changed() {
        epoch.wrappingAdd(1, ordering: .acquiringAndReleasing)
        ShortcutRecall.all()
    }
}
