import Mesh
import Synchronization
import Testing

@testable import Proxy

@Suite("Retries")
struct RetryTests {
    static func rule(_ conditions: RetryPolicy.Conditions, attempts: UInt32 = 2) -> RetryRule {
        var policy = RetryPolicy()
        policy.conditions = conditions
        policy.attempts = attempts
        policy.statusCodes = [418, 599]
        return RetryRule(policy)
    }

    struct Case: Sendable {
        var conditions: RetryPolicy.Conditions
        var failure: AttemptFailure
        var isNamed: Bool

        init(_ conditions: RetryPolicy.Conditions, _ failure: AttemptFailure, _ isNamed: Bool) {
            self.conditions = conditions
            self.failure = failure
            self.isNamed = isNamed
        }
    }

    static func grpc(_ status: UInt8) -> AttemptFailure {
        var failure = AttemptFailure(status: 200)
        failure.grpcStatus = status
        return failure
    }

    static let limited: AttemptFailure = {
        var failure = AttemptFailure(status: 503)
        failure.isRateLimited = true
        return failure
    }()

    static let marked: AttemptFailure = {
        var failure = AttemptFailure(status: 200)
        failure.hasRetriableHeader = true
        return failure
    }()

    static let cases: [Case] = [
        Case(.serverError, AttemptFailure(status: 500), true), Case(.serverError, AttemptFailure(status: 599), true),
        Case(.serverError, AttemptFailure(status: 499), false), Case(.serverError, AttemptFailure(.reset), true),
        Case(.serverError, AttemptFailure(.connectFailure), true),
        Case(.serverError, AttemptFailure(.perTryTimeout), true),
        Case(.serverError, AttemptFailure(.overallTimeout), false),
        Case(.serverError, AttemptFailure(.cancelled), false),
        Case(.gatewayError, AttemptFailure(status: 500), false),
        Case(.gatewayError, AttemptFailure(status: 501), false), Case(.gatewayError, AttemptFailure(status: 502), true),
        Case(.gatewayError, AttemptFailure(status: 503), true), Case(.gatewayError, AttemptFailure(status: 504), true),
        Case(.gatewayError, AttemptFailure(status: 505), false), Case(.gatewayError, AttemptFailure(.reset), true),
        Case(.reset, AttemptFailure(.reset), true), Case(.reset, AttemptFailure(.perTryTimeout), true),
        Case(.reset, AttemptFailure(status: 503), false),
        Case(.resetBeforeRequest, AttemptFailure(.resetBeforeRequest), true),
        Case(.resetBeforeRequest, AttemptFailure(.reset), false),
        Case(.connectFailure, AttemptFailure(.connectFailure), true),
        Case(.connectFailure, AttemptFailure(.connectTimeout), true),
        Case(.connectFailure, AttemptFailure(.reset), false),
        Case(.connectFailure, AttemptFailure(status: 503), false),
        Case(.refusedStream, AttemptFailure(.refusedStream), true),
        Case(.refusedStream, AttemptFailure(.connectFailure), false),
        Case(.retriable4xx, AttemptFailure(status: 409), true),
        Case(.retriable4xx, AttemptFailure(status: 404), false),
        Case(.retriableStatusCodes, AttemptFailure(status: 418), true),
        Case(.retriableStatusCodes, AttemptFailure(status: 599), true),
        Case(.retriableStatusCodes, AttemptFailure(status: 503), false),
        Case(.retriableStatusCodes, AttemptFailure(status: 999), false),
        Case(.retriableHeaders, marked, true), Case(.serverError, marked, false),
        Case(.rateLimited, limited, true), Case(.serverError, limited, false),
        Case(.grpcCancelled, grpc(1), true), Case(.grpcDeadlineExceeded, grpc(4), true),
        Case(.grpcResourceExhausted, grpc(8), true), Case(.grpcInternal, grpc(13), true),
        Case(.grpcUnavailable, grpc(14), true), Case(.grpcUnavailable, grpc(13), false),
        Case(.grpcUnavailable, grpc(0), false), Case([], AttemptFailure(.connectFailure), false),
    ]

    @Test(arguments: cases)
    func conditionsMeanWhatEnvoySays(_ test: Case) {
        #expect(Self.rule(test.conditions).names(test.failure) == test.isNamed)
    }

    private static func decide(
        _ state: inout RetryState, _ failure: AttemptFailure, rule: RetryRule?, cluster: borrowing ClusterState,
        canReplay: Bool = true, isIdempotent: Bool = true, responseStarted: Bool = false, deadline: UInt64 = .max,
        random: UInt64 = .max, now: UInt64 = 1000 * second
    ) -> RetryDecision {
        state.decide(
            failure, rule: rule, cluster: cluster, canReplay: canReplay, isIdempotent: isIdempotent,
            responseStarted: responseStarted, deadline: deadline, random: random, now: now)
    }

