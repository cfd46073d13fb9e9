import Mesh
import Synchronization
import Testing

@testable import Proxy

/// A window in an object, so that expectations can speak of it.
private final class TestWindow {
    let window = RetryBudgetWindow(now: 0)

    func deposit(_ budget: RetryBudget, now: UInt64) { window.deposit(budget, now: now) }
    func withdraw(_ budget: RetryBudget, now: UInt64) -> Bool { window.withdraw(budget, now: now) }
    var refusals: UInt64 { window.refusals.load(ordering: .relaxed) }
}

@Suite("Retry budget")
struct RetryBudgetTests {
    struct Load: Sendable, CustomTestStringConvertible {
        var perSecond: Int
        var attempts: UInt32
        var seconds: Int
        /// Requests come in groups of this many at the same time.
        var burst: Int

        var testDescription: String { "\(perSecond)/s, \(attempts) retries, \(seconds) s, bursts of \(burst)" }
    }

    static let loads: [Load] = [1, 5, 20, 50, 100, 1000].flatMap { rate in
        [1, 3, 10].flatMap { attempts in
            [1, rate].map { Load(perSecond: rate, attempts: attempts, seconds: 25, burst: $0) }
        }
    }

    /// With nothing but failures the load is at most 1.2 times the requests and ten retries a second more, at every second
    /// (of the ten of a second all may come at once, so there are ten more in the first).
    @Test(arguments: loads)
    func boundsTheLoadOnFailingBackends(_ load: Load) {
        var policy = RetryPolicy()
        policy.attempts = load.attempts
        policy.conditions = .serverError
        let rule = RetryRule(policy)
        let cluster = TestCluster(.test(endpoints: 3))
        let start = cluster.now
        var queue: [(at: UInt64, state: RetryState)] = []
        var requests = 0
        var attempts = 0

        func attempt(_ state: RetryState, at now: UInt64) {
            var state = state
            attempts += 1
            let decision = state.decide(
                AttemptFailure(status: 503), rule: rule, cluster: cluster.workers[0], canReplay: true,
                isIdempotent: true, responseStarted: false, deadline: .max, random: cluster.random.next(), now: now)
            if case .retry(let delay) = decision {
                queue.append((now + delay, state))
            } else {
                state.release(cluster.workers[0])
                cluster.workers[0].ended()
            }
        }

        for tick in 0..<load.seconds * 100 {
            let now = start + UInt64(tick) * 10 * millisecond
            let due = load.perSecond * tick / 100 / load.burst * load.burst
            while requests < due {
                requests += 1
                cluster.now = now
                #expect(cluster.admit())
                attempt(RetryState(), at: now)
            }
            let ready = queue.filter { $0.at <= now }
            queue.removeAll { $0.at <= now }
            for retry in ready { attempt(retry.state, at: now) }
            if tick % 100 == 0 {
                let bound = Double(requests) * 1.2 + Double(tick) / 10 + 10
                #expect(Double(attempts) <= bound, "\(requests) requests, \(attempts) attempts in \(tick / 100) s")
            }
        }
        // The budget is there to be used, too.
        let wanted = min(load.perSecond * load.seconds * Int(load.attempts), load.seconds * 10)
        #expect(attempts - requests >= wanted * 8 / 10, "\(attempts - requests) retries")
    }

    @Test func forgetsRequestsAfterTheInterval() {
        let window = TestWindow()
        var budget = RetryBudget()
        budget.minPerSecond = 0
        for _ in 0..<100 { window.deposit(budget, now: second) }
        for _ in 0..<10 { #expect(window.withdraw(budget, now: 10 * second)) }
        for _ in 0..<10 { #expect(window.withdraw(budget, now: 10 * second + 999 * millisecond)) }
        #expect(!window.withdraw(budget, now: 10 * second + 999 * millisecond))
        #expect(!window.withdraw(budget, now: 11 * second), "the requests are ten seconds old")
        #expect(window.refusals == 2)
    }

    @Test func aRefusalCostsNothing() {
        let window = TestWindow()
        var budget = RetryBudget()
        budget.minPerSecond = 0
        for _ in 0..<1000 { #expect(!window.withdraw(budget, now: second)) }
        for _ in 0..<5 { window.deposit(budget, now: second) }
        #expect(window.withdraw(budget, now: second))
        #expect(!window.withdraw(budget, now: second))
    }

    @Test func allowsAMinimumWithoutTraffic() {
        let window = TestWindow()
        let budget = RetryBudget()
        #expect((0..<100).count { _ in window.withdraw(budget, now: 5 * second) } == 10)
        #expect((0..<100).count { _ in window.withdraw(budget, now: 5 * second + 100 * millisecond) } == 1)
        #expect((0..<100).count { _ in window.withdraw(budget, now: 60 * second) } == 10)
    }

    @Test(arguments: [(0, 3), (10, 3), (15, 3), (20, 4), (100, 20)])
    func envoysFormCountsRequestsInProgress(requests: Int, allowed: Int) {
        let cluster = TestCluster(
            .test(endpoints: 1) {
                var budget = RetryBudget()
                budget.minConcurrency = 3
                $0.retryBudget = budget
            })
        for _ in 0..<requests { #expect(cluster.admit()) }
        var granted = 0
        for _ in 0..<100 where cluster.permitRetry() == .granted { granted += 1 }
        #expect(granted == allowed)
        cluster.workers[0].retryEnded()
        #expect(cluster.permitRetry() == .granted)
        #expect(cluster.permitRetry() == .budgetExceeded)
    }

    @Test func holdsOverAllWorkers() async {
        let window = SharedCell(RetryBudgetWindow(now: 0))
        let granted = await withTaskGroup(of: Int.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    var budget = RetryBudget()
                    budget.minPerSecond = 0
                    var granted = 0
                    for step in 0..<50_000 {
                        let now = second + UInt64(step) * 10_000
                        if (step + worker) % 2 == 0 { window.reference.value.deposit(budget, now: now) }
                        if window.reference.value.withdraw(budget, now: now) { granted += 1 }
                    }
                    return granted
                }
            }
            return await group.reduce(0, +)
        }
        // 100,000 requests.
        #expect(granted <= 20_000)
        #expect(granted >= 15_000)
    }
}
