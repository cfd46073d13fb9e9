import Mesh
import Testing

@testable import Proxy

@Suite("Rate limits")
struct RateLimitTests {
    /// One limit with the set that owns its counters.
    private final class TestLimit {
        let set: RateLimiterSet
        private let limit: RateLimitCheck

        init(_ limit: RateLimit, quotas: QuotaRecords = QuotaRecords()) {
            set = RateLimiterSet([RateLimitConfig(scope: "shop/web:80", limit: limit)], quotas: quotas)
            self.limit = RateLimitCheck(set.limiters[0])
        }

        func check(key: UInt64, now: UInt64, wall: UInt64) -> RateLimitVerdict {
            limit.check(key: key, now: now, wall: wall)
        }
    }

    /// 2026-11-21 12:00:00 UTC.
    private static let noon: UInt64 = 1_795_262_400

    @Test func aBucketGivesItsBurstAndThenItsRate() {
        let check = TestLimit(RateLimit(name: "a", requests: 10, burst: 5, window: .bucket(milliseconds: 1000)))
        let start = 1000 * second
        for remaining in (0..<5).reversed() as ReversedCollection<Range<UInt32>> {
            let verdict = check.check(key: 0, now: start, wall: 0)
            #expect(verdict.isWithinLimit && verdict.remaining == remaining && verdict.limit == 10)
        }
        let refused = check.check(key: 0, now: start, wall: 0)
        #expect(!refused.isWithinLimit && refused.isRefused)
        #expect(refused.retryAfter == 1 && refused.reset == 1 && refused.window == 1)
        #expect(!check.check(key: 0, now: start + 99 * millisecond, wall: 0).isWithinLimit)
        #expect(check.check(key: 0, now: start + 100 * millisecond, wall: 0).isWithinLimit)
        #expect(!check.check(key: 0, now: start + 100 * millisecond, wall: 0).isWithinLimit)
        #expect(check.set.limiters[0].limited == 3)
    }

    @Test(arguments: [(1, 1, 1000), (100, 100, 1000), (7, 3, 60_000), (1000, 5, 1000)] as [(UInt32, UInt32, UInt32)])
    func overTimeItLetsThroughItsRate(requests: UInt32, burst: UInt32, milliseconds: UInt32) {
        let check = TestLimit(
            RateLimit(name: "a", requests: requests, burst: burst, window: .bucket(milliseconds: milliseconds)))
        let length = UInt64(milliseconds) * millisecond * 20
        let allowed = (0..<50_000 as Range<UInt64>).count {
            check.check(key: 1, now: second + length * $0 / 50_000, wall: 0).isWithinLimit
        }
        let expected = Int(requests) * 20 + Int(burst)
        #expect(abs(allowed - expected) <= 1 + expected / 100)
        #expect(check.set.limiters[0].limited == UInt64(50_000 - allowed))
    }

    @Test func retryAfterIsWhenTheNextOneIsThere() {
        let check = TestLimit(RateLimit(name: "a", requests: 6, burst: 1, window: .bucket(milliseconds: 60_000)))
        let quota = TestLimit(RateLimit(name: "a", requests: 1, window: .day))
        #expect(check.check(key: 0, now: second, wall: 0).isWithinLimit)
        #expect(check.check(key: 0, now: 2 * second + 1, wall: 0).retryAfter == 9)
        #expect(!check.check(key: 0, now: 11 * second - 1, wall: 0).isWithinLimit)
        #expect(check.check(key: 0, now: 11 * second, wall: 0).isWithinLimit)
        #expect(quota.check(key: 0, now: 0, wall: Self.noon).isWithinLimit)
        #expect(quota.check(key: 0, now: 0, wall: Self.noon + 3600).retryAfter == 11 * 3600)
    }

    @Test func shadowLimitsRefuseNothing() {
        var limit = RateLimit(name: "a", requests: 1, window: .bucket(milliseconds: 1000))
        limit.isShadow = true
        let check = TestLimit(limit)
        #expect(check.check(key: 0, now: second, wall: 0).isWithinLimit)
        let verdict = check.check(key: 0, now: second, wall: 0)
        #expect(!verdict.isWithinLimit && !verdict.isRefused)
        #expect(check.set.limiters[0].limited == 1)
    }

    @Test func noRequestsMeansNone() {
        let check = TestLimit(RateLimit(name: "a", requests: 0, window: .bucket(milliseconds: 1000)))
        #expect(check.check(key: 0, now: second, wall: 0).isRefused)
        let quota = TestLimit(RateLimit(name: "a", requests: 0, window: .month))
        #expect(quota.check(key: 0, now: second, wall: Self.noon).isRefused)
    }

    @Test(arguments: [(1, .max, .max), (.max, .max, 1), (.max, 1, .max), (1, 1, 0)] as [(UInt32, UInt32, UInt32)])
    func absurdLimitsDoNotOverflow(requests: UInt32, burst: UInt32, milliseconds: UInt32) {
        let check = TestLimit(
            RateLimit(name: "a", requests: requests, burst: burst, window: .bucket(milliseconds: milliseconds)))
        for now in [0, second, UInt64(Int64.max)] { _ = check.check(key: 0, now: now, wall: 0) }
        #expect(check.check(key: 0, now: UInt64(Int64.max), wall: 0).limit == requests)
    }

    // MARK: - Keys

    @Test func keysHaveBucketsOfTheirOwn() {
        let check = TestLimit(
            RateLimit(name: "a", requests: 1, window: .bucket(milliseconds: 60_000), key: .header("x-user")))
        let limiters = WorkerLimiters(check.set)
        for user in ["ann", "bob", "cy"] {
            let key = unsafe limiters.key(Array(user.utf8).span.bytes)
            #expect(check.check(key: key, now: second, wall: 0).isWithinLimit)
            #expect(!check.check(key: key, now: second, wall: 0).isWithinLimit)
        }
    }

