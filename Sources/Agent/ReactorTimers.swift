/// The timers of a reactor: a binary heap of deadlines. Cancelled timers leave their heap entry behind, which is
/// dropped when it comes up or when such entries are the majority.
struct ReactorTimers {
    typealias ID = UInt64

    private struct Timer {
        var deadline: UInt64
        var interval: UInt64?
        var handler: () -> Void
    }

    private var live: [ID: Timer] = [:]
    private var heap: [(deadline: UInt64, id: ID)] = []
    private var lastID: ID = 0

    var count: Int { live.count }

    mutating func add(deadline: UInt64, interval: UInt64?, handler: @escaping () -> Void) -> ID {
        lastID += 1
        live[lastID] = Timer(deadline: deadline, interval: interval, handler: handler)
        push((deadline, lastID))
        return lastID
    }

    mutating func cancel(_ id: ID) {
        guard live.removeValue(forKey: id) != nil else { return }
        guard heap.count > 64, heap.count > 2 * live.count else { return }
        heap = live.map { ($0.value.deadline, $0.key) }
        heap.sort { $0.deadline < $1.deadline }  // a sorted array is a heap
    }

    /// The earliest deadline of a live timer.
    mutating func nextDeadline() -> UInt64? {
        while let first = heap.first {
            if live[first.id]?.deadline == first.deadline { return first.deadline }
            pop()
        }
        return nil
    }

    /// Takes the earliest timer out of the heap if it is due.
    mutating func popDue(at now: UInt64) -> ID? {
        guard let deadline = nextDeadline(), deadline <= now, let id = heap.first?.id else { return nil }
        pop()
        return id
    }

    /// The handler of a timer that fires now; puts a repeating timer back. Nil if it was cancelled meanwhile.
    mutating func handler(firing id: ID, at now: UInt64) -> (() -> Void)? {
        guard var timer = live[id] else { return nil }
        guard let interval = timer.interval else {
            live[id] = nil
            return timer.handler
        }
        // After a long pause the missed periods are skipped, not made up for.
        timer.deadline = max(timer.deadline + interval, now + 1)
        live[id] = timer
        push((timer.deadline, id))
        return timer.handler
    }

    private mutating func push(_ entry: (deadline: UInt64, id: ID)) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].deadline < heap[parent].deadline else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func pop() {
        guard let last = heap.popLast(), !heap.isEmpty else { return }
        heap[0] = last
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { break }
            let right = left + 1
            let child = right < heap.count && heap[right].deadline < heap[left].deadline ? right : left
            guard heap[child].deadline < heap[parent].deadline else { break }
            heap.swapAt(child, parent)
            parent = child
        }
    }
}

extension Reactor {
    /// A timer that was set; it stays harmless after it has fired.
    public struct TimerID: Equatable, Sendable {
        fileprivate let id: ReactorTimers.ID
    }

    /// Calls `handler` once, `delay` from now.
    @discardableResult
    public func after(_ delay: Duration, _ handler: @escaping () -> Void) -> TimerID {
        add(delay: delay.nanoseconds, interval: nil, handler)
    }

    /// Calls `handler` every `interval` (at least a millisecond), for the first time after one interval.
    @discardableResult
    public func every(_ interval: Duration, _ handler: @escaping () -> Void) -> TimerID {
        let period = max(interval.nanoseconds, 1_000_000)
        return add(delay: period, interval: period, handler)
    }

    /// Ends a timer. Nothing happens if it has fired already.
    public func cancel(_ timer: TimerID) {
        timers.cancel(timer.id)
        // A timer descriptor that is armed for nothing would wake the process once; with many short deadlines set and
        // cancelled that is cheaper than a system call for each, but an idle process must not be woken.
        if timers.count == 0 { armTimer() }
    }

    private func add(delay: UInt64, interval: UInt64?, _ handler: @escaping () -> Void) -> TimerID {
        let id = timers.add(deadline: Self.now() + delay, interval: interval, handler: handler)
        armTimer()
        return TimerID(id: id)
    }
}

extension Duration {
    /// Whole nanoseconds; negative durations are 0, and no timer is longer than a century.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(min(seconds, 3_155_760_000)) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
    }
}
