import CAllocations
import Mesh
import Proxy
import Testing

/// In steady state a worker allocates nothing for a request.
@Suite(.serialized) struct AllocationTests {
    @Test func tenThousandRequestsAllocateNothing() throws {
        let backend = TestBackend(answering: { _ in
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
        })
        var options = ProxyOptions()
        options.threadName = "alloc"
        let proxy = try TestProxy(to: [backend.port, backend.port], options: options) { rule in
            rule.requestHeaders = HeaderModification(set: [.init(name: "X-Via", value: "weft")], remove: ["x-not"])
            rule.timeouts = HTTPTimeouts(request: 5_000, backendRequest: 2_000)
            var retry = RetryPolicy()
            retry.conditions = [.gatewayError]
            rule.retry = retry
            var match = HTTPMatch()
            match.path = .prefix("/a")
            rule.matches = [match]
        }
        let clients = [proxy.connect(), proxy.connect()]
        func serve(_ count: Int) {
            for number in 0..<count {
                let client = clients[number & 1]
                client.send("GET /a/b?c HTTP/1.1\r\nHost: Web\r\nUser-Agent: test\r\nAccept: */*\r\nX-Not: 1\r\n\r\n")
                _ = client.receive(until: "ok")
            }
        }
        serve(500)
        let before = unsafe weft_allocations_of_thread("alloc-0")
        #expect(before >= 0)
        serve(10_000)
        #expect(unsafe weft_allocations_of_thread("alloc-0") - before == 0)
        #expect(TestProxy.eventually { proxy.requests(status: 200).count == 10_500 })
        #expect(backend.connections <= 2)
    }
}
