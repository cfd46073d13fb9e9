import CAllocations
import Mesh
import Proxy
import Testing

/// In steady state a worker allocates nothing for a request.
@Suite(.serialized) struct AllocationTests {
    /// With the access log, spans and a tap as well as without.
    @Test(arguments: [false, true]) func tenThousandRequestsAllocateNothing(isWatched: Bool) throws {
        let backend = TestBackend(answering: { _ in
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
        })
        var options = ProxyOptions()
        options.threadName = isWatched ? "watched" : "alloc"
        // On a busy machine all of it takes longer than a connection may be idle.
        options.upstreamIdleTimeout = 600_000
        if isWatched {
            var tracing = TracingOptions()
            tracing.ratio = 0.5
            tracing.formats = [.w3c, .b3, .b3Multi]
            options.tracing = tracing
        }
        let proxy = try TestProxy(to: [backend.port, backend.port], options: options) { rule in
            rule.requestHeaders = HeaderModification(set: [.init(name: "X-Via", value: "weft")], remove: ["x-not"])
            rule.timeouts = HTTPTimeouts(request: 60_000, backendRequest: 30_000)
            var retry = RetryPolicy()
            retry.conditions = [.gatewayError]
            rule.retry = retry
            var match = HTTPMatch()
            match.path = .prefix("/a")
            rule.matches = [match]
        }
        let log = proxy.engine.requestLogs[0]
        if isWatched {
            log.set(.all)
            log.set([.traces, .tap], isOn: true)
        }
        let trace = """
            traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r
            tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\r
            b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90\r

            """
        var entries = 0
        let clients = [proxy.connect(), proxy.connect()]
        func serve(_ count: Int) {
            for number in 0..<count {
                let client = clients[number & 1]
                client.send(
                    "GET /a/b?c HTTP/1.1\r\nHost: Web\r\nUser-Agent: test\r\nAccept: */*\r\nX-Not: 1\r\n"
                        + (number & 2 == 0 ? trace : "") + "\r\n")
                _ = client.receive(until: "ok")
                entries += log.drain { _ in }
            }
        }
        serve(500)
        let before = unsafe weft_allocations_of_thread("\(options.threadName)-0")
        #expect(before >= 0)
        serve(10_000)
        #expect(unsafe weft_allocations_of_thread("\(options.threadName)-0") - before == 0)
        #expect(TestProxy.eventually { proxy.requests(status: 200).count == 10_500 })
        #expect(backend.connections <= 2)
        entries += log.drain { _ in }
        #expect(entries == (isWatched ? 10_500 : 0) && log.lost([.accessLog, .traces, .tap]) == 0)
    }
}
