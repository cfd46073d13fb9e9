import Glibc
import Mesh
import Proxy
import Synchronization
import Testing

/// What requests go through when backends fail, are slow, or clients are.
@Suite struct FailureTests {
    private static let request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
    private static let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    /// A port at which nothing listens.
    static func deadPort() -> UInt16 {
        let (descriptor, port) = listen()
        close(descriptor)
        return port
    }

    private static func retries(_ conditions: RetryPolicy.Conditions, attempts: UInt32 = 2) -> RetryPolicy {
        var policy = RetryPolicy()
        policy.conditions = conditions
        policy.attempts = attempts
        policy.backoffBase = 5
        policy.backoffCap = 10
        return policy
    }

    @Test func aRefusedConnectionIs503() throws {
        let proxy = try TestProxy(to: [Self.deadPort()])
        let answer = proxy.exchange(Self.request)
        #expect(answer.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
        #expect(answer.contains("x-weft-reason: upstream_connect_failure\r\n"))
        #expect(proxy.requests(status: 503).flags == .upstreamConnectionFailure)
    }

    /// With no load at all a limit of one connection is not in the way of requests to another endpoint.
    @Test func idleConnectionsGiveWay() throws {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        let first = TestBackend(answering: { _ in answer })
        let second = TestBackend(answering: { _ in answer })
        var traffic = HTTPTraffic()
        traffic.limits.maxConnections = 1
        let proxy = try TestProxy(to: [first.port, second.port], traffic: traffic)
        for _ in 0..<20 { #expect(proxy.exchange(Self.request).hasSuffix("ok")) }
        #expect(proxy.requests(status: 200).count == 20)
    }

    @Test func requestsWaitForAConnection() throws {
        let backend = TestBackend(answering: { _ in
            usleep(20_000)
            return Self.ok
        })
        var traffic = HTTPTraffic()
        traffic.limits.maxConnections = 1
        traffic.limits.maxPendingRequests = 4
        let proxy = try TestProxy(to: [backend.port], traffic: traffic)
        let clients = (0..<4).map { _ in proxy.connect() }
        for client in clients { client.send(Self.request) }
        for client in clients { #expect(client.receiveAll().hasSuffix("ok")) }
        #expect(proxy.counter(.upstreamOpened) == 1)
    }

    /// Nobody looks by itself within the test: a connection that becomes free, or whose place does, wakes who waits for it.
    @Test(arguments: ["keep-alive", "close"])
    func whoWaitsForAConnectionIsWokenByItsRelease(_ backendConnection: String) throws {
        let backend = TestBackend(answering: { _ in
            usleep(2_000)
            return "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: \(backendConnection)\r\n\r\nok"
        })
        var traffic = HTTPTraffic()
        traffic.limits.maxConnections = 1
        traffic.limits.maxPendingRequests = 16
        var options = ProxyOptions()
        options.endpointPoll = 600_000
        let proxy = try TestProxy(to: [backend.port], options: options, traffic: traffic)
        for _ in 0..<3 {
            let clients = (0..<8).map { _ in proxy.connect() }
            for client in clients { client.send(Self.request) }
            for client in clients { #expect(client.receiveAll().hasSuffix("ok")) }
        }
        // One that gives up leaves the others their turn.
        var clients: [TestSocket?] = (0..<6).map { _ in proxy.connect() }
        for client in clients { client?.send(Self.request) }
        clients[3] = nil
        for client in clients { #expect(client?.receiveAll().hasSuffix("ok") != false) }
    }

    @Test func retryReconnectErrors() throws {
        let backend = TestBackend(answering: { _ in Self.ok })
        let proxy = try TestProxy(to: [Self.deadPort(), backend.port]) { $0.retry = Self.retries(.connectFailure) }
        for _ in 0..<20 { #expect(proxy.exchange(Self.request).hasSuffix("ok")) }
        #expect(proxy.requests(status: 200).count == 20)
    }

    @Test func noEndpointsAre503() throws {
        let proxy = try TestProxy(to: [])
        #expect(proxy.exchange(Self.request).contains("x-weft-reason: no_healthy_upstream\r\n"))
        #expect(proxy.requests(status: 503).flags == .noHealthyUpstream)
    }

    @Test func statusesAreRetriedUpToTheLimit() throws {
        let served = Atomic<Int>(0)
        let backend = TestBackend(answering: { _ in
            let number = served.wrappingAdd(1, ordering: .relaxed).newValue
            return number % 3 == 0 ? Self.ok : "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
        })
        let proxy = try TestProxy(to: [backend.port]) { $0.retry = Self.retries(.gatewayError) }
        #expect(proxy.exchange(Self.request).hasSuffix("ok"))
        #expect(served.load(ordering: .relaxed) == 3)
        // The body goes again, too.
        let bodies = Mutex<[String]>([])
        let echo = TestBackend(answering: { request in
            let count = bodies.withLock {
                $0.append(String(request.suffix(4)))
                return $0.count
            }
            return count == 2 ? Self.ok : "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
        })
        let other = try TestProxy(to: [echo.port]) { $0.retry = Self.retries(.gatewayError) }
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
        #expect(other.exchange(post).hasSuffix("ok"))
        #expect(bodies.withLock { $0 } == ["body", "body"])
    }

    @Test func theLastAnswerIsPassedOnWhenRetriesAreUsedUp() throws {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nmine"
        let backend = TestBackend(answering: { _ in answer })
        let proxy = try TestProxy(to: [backend.port]) { $0.retry = Self.retries(.serverError) }
        #expect(proxy.exchange(Self.request).hasSuffix("mine"))
        #expect(proxy.requests(status: 503).flags == .retryLimitExceeded)
        #expect(proxy.counter(.retries) == 2)
    }

    @Test func aRequestTimeoutIs504AndNotRetried() throws {
        let backend = TestBackend { socket, _ in
            _ = readRequest(socket)
            sleep(2)
        }
        let proxy = try TestProxy(to: [backend.port]) {
            $0.timeouts = HTTPTimeouts(request: 100)
            $0.retry = Self.retries(.gatewayError)
        }
        let answer = proxy.exchange(Self.request)
        #expect(answer.hasPrefix("HTTP/1.1 504 Gateway Timeout\r\n"))
        #expect(answer.contains("x-weft-reason: response_timeout\r\n"))
        #expect(proxy.requests(status: 504).flags == .upstreamTimeout)
        #expect(backend.connections == 1)
    }

    @Test func aPerTryTimeoutIsRetried() throws {
        let backend = TestBackend { socket, number in
            _ = readRequest(socket)
            if number == 0 { sleep(2) }
            socket.send(Self.ok)
        }
        let proxy = try TestProxy(to: [backend.port]) {
            $0.timeouts = HTTPTimeouts(request: 3_000, backendRequest: 100)
            $0.retry = Self.retries(.gatewayError)
        }
        #expect(proxy.exchange(Self.request).hasSuffix("ok"))
        #expect(backend.connections == 2)
    }

    /// A pooled connection that the backend closes just as it is used (RFC 9112 section 9.3.1).
    @Test func aRequestThatCrossesAnIdleCloseIsSentAgain() throws {
        let backend = TestBackend { socket, number in
            guard readRequest(socket) != nil else { return }
            socket.send(Self.ok)
            // It takes the second request and ends without an answer.
            if number == 0 {
                _ = socket.receive(until: "\r\n\r\n")
                return
            }
            while readRequest(socket) != nil { socket.send(Self.ok) }
        }
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        for _ in 0..<3 {
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            #expect(client.receive(until: "ok").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func aSlowHeadIs408() throws {
        var options = ProxyOptions()
        options.headTimeout = 200
        let proxy = try TestProxy(to: [1], options: options)
        let client = proxy.connect()
        client.send("GET / HTTP/1.1\r\nHost:")
        #expect(client.receiveAll().hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
        // Nothing at all is no request.
        #expect(proxy.connect().receiveAll() == "")
    }

    @Test func faultsAreInjected() throws {
        let backend = TestBackend(answering: { _ in Self.ok })
        let aborting = try TestProxy(to: [backend.port]) { $0.fault = HTTPFault(abort: .init(status: 418)) }
        #expect(aborting.exchange(Self.request).hasPrefix("HTTP/1.1 418 "))
        #expect(aborting.requests(status: 418).flags == .faultInjected)
        let delaying = try TestProxy(to: [backend.port]) { $0.fault = HTTPFault(delay: .init(milliseconds: 150)) }
        let clock = ContinuousClock()
        let started = clock.now
        #expect(delaying.exchange(Self.request).hasSuffix("ok"))
        #expect(clock.now - started >= .milliseconds(145))
        #expect(delaying.requests(status: 200).flags == .delayInjected)
    }

    @Test func requestsBeyondTheCircuitBreakerAre503() throws {
        let backend = TestBackend { socket, _ in
            _ = readRequest(socket)
            usleep(400_000)
            socket.send(Self.ok)
        }
        var traffic = HTTPTraffic()
        traffic.limits.maxRequests = 1
        let proxy = try TestProxy(to: [backend.port], traffic: traffic)
        let first = proxy.connect()
        first.send(Self.request)
        #expect(TestProxy.eventually { backend.connections == 1 })
        #expect(proxy.exchange(Self.request).contains("x-weft-reason: upstream_overflow\r\n"))
        #expect(first.receiveAll().hasSuffix("ok"))
        #expect(proxy.requests(status: 503).flags == .upstreamOverflow)
    }

    @Test func mirrorsGetCopies() throws {
        let copies = Mutex<[String]>([])
        let mirror = TestBackend(answering: { request in
            copies.withLock { $0.append(request) }
            return "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1\r\n\r\nx"
        })
        let backend = TestBackend(answering: { _ in Self.ok })
        let proxy = try TestProxy(to: [backend.port])
        proxy.publish(to: [backend.port], mirror: mirror.port)
        #expect(
            proxy.exchange("POST /m HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
                .hasSuffix("ok"))
        #expect(TestProxy.eventually { copies.withLock { $0.count } == 1 })
        let copy = copies.withLock { $0.first ?? "" }
        #expect(copy.hasPrefix("POST /m HTTP/1.1\r\n") && copy.hasSuffix("\r\n\r\nbody"))
        #expect(TestProxy.eventually { proxy.counter(.requestsActive) == 0 && proxy.counter(.downstreamActive) == 0 })
        #expect(proxy.requests(status: 500).count == 0)
    }

    /// Requests in progress end by the rules that they began with.
    @Test func aNewConfigurationDropsNothing() throws {
        let a = TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" })
        let b = TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb" })
        let proxy = try TestProxy(to: [a.port])
        let isDone = Atomic<Bool>(false)
        startThread {
            for generation in 2..<102 {
                proxy.publish(
                    to: [generation % 2 == 0 ? b.port : a.port], rules: [TestProxy.rule], generation: UInt64(generation)
                )
                usleep(2_000)
            }
            isDone.store(true, ordering: .releasing)
        }
        let client = proxy.connect()
        var answers = 0
        while !isDone.load(ordering: .acquiring) {
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            let head = client.receive(until: "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 200"))
            guard head.hasPrefix("HTTP/1.1 200"), client.receive(count: 1).count == 1 else { return }
            answers += 1
        }
        #expect(answers > 100)
        #expect(TestProxy.eventually { proxy.requests(status: 200).count == UInt64(answers) })
    }
}