    @Test func stopsWhenTheAttemptsAreUsed() {
        let cluster = TestCluster(.test(endpoints: 1))
        var state = RetryState()
        let failure = AttemptFailure(status: 503)
        for _ in 0..<2 {
            guard case .retry = Self.decide(&state, failure, rule: Self.rule(.serverError), cluster: cluster.workers[0])
            else {
                Issue.record("no retry")
                return
            }
        }
        let last = Self.decide(&state, failure, rule: Self.rule(.serverError), cluster: cluster.workers[0])
        #expect(last == .stop(.attemptsUsed))
        #expect(state.retries == 2)
        #expect(cluster.workers[0].shared.value.gauges.retries.load(ordering: .relaxed) == 0)
    }

    @Test func stopsForGoodReasons() {
        let cluster = TestCluster(.test(endpoints: 1))
        let rule = Self.rule([.serverError, .reset])
        let failure = AttemptFailure(status: 503)
        var state = RetryState()
        let started = Self.decide(&state, failure, rule: rule, cluster: cluster.workers[0], responseStarted: true)
        #expect(started == .stop(.responseStarted))
        let gone = Self.decide(&state, failure, rule: rule, cluster: cluster.workers[0], canReplay: false)
        #expect(gone == .stop(.bodyGone))
        let none = Self.decide(&state, failure, rule: nil, cluster: cluster.workers[0])
        #expect(none == .stop(.notRetriable))
        // The back-off is 25 ms at most, the deadline in 20.
        let late = Self.decide(
            &state, failure, rule: rule, cluster: cluster.workers[0], deadline: 1000 * second + 20 * millisecond)
        #expect(late == .stop(.deadline))
        #expect(state.retries == 0)
    }

    @Test func aClosedIdleConnectionIsReplayedOnceWithoutPolicy() {
        let cluster = TestCluster(.test(endpoints: 1))
        var failure = AttemptFailure(.reset)
        failure.wasReused = true
        var state = RetryState()
        let post = Self.decide(&state, failure, rule: nil, cluster: cluster.workers[0], isIdempotent: false)
        #expect(post == .stop(.notRetriable))
        #expect(Self.decide(&state, failure, rule: nil, cluster: cluster.workers[0]) == .retry(after: 0))
        #expect(Self.decide(&state, failure, rule: nil, cluster: cluster.workers[0]) == .stop(.notRetriable))
        // Nothing of it was written: safe for every method.
        failure.kind = .resetBeforeRequest
        state = RetryState()
        let unwritten = Self.decide(&state, failure, rule: nil, cluster: cluster.workers[0], isIdempotent: false)
        #expect(unwritten == .retry(after: 0))
    }

    @Test func retryAfterPutsTheRetryOff() {
        let cluster = TestCluster(.test(endpoints: 1))
        var policy = RetryPolicy()
        policy.conditions = .serverError
        policy.honorsRetryAfter = true
        var failure = AttemptFailure(status: 503)
        failure.retryAfter = 2
        var state = RetryState()
        let decision = Self.decide(&state, failure, rule: RetryRule(policy), cluster: cluster.workers[0])
        #expect(decision == .retry(after: 2 * second))
    }

    // MARK: - Back-off

    @Test(arguments: [(1, 25), (2, 75), (3, 175), (4, 250), (30, 250)] as [(UInt32, UInt64)])
    func envoysBackoffIsFullyJittered(retry: UInt32, longest: UInt64) {
        let backoff = RetryBackoff(base: 25 * millisecond, cap: 250 * millisecond, isMinimum: false)
        #expect(backoff.delay(retry: retry, random: 0) == 0)
        let most = backoff.delay(retry: retry, random: .max)
        #expect(most < longest * millisecond && most >= longest * millisecond - 1)
        var random = RandomBits(seed: 1)
        let mean =
            (0..<10_000).map { _ in Double(backoff.delay(retry: retry, random: random.next())) }.reduce(0, +) / 1e4
        #expect(abs(mean / Double(longest * millisecond) - 0.5) < 0.015)
    }

    @Test(arguments: 1...6 as ClosedRange<UInt32>)
    func theGatewayAPIsBackoffIsAMinimum(retry: UInt32) {
        let backoff = RetryBackoff(base: second, cap: 250 * millisecond, isMinimum: true)
        #expect(backoff.delay(retry: retry, random: 0) == second)
        #expect(backoff.delay(retry: retry, random: .max) <= 2 * second)
    }

    @Test func absurdBackoffsDoNotOverflow() {
        let backoff = RetryBackoff(base: .max / 4, cap: .max / 2, isMinimum: false)
        #expect(backoff.delay(retry: .max, random: .max) < UInt64.max / 2)
    }

    // MARK: - Timeouts

    @Test func aPerTryTimeoutAsLongAsTheRequestsIsNone() {
        var policy = RetryPolicy()
        policy.perTryTimeout = 100
        let rule = RetryRule(policy)
        let state = RetryState()
        #expect(state.perTryTimeout(rule: rule, backendRequest: nil, deadline: .max, now: 0) == 100 * millisecond)
        #expect(state.perTryTimeout(rule: rule, backendRequest: nil, deadline: 100 * millisecond, now: 0) == nil)
        #expect(state.perTryTimeout(rule: nil, backendRequest: 50, deadline: .max, now: 0) == 50)
        #expect(state.perTryTimeout(rule: nil, backendRequest: nil, deadline: .max, now: 0) == nil)
    }
}
