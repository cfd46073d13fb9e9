import Mesh
import Synchronization
import Testing

@testable import Proxy

/// What callers ask for with Envoy's request headers.
@Suite("Overrides by the request")
struct RequestOverrideTests {
    private static func rule(_ rule: RetryRule?, _ fields: [(String, String)]) throws -> RetryRule? {
        try SyntheticRequest(host: "web", headers: fields).withView { view in
            RequestOverrides(view).applied(to: rule, view.bytes)
        }
    }

    @Test func conditionsAndStatusesAreAddedAndTheNumberReplaced() throws {
        let configured = RetryTests.rule(.connectFailure, attempts: 2)
        let changed = try #require(
            try Self.rule(
                configured,
                [
                    ("X-Envoy-Retry-On", "gateway-error, retriable-status-codes,unknown,,unavailable"),
                    ("x-envoy-retry-grpc-on", "cancelled,5xx"), ("x-envoy-max-retries", "7"),
                    ("x-envoy-retriable-status-codes", "404, 7x,429,"),
                ]))
        #expect(
            changed.conditions == [.connectFailure, .gatewayError, .retriableStatusCodes, .grpcCancelled])
        #expect(changed.attempts == 7)
        for status: UInt16 in [404, 418, 429, 599] { #expect(changed.statusCodes.contains(status)) }
        #expect(!changed.statusCodes.contains(7))
        let none = try #require(try Self.rule(configured, [("x-envoy-max-retries", "0")]))
        #expect(none.attempts == 0 && none.conditions == configured.conditions)
        let wrong = try #require(try Self.rule(configured, [("x-envoy-max-retries", "-1")]))
        #expect(wrong.attempts == 2)
    }

    @Test func withoutARuleThereIsOneRetryIfConditionsAreNamed() throws {
        #expect(try Self.rule(nil, [("x-envoy-max-retries", "3")]) == nil)
        #expect(try Self.rule(nil, [("x-envoy-retry-on", "nothing-known")]) == nil)
        let changed = try #require(try Self.rule(nil, [("x-envoy-retry-on", "5xx")]))
        #expect(changed.attempts == 1 && changed.conditions == .serverError)
    }

    @Test(
        arguments: [
            ("150", 150), ("0", 0), ("4294967295", 4_294_967_295), ("4294967296", nil), ("1.5", nil), ("", nil),
            ("-1", nil),
        ] as [(String, UInt32?)])
    func timeoutsAreWholeMilliseconds(text: String, milliseconds: UInt32?) throws {
        let fields = [("X-Envoy-Upstream-Rq-Timeout-Ms", text), ("x-envoy-upstream-rq-per-try-timeout-ms", text)]
        let overrides = try SyntheticRequest(host: "web", headers: fields).withView { RequestOverrides($0) }
        #expect(overrides.timeout == milliseconds && overrides.perTryTimeout == milliseconds)
        #expect(!overrides.changesRetries)
    }

    // MARK: - Over sockets

    /// Answers a request's connection with the answers in turn, the last one for ever, and keeps what was asked.
    private final class Script: Sendable {
        private let state: Mutex<(answers: [String], requests: [String])>

        init(_ answers: String...) { state = Mutex((answers, [])) }

        func answer(_ request: String) -> String {
            state.withLock { state in
                state.requests.append(request)
                return state.answers.count > 1 ? state.answers.removeFirst() : state.answers[0]
            }
        }

        var requests: [String] { state.withLock(\.requests) }
    }

    private static func answer(_ status: String, _ fields: String = "") -> String {
        "HTTP/1.1 \(status)\r\n\(fields)Content-Length: 0\r\n\r\n"
    }

    /// What a workload of the mesh, and what a stranger to it gets; and what the backend was asked by each.
    private static func ask(
        _ fields: String, answers: [String], rule: (inout HTTPRule) -> Void = { _ in }
    ) throws -> [(status: Substring, requests: [String])] {
        try [PolicyProxy.client, nil].map { caller in
            let script = answers.count == 1 ? Script(answers[0]) : Script(answers[0], answers[1])
            let backend = TestBackend(answering: script.answer)
            let proxy = try PolicyProxy([], to: [backend.port], rule: rule)
            proxy.become(caller)
            let answer = proxy.get("/", fields)
            return (answer.dropFirst(9).prefix(3), script.requests)
        }
    }

    @Test(arguments: [
        ("X-Envoy-Retry-On: 5xx\r\n", "503 Service Unavailable", ""),
        ("x-envoy-retry-on: retriable-status-codes\r\nx-envoy-retriable-status-codes: 418\r\n", "418 Teapot", ""),
        (
            "x-envoy-retry-on: retriable-headers\r\nX-Envoy-Retriable-Header-Names: x-other, X-Again\r\n",
            "200 Not Yet",
            "x-again: 1\r\n"
        ),
        ("x-envoy-retry-grpc-on: unavailable\r\n", "200 OK", "grpc-status: 14\r\n"),
    ])
    func onlyAWorkloadOfTheMeshMayAskForRetries(fields: String, status: String, marks: String) throws {
        let got = try Self.ask(fields, answers: [Self.answer(status, marks), Self.answer("204 No Content")])
        #expect(got[0].status == "204" && got[0].requests.count == 2)
        #expect(got[1].status == status.prefix(3) && got[1].requests.count == 1)
        for request in got.flatMap(\.requests) { #expect(!request.lowercased().contains("x-envoy-ret")) }
    }

    @Test func theCallersNumberOfRetriesReplacesTheRules() throws {
        let got = try Self.ask("x-envoy-max-retries: 0\r\n", answers: [Self.answer("503 Unavailable")]) { rule in
            var retry = RetryPolicy()
            (retry.attempts, retry.conditions, retry.backoffBase) = (2, .serverError, 1)
            rule.retry = retry
        }
        #expect(got.map(\.requests.count) == [1, 3])
    }

    @Test func anAnswerWithAFieldThatTheRuleNamesIsTriedAgain() throws {
        let got = try Self.ask("", answers: [Self.answer("200 OK", "X-Again: 1\r\n"), Self.answer("204 No Content")]) {
            var retry = RetryPolicy()
            (retry.conditions, retry.headerNames) = (.retriableHeaders, ["X-Again"])
            $0.retry = retry
        }
        #expect(got.map(\.status) == ["204", "204"])
    }

    @Test func aWorkloadOfTheMeshSaysHowLongItWaits() throws {
        let backend = try FaultyBackend(.slow(400))
        defer { backend.kill() }
        let proxy = try PolicyProxy([], to: [backend.port]) { $0.timeouts.request = 5_000 }
        let short = "x-envoy-upstream-rq-timeout-ms: 100\r\n"
        #expect(proxy.get("/", short).contains("x-weft-reason: response_timeout"))
        let perTry = proxy.get("/", "x-envoy-upstream-rq-per-try-timeout-ms: 100\r\n")
        #expect(perTry.hasPrefix("HTTP/1.1 504 ") && perTry.contains("x-weft-reason: upstream_per_try_timeout"))
        proxy.become(nil)
        #expect(proxy.get("/", short).hasPrefix("HTTP/1.1 200 "))
    }

    @Test func aLongerTimeIsTheCallersToAskForToo() throws {
        let backend = try FaultyBackend(.slow(300))
        defer { backend.kill() }
        let proxy = try PolicyProxy([], to: [backend.port]) { $0.timeouts.request = 100 }
        #expect(proxy.get("/", "x-envoy-upstream-rq-timeout-ms: 3000\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(proxy.get("/", "x-envoy-upstream-rq-timeout-ms: 0\r\n").hasPrefix("HTTP/1.1 200 "))
        #expect(proxy.get().hasPrefix("HTTP/1.1 504 "))
        proxy.become(nil)
        #expect(proxy.get("/", "x-envoy-upstream-rq-timeout-ms: 3000\r\n").hasPrefix("HTTP/1.1 504 "))
    }
}

