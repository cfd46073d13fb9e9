import Mesh
import Proxy
import Testing

/// What changes of the configuration do to requests that are in progress.
@Suite struct GenerationTests {
    private static let upgrade = "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    private static let request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"

    private static func answering(_ body: String) -> TestBackend {
        TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)" })
    }

    /// A tunnel in each of more generations than there is room for: the newest decides, and all tunnels go on.
    @Test func tunnelsOutliveTheirGenerations() throws {
        let echo = TestBackend { socket, _ in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            socket.send(socket.receive(until: "!"))
        }
        let proxy = try TestProxy(to: [echo.port])
        var tunnels: [TestSocket] = []
        for number in 2..<72 as Range<UInt64> {
            let client = proxy.connect()
            client.send(Self.upgrade)
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101 "))
            tunnels.append(client)
            proxy.publish(to: [echo.port], rules: [TestProxy.rule], generation: number)
        }
        // Even those whose endpoint is gone.
        let other = Self.answering("new")
        proxy.publish(to: [other.port], rules: [TestProxy.rule], generation: 100)
        #expect(TestProxy.eventually { proxy.exchange(Self.request).hasSuffix("new") })
        for (number, client) in tunnels.enumerated() {
            client.send("\(number)!")
            #expect(client.receive(until: "!") == "\(number)!")
        }
        tunnels.removeAll()
        #expect(TestProxy.eventually { proxy.counter(.requestsActive) == 0 })
        #expect(TestProxy.eventually { proxy.counter(.upstreamActive) == proxy.counter(.upstreamIdle) })
    }

    /// Requests without an answer in all generations: the oldest are given up, and the configuration is in force.
    @Test func aConfigurationIsAlwaysTakenIn() throws {
        let silent = TestBackend { socket, _ in _ = socket.receive(until: "never") }
        let proxy = try TestProxy(to: [silent.port])
        var clients: [TestSocket] = []
        for number in 2..<70 as Range<UInt64> {
            let client = proxy.connect()
            client.send(Self.request)
            clients.append(client)
            #expect(TestProxy.eventually { proxy.counter(.upstreamOpened) == number - 1 })
            proxy.publish(to: [silent.port], rules: [TestProxy.rule], generation: number)
        }
        let other = Self.answering("new")
        proxy.publish(to: [other.port], rules: [TestProxy.rule], generation: 100)
        #expect(TestProxy.eventually { proxy.exchange(Self.request).hasSuffix("new") })
        #expect(clients.first?.receiveAll() == "", "the oldest was given up")
    }

    /// A request that waits for an endpoint gets the one that a new configuration brings.
    @Test func waitingRequestsSeeANewConfiguration() throws {
        var traffic = HTTPTraffic()
        traffic.healthCheck = HealthCheck(probe: .tcp)
        let proxy = try TestProxy(to: [1], traffic: traffic)
        let client = proxy.connect()
        client.send(Self.request)
        #expect(TestProxy.eventually { proxy.counter(.requestsActive) == 1 })
        let backend = Self.answering("new")
        proxy.publish(to: [backend.port], rules: [TestProxy.rule], generation: 2)
        #expect(client.receiveAll().hasSuffix("new"))
    }
}
