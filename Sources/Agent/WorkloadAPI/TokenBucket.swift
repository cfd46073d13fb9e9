/// Grants at most `perSecond` in the long run, and `burst` at once.
struct TokenBucket {
    let burst: Double
    let perSecond: Double
    private var tokens: Double
    private var filledAt: UInt64

    init(burst: Int, perSecond: Int) {
        self.burst = Double(burst)
        self.perSecond = Double(perSecond)
        tokens = Double(burst)
        filledAt = Reactor.now()
    }

    /// Whether there were so many more; otherwise none is taken.
    mutating func take(_ count: Int = 1) -> Bool {
        if tokens < Double(count) { fill() }
        guard tokens >= Double(count) else { return false }
        tokens -= Double(count)
        return true
    }

    private mutating func fill() {
        let now = Reactor.now()
        tokens = min(burst, tokens + Double(now - filledAt) / 1e9 * perSecond)
        filledAt = now
    }
}
