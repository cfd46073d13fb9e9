/// What one series holds.
protocol SeriesValue {
    init()
    mutating func add(_ other: Self)
    /// Whether it may leave the exposition when it has not changed for long, though something in the kernel counts for it.
    var mayExpire: Bool { get }
}

extension SeriesValue {
    var mayExpire: Bool { true }
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
    /// What is looked at for every series at every reading is apart from the values, which are large.
    private struct State {
        var lastChange: UInt64 = 0
        var isShown = false
        /// Kernel entries that count for it.
        var references = 0
    }

    typealias Handle = Int

    /// Series that are shown at the same time.
    let limit: Int
    /// Nanoseconds.
    let expiry: UInt64
    /// By handle; void where the state says that it is neither shown nor referred to.
    private(set) var labels: [MetricLabels] = []
    private(set) var values: [Value] = []
    private var states: [State] = []
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
    var shown: [Handle] { states.indices.filter { states[$0].isShown } }

    /// Finds or makes the series of `labels` for one more kernel entry.
    mutating func retain(_ labels: MetricLabels) -> Handle {
        let handle: Handle
        if let known = handles[labels] {
            handle = known
        } else {
            if let free = free.popLast() {
                handle = free
                self.labels[handle] = labels
                values[handle] = Value()
                states[handle] = State()
            } else {
                handle = values.count
                self.labels.append(labels)
                values.append(Value())
                states.append(State())
            }
            handles[labels] = handle
        }
        states[handle].references += 1
        return handle
    }

    /// The kernel entry is gone, or counts for other labels now.
    mutating func release(_ handle: Handle) {
        states[handle].references -= 1
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
        if !states[handle].isShown {
            guard hasRoom else { return addToOverflow(increment) }
            states[handle].isShown = true
            count += 1
        }
        values[handle].add(increment)
        states[handle].lastChange = now
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
        for handle in states.indices {
            let state = states[handle]
            guard state.isShown, now >= state.lastChange, now - state.lastChange >= expiry,
                state.references == 0 || values[handle].mayExpire
            else { continue }
            states[handle].isShown = false
            count -= 1
            freeIfUnused(handle)
        }
    }

    /// Whether the series is shown.
    func isShown(_ handle: Handle) -> Bool { states[handle].isShown }

    private mutating func freeIfUnused(_ handle: Handle) {
        guard !states[handle].isShown, states[handle].references == 0 else { return }
        handles[labels[handle]] = nil
        labels[handle] = MetricLabels()
        free.append(handle)
    }
}

extension SeriesTable {
    /// A family with one step for each series, and one for what did not fit.
    ///
    /// - Parameters:
    ///   - shown: the table's, once for all families.
    ///   - rest: the labels of the overflow.
    ///   - sample: writes the family's samples of one series.
    func family(
        _ name: String, _ kind: MetricWriter.Kind, help: String, shown: [Handle], rest: MetricLabels,
        sample: @escaping (inout MetricWriter, MetricLabels, Value) -> Void
    ) -> MetricPart {
        MetricPart(steps: shown.count + 2) { step, writer in
            if step == 0 {
                writer.family(name, kind, help: help)
            } else if step <= shown.count {
                sample(&writer, labels[shown[step - 1]], values[shown[step - 1]])
            } else if let overflow {
                sample(&writer, rest, overflow)
            }
        }
    }
}
