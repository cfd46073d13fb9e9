import Mesh
import Synchronization
import Testing

@testable import Proxy

/// What of a trace each attempt at a request is told, and what is left of it for spans.
@Suite struct AttemptTraceTests {
    private struct Entry {
        var subject: RequestLogSubject
        var trace: TraceContext
        var record: RequestRecord
        var attemptStarted: UInt64
    }

    private static let unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
    private static let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    /// Spans that servers were told, in their order.
    private final class Told: Sendable {
        private let all = Mutex<[(trace: String, span: UInt64)]>([])

        /// - Returns: how many there have been.
        func take(_ request: String) -> Int {
            let line = request.split(separator: "\r\n").first { $0.hasPrefix("traceparent: ") } ?? ""
            let parts = line.split(separator: "-")
            return all.withLock {
                if parts.count == 4 { $0.append((String(parts[1]), UInt64(parts[2], radix: 16) ?? 0)) }
                return $0.count
            }
        }

        var spans: [UInt64] { all.withLock { $0.map(\.span) } }
        var traces: Set<String> { all.withLock { Set($0.map(\.trace)) } }
    }

    private static func options(_ ratio: Double) -> ProxyOptions {
        var tracing = TracingOptions()
        tracing.ratio = ratio
        var options = ProxyOptions()
        options.tracing = tracing
        return options
    }

    private static func retry(_ rule: inout HTTPRule) {
        var retry = RetryPolicy()
        retry.conditions = [.gatewayError, .connectFailure]
        retry.attempts = 3
        retry.backoffBase = 5
        retry.backoffCap = 10
        rule.retry = retry
    }

    private static func log(_ proxy: TestProxy, of consumers: RequestConsumers = .traces) -> RequestLogQueue {
        let log = proxy.engine.requestLogs[0]
        log.set(consumers, isOn: true)
        return log
    }

    /// Waits for so many entries.
    private static func entries(_ log: RequestLogQueue, _ count: Int) -> [Entry] {
        var found: [Entry] = []
        _ = TestProxy.eventually {
            _ = log.drain { entry in
                found.append(
                    Entry(
                        subject: entry.subject, trace: entry.trace ?? TraceContext(), record: entry.record,
                        attemptStarted: entry.attemptStarted))
            }
            return found.count >= count
        }
        return found
    }

    @Test func eachAttemptIsASpanOfItsOwn() throws {
        let told = Told()
        let backend = TestBackend(answering: { told.take($0) < 3 ? Self.unavailable : Self.ok })
        let proxy = try TestProxy(to: [backend.port], options: Self.options(1), rule: Self.retry)
        let log = Self.log(proxy)
        #expect(proxy.exchange("GET /a HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").hasSuffix("ok"))
        let found = Self.entries(log, 3)
        #expect(found.map(\.subject) == [.attempt, .attempt, .request])
        #expect(found.map(\.record.status) == [503, 503, 200])
        #expect(found.map(\.record.attempts) == [1, 2, 3])
        // What is exported is what the servers were told.
        #expect(found.map(\.trace.span) == told.spans && Set(told.spans).count == 3)
        #expect(told.traces.count == 1)
        #expect(Set(found.map(\.trace.clientSpan)).count == 3)
        #expect(Set(found.map(\.trace.traceLow)).count == 1)
        #expect(found.allSatisfy { $0.trace.parent == 0 })
        // One after the other.
        #expect(found[0].attemptStarted == found[0].record.started)
        for (earlier, later) in zip(found, found.dropFirst()) {
            #expect(later.attemptStarted >= earlier.record.ended && later.record.ended >= later.attemptStarted)
        }
        // Metrics are about requests.
        #expect(proxy.requests(status: 200).count == 1 && proxy.requests(status: 503).count == 0)
        // The last of a request that is given up, and of one that nobody answers.
        proxy.publish(to: [FailureTests.deadPort()], rules: [rule()], generation: 2)
        _ = proxy.exchange("GET /a HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        let failed = Self.entries(log, 4)
        #expect(failed.map(\.subject) == [.attempt, .attempt, .attempt, .request])
        #expect(failed.map(\.record.detail).allSatisfy { $0 == .connectFailure })
        #expect(failed.map(\.record.flags).allSatisfy { $0.contains(.upstreamConnectionFailure) })
    }

    private func rule() -> HTTPRule {
        var rule = TestProxy.rule
        Self.retry(&rule)
        return rule
    }

    @Test func withoutASampleThereIsOneSpanAtMost() throws {
        let told = Told()
        let backend = TestBackend(answering: { told.take($0) < 3 ? Self.unavailable : Self.ok })
        let proxy = try TestProxy(to: [backend.port], options: Self.options(0), rule: Self.retry)
        let log = Self.log(proxy, of: [.traces, .tap])
        _ = proxy.exchange("GET /a HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        #expect(Self.entries(log, 1).map(\.subject) == [.request])
        #expect(Set(told.spans).count == 3)
    }

    @Test func mirrorsHaveSpansBesideTheRequests() throws {
        let told = Told()
        let copied = Told()
        let backend = TestBackend(answering: { request in
            _ = told.take(request)
            return Self.ok
        })
        let mirror = TestBackend(answering: { request in
            _ = copied.take(request)
            return Self.unavailable
        })
        let proxy = try TestProxy(to: [backend.port], options: Self.options(1))
        proxy.publish(to: [backend.port], mirror: mirror.port)
        let log = Self.log(proxy, of: [.traces, .tap])
        for (said, parent) in [
            ("", nil), ("traceparent: 00-\(String(repeating: "7", count: 32))-00000000000000ab-01\r\n", 0xab),
        ]
            as [(String, UInt64?)]
        {
            let answer = proxy.exchange("GET /a HTTP/1.1\r\nHost: web\r\n\(said)Connection: close\r\n\r\n")
            #expect(answer.hasSuffix("ok"))
            let found = Self.entries(log, 2)
            let request = try #require(found.first { $0.subject == .request })
            let copy = try #require(found.first { $0.subject == .mirror })
            #expect(found.count == 2)
            #expect(request.trace.span == told.spans.last && copy.trace.span == copied.spans.last)
            #expect(copy.trace.span != request.trace.span && copy.trace.traceLow == request.trace.traceLow)
            #expect(copy.trace.parent == parent ?? request.trace.span)
            #expect(copy.record.status == 503 && copy.record.started >= request.record.started)
        }
        #expect(told.traces == copied.traces)
        #expect(proxy.requests(status: 503).count == 0)
    }
}
