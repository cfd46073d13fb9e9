import Mesh
import Testing

@testable import Proxy

@Suite("Rate limits of requests")
struct RouteRateLimitTests {
    private static func refusals(_ limits: [RateLimit], _ requests: [SyntheticRequest]) throws -> [UInt16] {
        var rule = HTTPRule.to("a")
        rule.rateLimits = limits
        let fixture = try RouteFixture([rule]) { snapshot in
            for (name, account) in [("web-1", "web"), ("web-2", "web"), ("job-1", "job")] {
                let name = ObjectName(namespace: "shop", name: name)
                snapshot.workloads[name] = MeshWorkload(name: name, serviceAccount: account)
            }
        }
        let set = RateLimiterSet(fixture.table.limitConfigs.map(RateLimitConfig.init), quotas: QuotaRecords())
        let limiters = WorkerLimiters(set)
        return try requests.map { request in
            try request.withView { view in
                var tightest: RateLimitVerdict?
                let refusal = fixture.table.refusal(
                    fixture.table.rules[0].limits, of: view, limiters, now: second, wall: 0, tightest: &tightest)
                return refusal?.status ?? 0
            }
        }
    }

    private static func request(_ headers: [(String, String)] = [], source: UInt64 = 0) -> SyntheticRequest {
        SyntheticRequest(host: "a", headers: headers, source: source)
    }

    @Test func classesOfServiceHaveLimitsOfTheirOwn() throws {
        func limit(_ name: String, _ requests: UInt32) -> RateLimit {
            var limit = RateLimit(
                name: name, requests: requests, window: .bucket(milliseconds: 60_000), key: .header("x-user"))
            var match = HTTPMatch()
            match.headers = [NamedMatch(name: "x-plan", value: .exact(name))]
            limit.matches = [match]
            return limit
        }
        func user(_ name: String, _ plan: String) -> SyntheticRequest {
            Self.request([("X-User", name), ("X-Plan", plan)])
        }
        let requests =
            [user("ann", "free"), user("ann", "free"), user("bob", "free")] + (0..<4).map { _ in user("cy", "paid") }
            + [user("dan", "none"), user("dan", "none")]
        #expect(try Self.refusals([limit("free", 1), limit("paid", 3)], requests) == [0, 429, 0, 0, 0, 0, 429, 0, 0])
    }

    @Test func callersAreToldApart() throws {
        let limit = RateLimit(name: "a", requests: 1, window: .bucket(milliseconds: 60_000), key: .identity)
        // By name: 1 is job-1, 2 and 3 are two workloads of one service account, 0 is nobody that is known.
        let requests = [2, 1, 3, 1, 0, 0].map { Self.request(source: $0) }
        #expect(try Self.refusals([limit], requests) == [0, 0, 429, 429, 0, 429])
    }

    @Test func theFirstThatRefusesAnswersAndShadowsDoNot() throws {
        var shadow = RateLimit(name: "shadow", requests: 0, window: .day)
        shadow.isShadow = true
        var custom = RateLimit(name: "custom", requests: 1, window: .day)
        custom.status = 503
        let second = RateLimit(name: "second", requests: 0, window: .month)
        #expect(try Self.refusals([shadow, custom, second], [Self.request(), Self.request()]) == [429, 503])
    }

    @Test func fieldsSayHowMuchIsLeft() {
        let set = RateLimiterSet(
            [
                RateLimitConfig(
                    scope: "a", limit: RateLimit(name: "a", requests: 2, window: .bucket(milliseconds: 60_000)))
            ],
            quotas: QuotaRecords())
        let limiters = WorkerLimiters(set)
        func lines() -> String {
            var scratch = Scratch()
            limiters[0].check(key: 0, now: second, wall: 0).write(into: &scratch)
            return String(scratch.bytes)
        }
        let limit = "X-RateLimit-Limit: 2, 2;w=60\r\n"
        #expect(lines() == limit + "X-RateLimit-Remaining: 1\r\nX-RateLimit-Reset: 30\r\n")
        #expect(lines() == limit + "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 60\r\n")
        #expect(lines() == limit + "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 60\r\nRetry-After: 30\r\n")
    }
}