/// Faults that callers ask for.
@Suite("Faults by the request")
struct RequestedFaultTests {
    private static func applied(
        _ fields: [(String, String)], delay: UInt32? = nil, abort: UInt16? = nil, parts: UInt32 = 500_000
    ) throws -> RouteFault {
        var fault = RouteFault()
        (fault.delaysByRequest, fault.abortsByRequest) = (delay == nil, abort == nil)
        (fault.delay, fault.abortStatus) = (delay ?? 0, abort ?? 0)
        (fault.delayPartsPerMillion, fault.abortPartsPerMillion) = (parts, parts)
        return try SyntheticRequest(host: "web", headers: fields).withView { RequestedFault($0).applied(to: fault) }
    }

    @Test func theRequestSaysWhichAndHowOften() throws {
        let fault = try Self.applied([
            ("X-Envoy-Fault-Delay-Request", "150"), ("x-envoy-fault-delay-request-percentage", "10"),
            ("x-envoy-fault-abort-request", "503"), ("x-envoy-fault-abort-request-percentage", "70"),
        ])
        #expect(fault.delay == 150 && fault.delayPartsPerMillion == 100_000)
        // The rule's share is the most.
        #expect(fault.abortStatus == 503 && fault.abortPartsPerMillion == 500_000)
    }

