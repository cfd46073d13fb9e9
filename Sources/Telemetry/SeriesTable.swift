/// What one series holds.
protocol SeriesValue {
    init()
    mutating func add(_ other: Self)
}

/// A bounded set of series of one group of families, by their labels.
///
/// Every increment goes to exactly one place: its series, or the overflow when there is no room for another series. So
/// the increments over all series add up to what happened, and no counter goes backwards while it is shown.
///
/// A series that has not changed for `expiry` is no longer shown and leaves its room to others. Its value is kept while
/// something in the kernel still counts for it, so that it continues where it was when it comes back; without that it
/// begins at 0 again, which Prometheus understands as a reset. What went to the overflow stays there.
struct SeriesTable<Value: SeriesValue> {
    struct Series {
        let labels: MetricLabels
        var value = Value()
        fileprivate var lastChange: UInt64 = 0
        fileprivate(set) var isShown = false
        /// Kernel entries that count for it.
        fileprivate var references = 0
    }

    typealias Handle = Int

    /// Series that are shown at the same time.
    let limit: Int
    /// Nanoseconds.
    let expiry: UInt64
    private var series: [Series?] = []
    private var free: [Handle] = []
    private var handles: [MetricLabels: Handle] = [:]
    /// Series that are shown now.
    private(set) var count = 0
    /// What did not fit; nil if everything did.
    private(set) var overflow: Value?

    init(limit: Int, expiry: UInt64) {
        self.limit = max(limit, 0)
        self.expiry = expiry
    }

    /// The series that are shown.
    var shown: some Sequence<Series> { series.lazy.compactMap { $0 }.filter(\.isShown) }

    /// Finds or makes the series of `labels` for one more kernel entry.
    mutating func retain(_ labels: MetricLabels) -> Handle {
        let handle: Handle
        if let known = handles[labels] {
            handle = known
        } else {
            handle = free.popLast() ?? series.count
            if handle == series.count { series.append(nil) }
            series[handle] = Series(labels: labels)
            handles[labels] = handle
        }
        series[handle]?.references += 1
        return handle
    }

    /// The kernel entry is gone, or counts for other labels now.
    mutating func release(_ handle: Handle) {
        series[handle]?.references -= 1
        freeIfUnused(handle)
    }

    /// Whether a series can be shown that is not shown yet.
    var hasRoom: Bool { count < limit }

    /// Whether there is a series with these labels that is shown.
    func shows(_ labels: MetricLabels) -> Bool { shownHandle(labels) != nil }

    /// The series with these labels, if it is shown.
    func shownHandle(_ labels: MetricLabels) -> Handle? {
        guard let handle = handles[labels], isShown(handle) else { return nil }
        return handle
    }

    /// Counts for a series, or for the overflow if there is no room to show it.
    mutating func add(_ increment: Value, to handle: Handle, now: UInt64) {
        guard series[handle]?.isShown == true || hasRoom else { return addToOverflow(increment) }
        if series[handle]?.isShown == false { count += 1 }
        series[handle]?.isShown = true
        series[handle]?.value.add(increment)
        series[handle]?.lastChange = now
    }

    /// Counts for what `handle` stands for, or finds out what that is. Labels are put together only for an entry of the
    /// kernel's that has no series yet and a chance to get one.
    ///
    /// - Parameter isNew: whether it is the entry's first count.
    mutating func add(
        _ increment: Value, handle: inout Handle?, isNew: Bool, _ now: UInt64, labels: () -> MetricLabels
    ) {
        if handle == nil, isNew || hasRoom {
            let labels = labels()
            if hasRoom || shows(labels) { handle = retain(labels) }
        }
        guard let handle else { return addToOverflow(increment) }
        add(increment, to: handle, now: now)
    }

    mutating func addToOverflow(_ increment: Value) {
        var value = overflow ?? Value()
        value.add(increment)
        overflow = value
    }

    /// Stops showing what has not changed for `expiry`.
    mutating func expire(now: UInt64) {
        for handle in series.indices {
            guard let one = series[handle], one.isShown, now >= one.lastChange, now - one.lastChange >= expiry
            else { continue }
            series[handle]?.isShown = false
            count -= 1
            freeIfUnused(handle)
        }
    }

    /// Whether the series is shown.
    func isShown(_ handle: Handle) -> Bool { series[handle]?.isShown == true }

    private mutating func freeIfUnused(_ handle: Handle) {
        guard let one = series[handle], !one.isShown, one.references == 0 else { return }
        handles[one.labels] = nil
        series[handle] = nil
        free.append(handle)
    }
}