    @Test func inventedKeysNeitherNeedMemoryNorGetPastTheLimit() {
        let check = TestLimit(
            RateLimit(name: "a", requests: 1, window: .bucket(milliseconds: 60_000), key: .header("x-user")))
        var random = RandomBits(seed: 1)
        let allowed = (0..<50_000).count { _ in check.check(key: random.next(), now: second, wall: 0).isWithinLimit }
        #expect(allowed <= RateLimiter.keys + 1)
        #expect(allowed >= RateLimiter.keys * 9 / 10)
        #expect(check.set.limiters[0].overflows >= 40_000)
        // A minute later their buckets are full again, and their places free.
        let later = (0..<1000).count { _ in check.check(key: random.next(), now: 70 * second, wall: 0).isWithinLimit }
        #expect(later == 1000)
    }

    @Test func aLimitKeepsItsBucketsWhenTheConfigurationChanges() {
        let limit = RateLimit(name: "a", requests: 1, window: .bucket(milliseconds: 60_000))
        let check = TestLimit(limit)
        #expect(check.check(key: 0, now: second, wall: 0).isWithinLimit)
        let other = RateLimitConfig(scope: "shop/other:80", limit: limit)
        let next = RateLimiterSet(
            [other, RateLimitConfig(scope: "shop/web:80", limit: limit)], previous: check.set, quotas: QuotaRecords())
        #expect(next.seed == check.set.seed)
        let limiters = WorkerLimiters(next)
        #expect(limiters[0].check(key: 0, now: second, wall: 0).isWithinLimit == true)
        #expect(limiters[1].check(key: 0, now: second, wall: 0).isWithinLimit == false)
    }

    @Test func noMoreThanTheLimitOverAllWorkers() async {
        let check = TestLimit(
            RateLimit(name: "a", requests: 1000, window: .bucket(milliseconds: 3_600_000), key: .identity))
        let set = check.set
        let allowed = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let limiters = WorkerLimiters(set)
                    return (0..<20_000).count {
                        limiters[0].check(key: UInt64($0 % 7 + 1), now: second, wall: 0).isWithinLimit
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(allowed == 7000)
    }

    // MARK: - Quotas

    @Test func aQuotaEndsAtMidnight() {
        let check = TestLimit(RateLimit(name: "a", requests: 3, window: .day, key: .identity))
        for _ in 0..<3 { #expect(check.check(key: 9, now: 0, wall: Self.noon).isWithinLimit) }
        let midnight = Self.noon + 12 * 3600
        let refused = check.check(key: 9, now: 0, wall: midnight - 1)
        #expect(refused.isRefused && refused.retryAfter == 1 && refused.reset == 1)
        #expect(check.check(key: 8, now: 0, wall: midnight - 1).isWithinLimit)
        #expect(check.check(key: 9, now: 0, wall: midnight).remaining == 2)
        // A clock that is put back gives nothing anew.
        #expect(check.check(key: 9, now: 0, wall: midnight - 1).isWithinLimit)
        #expect(check.check(key: 9, now: 0, wall: midnight - 1).isWithinLimit)
        #expect(!check.check(key: 9, now: 0, wall: midnight - 1).isWithinLimit)
    }

    /// Seconds since 1970 of a moment, the month's number and its end, as GNU date has them.
    static let months: [(UInt64, UInt64, UInt64)] = [
        (0, 0, 2_678_400), (1_795_262_400, 682, 1_796_083_200), (1_709_164_800, 649, 1_709_251_200),
        (1_709_251_199, 649, 1_709_251_200), (1_709_251_200, 650, 1_711_929_600), (951_782_400, 361, 951_868_800),
        (4_107_542_399, 1561, 4_107_542_400), (1_767_225_599, 671, 1_767_225_600),
    ]

    @Test(arguments: months)
    func monthsAreTheCalendars(wall: UInt64, number: UInt64, end: UInt64) {
        let month = QuotaPeriod.month.containing(wall)
        #expect(month.number == number)
        #expect(month.end == end)
    }

    @Test func quotasSurviveARestart() throws {
        let limit = RateLimit(name: "a", requests: 5, window: .month, key: .identity)
        let check = TestLimit(limit)
        for _ in 0..<4 { #expect(check.check(key: 7, now: 0, wall: Self.noon).isWithinLimit) }
        let text = QuotaRecords(check.set).text
        let after = TestLimit(limit, quotas: try QuotaRecords(text: text))
        #expect(after.set.seed == check.set.seed)
        #expect(after.check(key: 7, now: 0, wall: Self.noon).remaining == 0)
        #expect(after.check(key: 7, now: 0, wall: Self.noon).isRefused)
        #expect(after.check(key: 6, now: 0, wall: Self.noon).remaining == 4)
        // More than before: what was counted still counts.
        var more = limit
        more.requests = 10
        let grown = TestLimit(more, quotas: QuotaRecords(after.set))
        #expect(grown.check(key: 7, now: 0, wall: Self.noon).remaining == 4)
    }

    @Test(arguments: [
        "", "weft-quotas 2 0\n", "weft-quotas 1 xyz\n", "weft-quotas 1 0\n1 2 3\n", "weft-quotas 1 0\n1 2 3 -1\n",
        "weft-quotas 1 0\n1 ffffffffff 3 4\n", "weft-quotas 1 0\n1 2 3 4 5\n", "\u{0}\u{1}",
    ])
    func aDamagedStateIsRefused(_ text: String) {
        #expect(throws: QuotaRecords.Malformed.self) { try QuotaRecords(text: text) }
    }
}
