/// Waits for the answer to what a worker has just passed on, at first without sleeping: to be woken takes as long as a fast
/// answer. It looks for events only where answers have lately come about as fast as a worker wakes, and gives up soon, so
/// that neither who answers slowly nor a worker with plenty to do costs any time of the processor.
struct AnswerWait: BitwiseCopyable {
    /// The longest wait that is worth looking for events, nanoseconds.
    static let longest: UInt64 = 60_000
    /// What comes sooner finds the worker awake as it is.
    static let shortest: UInt64 = 10_000
    /// As much more than usual an answer may take while the worker looks for it.
    private static let patience: UInt64 = 2
    /// One long wait does not count for more than this.
    private static let ceiling = 4 * longest

    /// How long answers have taken lately.
    private(set) var usual = ceiling

    /// How long to look for events, nanoseconds; 0: not at all.
    var limit: UInt64 {
        Self.shortest...Self.longest ~= usual ? min(Self.patience * usual, Self.longest) : 0
    }

    /// An answer, or another event, came after so many nanoseconds.
    mutating func record(_ waited: UInt64) { usual = usual - usual / 8 + min(waited, Self.ceiling) / 8 }

    /// The number of events of the next turn.
    ///
    /// - Parameters:
    ///   - start: CLOCK_MONOTONIC, nanoseconds.
    ///   - timeout: milliseconds, -1 for ever.
    mutating func wait(_ poller: borrowing Poller, from start: UInt64, timeout: CInt) -> Int {
        var count = 0
        let limit = limit
        var time = start
        while time &- start < limit {
            count = poller.wait(timeout: 0)
            guard count == 0 else { break }
            // Without yielding: whoever takes the processor then may keep it for milliseconds.
            time = MonotonicClock.now()
        }
        if count == 0 { count = poller.wait(timeout: timeout) }
        record(MonotonicClock.now() &- start)
        return count
    }
}