    @Test func whatTheRuleSaysItselfStays() throws {
        let fault = try Self.applied(
            [
                ("x-envoy-fault-delay-request", "150"), ("x-envoy-fault-abort-request", "503"),
                ("x-envoy-fault-abort-request-percentage", "0"),
            ], delay: 5, abort: 418)
        #expect(fault.delay == 5 && fault.abortStatus == 418 && fault.abortPartsPerMillion == 500_000)
    }

    @Test(arguments: ["199", "600", "abc", "-1", ""])
    func whatIsNoStatusAbortsNothing(status: String) throws {
        let fault = try Self.applied([("x-envoy-fault-abort-request", status)])
        #expect(fault.abortPartsPerMillion == 0)
    }

    @Test(
        arguments: [
            ("64", nil, 64, 500_000), ("64", "10", 64, 100_000), ("64", "70", 64, 500_000), ("64", "0", 64, 0),
            ("0", nil, 0, 500_000), ("fast", nil, 0, 500_000), (nil, "10", 0, 100_000),
        ] as [(String?, String?, UInt32, UInt32)])
    func theRequestSaysHowFast(rate: String?, percent: String?, limit: UInt32, parts: UInt32) throws {
        var fields: [(String, String)] = []
        if let rate { fields.append(("X-Envoy-Fault-Throughput-Response", rate)) }
        if let percent { fields.append(("x-envoy-fault-throughput-response-percentage", percent)) }
        for isByRequest in [true, false] {
            var fault = RouteFault()
            (fault.responseRate, fault.limitsRateByRequest, fault.ratePartsPerMillion) = (7, isByRequest, 500_000)
            let applied = try SyntheticRequest(host: "web", headers: fields).withView {
                RequestedFault($0).applied(to: fault)
            }
            #expect(applied.responseRate == (isByRequest ? limit : 7))
            #expect(applied.ratePartsPerMillion == (isByRequest ? parts : 500_000))
        }
    }

