import Glibc
import Mesh
import Proxy
import Synchronization
import Testing

/// Backends and clients that answer early, too much, or not by the rules.
@Suite struct UnrulyPeerTests {
    private static let request = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"
    private static let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    /// The backend refuses a body and ends with a reset while the body is still being sent.
    @Test func anAnswerBeforeAResetIsPassedOn() throws {
        let backend = TestBackend { socket, _ in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            socket.reset()
        }
        let proxy = try TestProxy(to: [backend.port])
        let block = [UInt8](repeating: 65, count: 4_096)
        for _ in 0..<100 {
            let client = proxy.connect()
            client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 40960\r\n\r\n")
            for _ in 0..<5 { client.send(block) }
            #expect(client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 413 "))
        }
    }

    @Test(arguments: [
        String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 40) + ok,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ]) func whatIsNoResponseIs502(answer: String) throws {
        let backend = TestBackend(answering: { _ in answer })
        let proxy = try TestProxy(to: [backend.port])
        let answer = proxy.exchange(Self.request)
        #expect(answer.contains("HTTP/1.1 502 Bad Gateway\r\n"))
        #expect(answer.contains("x-weft-reason: upstream_protocol_error\r\n"))
        #expect(proxy.requests(status: 502).count == 1)
    }

    /// Bytes behind a response's last chunk are not the next answer.
    @Test func aConnectionOutOfStepIsNotUsedAgain() throws {
        let backend = TestBackend { socket, _ in
            while readRequest(socket) != nil {
                socket.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + Self.ok)
            }
        }
        let proxy = try TestProxy(to: [backend.port])
        for _ in 0..<3 { #expect(proxy.exchange("GET / HTTP/1.0\r\nHost: web\r\n\r\n").hasSuffix("\r\n\r\nok")) }
        #expect(backend.connections == 3)
    }

    /// Whether its request waits for the answer, for a connection or for a fault's delay.
    @Test func whatAClientHasAskedForEndsWithIt() throws {
        let backend = TestBackend { socket, _ in
            _ = readRequest(socket)
            // Until the proxy ends it.
            _ = socket.receive()
        }
        var traffic = HTTPTraffic()
        traffic.limits.maxConnections = 1
        let proxy = try TestProxy(to: [backend.port], traffic: traffic)
        var clients = (0..<2).map { _ in proxy.connect() }
        for (number, client) in clients.enumerated() {
            client.send(Self.request)
            #expect(TestProxy.eventually { proxy.counter(.requestsActive) == UInt64(number + 1) })
        }
        // The one in the queue.
        clients.removeLast()
        #expect(TestProxy.eventually { proxy.counter(.requestsActive) == 1 })
        #expect(proxy.counter(.upstreamActive) == 1)
        clients.removeLast()
        #expect(TestProxy.eventually { proxy.counter(.requestsActive) == 0 && proxy.counter(.upstreamActive) == 0 })
        #expect(backend.connections == 1)

        let delayed = try TestProxy(to: [backend.port]) { $0.fault = HTTPFault(delay: .init(milliseconds: 60_000)) }
        do {
            let client = delayed.connect()
            client.send(Self.request)
            #expect(TestProxy.eventually { delayed.counter(.requestsActive) == 1 })
        }
        #expect(TestProxy.eventually { delayed.counter(.requestsActive) == 0 })
    }

    /// It has said that it has no more to ask, and waits for the answer.
    @Test(arguments: ["HTTP/1.0", "HTTP/1.1"]) func aClientThatEndsItsSideGetsItsAnswer(version: String) throws {
        let backend = try FaultyBackend(.slow(400))
        defer { backend.kill() }
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        client.send("GET / \(version)\r\nHost: web\r\n\r\n")
        client.finishSending()
        let answer = client.receiveAll()
        // HTTP/1.0 knows no interim answers.
        let interim = version == "HTTP/1.0" ? "" : "HTTP/1.1 100 Continue\r\n\r\n"
        #expect(answer.hasPrefix(interim + "HTTP/1.1 200 OK\r\n"), "\(answer)")
    }

    /// A connection that cannot even be begun after a wait is an answer, not a reset.
    @Test func aRefusalAfterADelayIs503() throws {
        let (descriptor, port) = listen()
        close(descriptor)
        let proxy = try TestProxy(to: [port]) { $0.fault = HTTPFault(delay: .init(milliseconds: 20)) }
        #expect(proxy.exchange(Self.request).contains("x-weft-reason: upstream_connect_failure\r\n"))
    }

    @Test func aBodyWithoutRoomIs503() throws {
        var options = ProxyOptions()
        options.largeBuffersPerWorker = 1
        let backend = TestBackend(answering: { _ in Self.ok })
        let proxy = try TestProxy(to: [backend.port], options: options)
        // Takes the only large chunk.
        let holder = proxy.connect()
        holder.send("GET / HTTP/1.1\r\nHost: web\r\nx-a: " + String(repeating: "a", count: 9_000))
        #expect(TestProxy.eventually { proxy.counter(.bufferedBytes) == 64 << 10 })
        // A head that fills a small one.
        let start = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nx-a: "
        let client = proxy.connect()
        client.send(start + String(repeating: "a", count: 8_192 - start.utf8.count - 4) + "\r\n\r\n")
        client.send("hello")
        let answer = client.receiveAll()
        #expect(answer.hasPrefix("HTTP/1.1 503 "))
        #expect(answer.contains("x-weft-reason: overload\r\n"))
    }

    /// What a mirror answers is read up to a limit, and it is not asked for another protocol.
    @Test func copiesEnd() throws {
        let head = Mutex("")
        let mirror = TestBackend { socket, _ in
            let request = socket.receive(until: "\r\n\r\n")
            head.withLock { $0 = request }
            socket.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            let block = [UInt8](repeating: 65, count: 1 << 16)
            for _ in 0..<100 { socket.send(block) }
            sleep(5)
        }
        let backend = TestBackend(answering: { _ in Self.ok })
        let proxy = try TestProxy(to: [backend.port])
        proxy.publish(to: [backend.port], mirror: mirror.port)
        let client = proxy.connect()
        client.send("GET / HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        #expect(client.receive(until: "ok").hasPrefix("HTTP/1.1 200"))
        #expect(TestProxy.eventually { head.withLock { !$0.isEmpty } })
        #expect(!head.withLock { $0.lowercased() }.contains("upgrade"))
        #expect(TestProxy.eventually { proxy.counter(.requestsActive) == 0 })
    }

    /// A connection whose response had begun before the drain is not kept either.
    @Test func drainingEndsConnectionsAfterTheirResponse() throws {
        let isDraining = Atomic<Bool>(false)
        let backend = TestBackend { socket, _ in
            _ = readRequest(socket)
            socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
            while !isDraining.load(ordering: .acquiring) { usleep(5_000) }
            usleep(100_000)
            socket.send("k")
        }
        let proxy = try TestProxy(to: [backend.port])
        let client = proxy.connect()
        client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\no").hasPrefix("HTTP/1.1 200"))
        proxy.engine.drain()
        isDraining.store(true, ordering: .releasing)
        #expect(client.receiveAll() == "k")
    }

    @Test func theLogNamesTheBackendsConnection() throws {
        let backend = TestBackend(answering: { _ in Self.ok })
        let proxy = try TestProxy(to: [backend.port])
        for log in proxy.engine.requestLogs { log.set(.all) }
        #expect(proxy.exchange(Self.request).hasSuffix("ok"))
        let log = proxy.engine.requestLogs[0]
        var ports: [(UInt16, UInt16)] = []
        #expect(
            TestProxy.eventually {
                _ = log.drain { ports.append(($0.addresses.upstream.port, $0.addresses.upstreamLocal.port)) }
                return !ports.isEmpty
            })
        #expect(ports.first?.0 == backend.port)
        #expect(ports.first?.1 ?? 0 > 0)
    }
}