    /// https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/fault_filter
    @Test(arguments: [false, true])
    func aResponseIsAsSlowAsTheRequestWantsIt(isChunked: Bool) throws {
        let body = String(decoding: (0..<40_000).map { UInt8(97 + $0 % 23) }, as: UTF8.self)
        let whole =
            isChunked
            ? "Transfer-Encoding: chunked\r\n\r\n9C40\r\n\(body)\r\n0\r\n\r\n" : "Content-Length: 40000\r\n\r\n\(body)"
        let backend = TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\n\(whole)" })
        func get(_ proxy: PolicyProxy, _ fields: String = "") -> (answer: String, time: Duration) {
            var answer = ""
            let time = ContinuousClock().measure {
                answer = proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\n\(fields)Connection: close\r\n\r\n")
            }
            #expect(answer.hasSuffix(isChunked ? "\(body)\r\n0\r\n\r\n" : body))
            return (answer, time)
        }
        let open = try PolicyProxy([], to: [backend.port]) {
            $0.fault = HTTPFault(responseRateLimit: .init(kibibytesPerSecond: nil))
        }
        // 39 KiB, of which a sixteenth of a second's are free.
        let slow = get(open, "x-envoy-fault-throughput-response: 64\r\n")
        #expect(slow.time > .milliseconds(500), "\(slow.time)")
        let quick = get(open, "x-envoy-fault-throughput-response: 100000\r\n").time
        let spared = "x-envoy-fault-throughput-response: 64\r\nx-envoy-fault-throughput-response-percentage: 0\r\n"
        for time in [get(open).time, get(open, spared).time, quick] { #expect(time < slow.time / 2, "\(time)") }
        #expect(open.engine.statistics.reduce(0) { $0 + $1.value(.faultsInjected) } == 2)
        // Where the rule does not say so, the field means nothing.
        let closed = try PolicyProxy([], to: [backend.port]) {
            $0.fault = HTTPFault(delay: .init(milliseconds: nil), abort: .init(status: nil))
        }
        #expect(get(closed, "x-envoy-fault-throughput-response: 64\r\n").time < slow.time / 2)
        // A deadline ends it as it ends others.
        let late = try PolicyProxy([], to: [backend.port]) {
            $0.fault = HTTPFault(responseRateLimit: .init(kibibytesPerSecond: 8))
            $0.timeouts.request = 300
        }
        let cut = late.exchange("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        #expect(cut.hasPrefix("HTTP/1.1 200 OK") && cut.utf8.count < 10_000)
    }

    @Test func onlyAWorkloadOfTheMeshMayAskForFaults() throws {
        let backend = TestBackend(answering: { _ in "HTTP/1.1 204 No Content\r\n\r\n" })
        let proxy = try PolicyProxy([], to: [backend.port]) { $0.fault = HTTPFault(abort: .init(status: nil)) }
        let wish = "x-envoy-fault-abort-request: 418\r\n"
        #expect(proxy.get("/", wish).hasPrefix("HTTP/1.1 418 "))
        proxy.become(nil)
        #expect(proxy.get("/", wish).hasPrefix("HTTP/1.1 204 "))
    }

    @Test func aThrottleGivesNoMoreThanItsRate() {
        var throttle = ResponseThrottle(kibibytesPerSecond: 16)
        #expect(throttle.isOn && !ResponseThrottle().isOn && !ResponseThrottle(kibibytesPerSecond: 0).isOn)
        var now: UInt64 = 5_000_000_000
        // A sixteenth of a second's at once, and then one after the other.
        #expect(throttle.permits(100_000, now: now) == 1024)
        throttle.spend(1024)
        #expect(throttle.permits(100_000, now: now) == 0 && throttle.delay(of: 100_000) == 62_500_000)
        #expect(throttle.permits(10, now: now + 600_000) == 0)
        #expect(throttle.permits(10, now: now + 620_000) == 10)
        var sent = 0
        for step in 0..<10_000 {
            now += UInt64(step % 7) * 333_333
            let count = throttle.permits(100_000, now: now)
            throttle.spend(count)
            sent += count
        }
        let seconds = Double(now - 5_000_000_000) / 1e9
        #expect(Double(sent) <= 16384 * seconds && Double(sent) >= 16384 * seconds - 2048)
        // What was not used is kept for a second.
        #expect(throttle.permits(100_000, now: now + 10_000_000_000) == 16384)
        // No rate overflows.
        var fastest = ResponseThrottle(kibibytesPerSecond: .max)
        _ = fastest.permits(1, now: 1)
        #expect(fastest.permits(.max, now: 1_000_000_000) > 1 << 32)
    }

    @Test func aRequestIsAbortedAndDelayedOnlyWhereTheRuleLetsIt() throws {
        let backend = TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" })
        func get(_ proxy: PolicyProxy, _ fields: String) -> String {
            proxy.exchange("GET / HTTP/1.1\r\nHost: web\r\n\(fields)Connection: close\r\n\r\n")
        }
        let open = try PolicyProxy([], to: [backend.port]) {
            $0.fault = HTTPFault(delay: .init(milliseconds: nil), abort: .init(status: nil))
        }
        #expect(get(open, "").hasPrefix("HTTP/1.1 200 "))
        let aborted = get(open, "x-envoy-fault-abort-request: 429\r\n")
        #expect(aborted.hasPrefix("HTTP/1.1 429 ") && aborted.contains("x-weft-reason: fault_filter_abort"))
        #expect(get(open, "x-envoy-fault-abort-grpc-request: 14\r\n").contains("grpc-status: 14\r\n"))
        let spared = "x-envoy-fault-abort-request: 429\r\nx-envoy-fault-abort-request-percentage: 0\r\n"
        #expect(get(open, spared).hasPrefix("HTTP/1.1 200 "))
        let clock = ContinuousClock()
        let taken = clock.measure {
            #expect(get(open, "x-envoy-fault-delay-request: 200\r\n").hasPrefix("HTTP/1.1 200 "))
        }
        // The clock of delays counts milliseconds.
        #expect(taken >= .milliseconds(199))
        let closed = try PolicyProxy([], to: [backend.port]) {
            $0.fault = HTTPFault(delay: .init(milliseconds: 1, partsPerMillion: 0))
        }
        #expect(get(closed, "x-envoy-fault-abort-request: 429\r\n").hasPrefix("HTTP/1.1 200 "))
    }
}
