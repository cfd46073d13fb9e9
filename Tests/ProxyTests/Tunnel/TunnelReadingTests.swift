import CAllocations
import Glibc
import Mesh
import Testing

@testable import Proxy

/// HTTP/1 in tunnels whose bytes the server's agent only passes on: read on its way, and counted.
@Suite(.serialized) struct TunnelReadingTests {
    private typealias Reading = WorkerStatistics.Reading

    private static func readings(_ engine: ProxyEngine) -> [Reading] {
        engine.statistics.flatMap { worker in (0..<worker.entryCount).compactMap { worker.reading(at: $0) } }
    }

    /// Waits for so many requests; all there are.
    private func counted(_ pair: TunnelPair, _ count: UInt64) -> [Reading] {
        _ = TestProxy.eventually { Self.readings(pair.server).reduce(0) { $0 &+ $1.requests.count } >= count }
        return Self.readings(pair.server)
    }

    private func ended(_ pair: TunnelPair) -> TunnelFlow? {
        var flow: TunnelFlow?
        _ = TestProxy.eventually {
            for queue in pair.server.flows { _ = queue.drain { flow = $0.flow } }
            return flow != nil
        }
        return flow
    }

    /// Answers every request with what its path says: `/STATUS/SIZE`.
    private func backend() -> TunnelBackend {
        TunnelBackend { socket in
            while true {
                let head = socket.receive(until: "\r\n\r\n")
                let parts = head.split(separator: " ")
                guard parts.count > 2 else { return }
                let target = parts[1].split(separator: "/")
                guard target.count == 2, let size = Int(target[1]) else { return }
                if let length = head.firstRange(of: "content-length: "),
                    let count = Int(head[length.upperBound...].prefix { $0.isNumber })
                {
                    _ = socket.receive(count: count)
                }
                let answer = Array("HTTP/1.1 \(target[0]) Because\r\ncontent-length: \(size)\r\n\r\n".utf8)
                socket.send(answer + [UInt8](repeating: 0x79, count: size))
            }
        }
    }

    @Test func requestsAreCountedWhereverTheyAreCut() throws {
        let pair = try TunnelPair()
        let backend = backend()
        let socket = pair.connect(to: backend.port)
        let text = "POST /200/7 HTTP/1.1\r\nhost: api\r\ncontent-length: 3\r\n\r\nabc"
        for byte in Array(text.utf8) {
            socket.send([byte])
            usleep(200)
        }
        #expect(socket.receive(until: "yyyyyyy").hasSuffix("yyyyyyy"))
        socket.send("GET /200/100000 HTTP/1.1\r\nhost: api\r\n\r\n")
        _ = socket.receive(until: "\r\n\r\n")
        #expect(socket.receive(count: 100_000).utf8.count == 100_000)
        socket.send("GET /404/0 HTTP/1.1\r\nhost: api\r\n\r\n")
        _ = socket.receive(until: "\r\n\r\n")
        let found = counted(pair, 3).sorted { $0.key.status < $1.key.status }
        #expect(found.map(\.key.status) == [200, 404])
        for reading in found {
            #expect(reading.key.isPassedOn && reading.key.isInbound && reading.key.isFromTunnel)
            #expect(!reading.key.isUnparsed && reading.key.flags.isEmpty)
            #expect(reading.key.source == 1 && reading.key.destination == 2 && reading.key.peer == 1)
        }
        let fine = try #require(found.first).requests
        #expect(fine.count == 2 && fine.requestBytes.sum == 3 && fine.responseBytes.sum == 100_007)
        // The first request took as long as its bytes did.
        #expect(fine.duration.sum >= UInt64(text.utf8.count) * 200)
        #expect(fine.firstByte.sum <= fine.duration.sum)
        socket.finishSending()
        let flow = try #require(ended(pair))
        #expect(flow.requests == ConnectionRequests.Summary(firstClass: 2, count: 3))
    }

    @Test func whatIsNoHTTPIsLeftAlone() throws {
        let pair = try TunnelPair()
        let echo = TunnelBackend.echo()
        for text in ["hello\r\n", "GET lost\r\n\r\n", "\u{16}\u{3}\u{1}GET / HTTP/1.1\r\n\r\n"] {
            let socket = pair.connect(to: echo.port)
            socket.send(text)
            #expect(socket.receive(count: text.utf8.count) == text)
            socket.send("GET / HTTP/1.1\r\n\r\n")
            #expect(socket.receive(until: "\r\n\r\n") == "GET / HTTP/1.1\r\n\r\n")
            socket.finishSending()
            #expect(ended(pair)?.requests == ConnectionRequests.Summary(firstClass: 0, count: 0))
        }
        // Who greets first speaks something else.
        let greeter = TunnelBackend { socket in
            socket.send("220 ready\r\n")
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        }
        let socket = pair.connect(to: greeter.port)
        #expect(socket.receive(until: "\r\n") == "220 ready\r\n")
        socket.send("GET / HTTP/1.1\r\n\r\n")
        #expect(socket.receiveAll().hasPrefix("HTTP/1.1"))
        socket.finishSending()
        #expect(ended(pair)?.requests == ConnectionRequests.Summary(firstClass: 0, count: 0))
        #expect(Self.readings(pair.server).isEmpty)
    }

    @Test func nothingIsReadWhenNobodyWantsIt() throws {
        var options = ProxyOptions()
        options.readsTunnels = false
        let pair = try TunnelPair(serverOptions: options)
        let backend = backend()
        let socket = pair.connect(to: backend.port)
        socket.send("GET /200/1 HTTP/1.1\r\nhost: api\r\n\r\n")
        #expect(socket.receive(until: "\r\n\r\ny").hasSuffix("y"))
        socket.finishSending()
        #expect(ended(pair)?.requests == ConnectionRequests.Summary(firstClass: 0, count: 0))
        #expect(Self.readings(pair.server).isEmpty)
    }

    @Test func whoBreaksOffIsSaid() throws {
        let pair = try TunnelPair()
        let half = TunnelBackend { socket in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        }
        let first = pair.connect(to: half.port)
        first.send("GET / HTTP/1.1\r\n\r\n")
        #expect(first.receiveAll().hasSuffix("half"))
        first.finishSending()
        var found = counted(pair, 1)
        #expect(found.map(\.key.flags) == [.upstreamTermination] && found.map(\.key.status) == [200])
        #expect(found.first?.requests.responseBytes.sum == 4)

        let silent = TunnelBackend { socket in _ = socket.receiveAll() }
        let second = pair.connect(to: silent.port)
        second.send("GET / HTTP/1.1\r\n\r\n")
        second.finishSending()
        found = counted(pair, 2)
        #expect(found.map(\.key.flags) == [.upstreamTermination, .downstreamTermination])
        #expect(found.last?.key.status == 0)

        // The end of the connection is the end of the answer.
        let closing = TunnelBackend { socket in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 200 OK\r\n\r\nall")
        }
        let third = pair.connect(to: closing.port)
        third.send("GET / HTTP/1.1\r\n\r\n")
        #expect(third.receiveAll().hasSuffix("all"))
        third.finishSending()
        found = counted(pair, 3)
        #expect(found.last?.key.flags == [] && found.last?.requests.responseBytes.sum == 3)
    }

    @Test func whatCannotBeFollowedIsCountedAsThat() throws {
        let pair = try TunnelPair()
        // Two lengths: recipients may understand either.
        let backend = TunnelBackend { socket in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok")
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 201 OK\r\ncontent-length: 2\r\n\r\nok")
            _ = socket.receiveAll()
        }
        let socket = pair.connect(to: backend.port)
        socket.send("GET /a HTTP/1.1\r\n\r\n")
        #expect(socket.receive(until: "ok").hasSuffix("ok"))
        var found = counted(pair, 1)
        #expect(found.map(\.key.isUnparsed) == [true] && found.map(\.requests.count) == [1])
        #expect(found.first?.requests.duration.count == 0)
        // The next request is clear again.
        socket.send("GET /b HTTP/1.1\r\n\r\n")
        #expect(socket.receive(until: "ok").hasSuffix("ok"))
        found = counted(pair, 2)
        #expect(found.map(\.key.isUnparsed) == [true, false] && found.last?.key.status == 201)
    }

    @Test func otherProtocolsBehindAnUpgradeAreLeftAlone() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend { socket in
            _ = socket.receive(until: "\r\n\r\n")
            socket.send("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n")
            socket.send(socket.receive())
        }
        let socket = pair.connect(to: backend.port)
        socket.send("GET / HTTP/1.1\r\nupgrade: x\r\n\r\n")
        _ = socket.receive(until: "\r\n\r\n")
        socket.send("GET / HTTP/1.1\r\n\r\n")
        #expect(socket.receive(until: "\r\n\r\n") == "GET / HTTP/1.1\r\n\r\n")
        socket.finishSending()
        #expect(ended(pair)?.requests == ConnectionRequests.Summary(firstClass: 1, count: 1))
        #expect(Self.readings(pair.server).map(\.key.status) == [101])
    }

    @Test func theServiceIsTheOneThatThePeerNamesIfItLeadsThere() throws {
        let backend = backend()
        let store = ObjectName(namespace: "shop", name: "store")
        func table(_ endpoint: UInt16) -> TunnelTable {
            var snapshot = TunnelPair.snapshot(isServer: true)
            let port = MeshServicePort(
                name: "http", port: 80, transport: .tcp,
                endpoints: [MeshEndpoint(address: TunnelPair.address, port: endpoint, workload: TunnelPair.api)])
            snapshot.services[store] = MeshService(name: store, addresses: [], ports: [port], balancing: Balancing())
            var identifiers = TunnelPair.identifiers
            identifiers.services[RouteIdentifiers.ServicePort(service: store, port: 80)] = [70]
            return TunnelTable(snapshot, identifiers: identifiers)
        }
        let address = ClientAddress(high: 0, low: 0xffff_7f60_000a, port: backend.port)
        func told(_ text: String) -> HTTP2Text {
            var forwarded = HTTP2Text()
            let bytes = Array(text.utf8)
            unsafe forwarded.set(bytes.span.bytes)
            return forwarded
        }
        let here = table(backend.port)
        let name = "store.shop.svc.cluster.local"
        for text in ["for=\"10.0.0.1:5\";host=\(name)", "for=\"10.0.0.1:5\";host=\"\(name)\"", ";host=\(name);by=x"] {
            #expect(here.service(told(text), at: address) == 70, "\(text)")
        }
        for text in [
            "", "for=\"10.0.0.1:5\"", ";host=", ";host=\"", ";host=\"\(name)", ";host=\(name)x", ";host=other",
            ";host=\(name.dropLast())", "host=\(name)",
        ] { #expect(here.service(told(text), at: address) == 0, "\(text)") }
        #expect(table(1).service(told(";host=\(name)"), at: address) == 0)
    }

    /// In steady state requests in a tunnel allocate nothing at the server's end.
    @Test func readingAllocatesNothing() throws {
        var options = ProxyOptions()
        options.threadName = "reading"
        let pair = try TunnelPair(serverOptions: options)
        let backend = backend()
        let socket = pair.connect(to: backend.port)
        func serve(_ count: Int) {
            for _ in 0..<count {
                socket.send("GET /200/1 HTTP/1.1\r\nhost: api\r\n\r\n")
                _ = socket.receive(until: "\r\n\r\ny")
            }
        }
        serve(200)
        let before = unsafe weft_allocations_of_thread("reading-0")
        #expect(before >= 0)
        serve(2000)
        #expect(unsafe weft_allocations_of_thread("reading-0") - before == 0)
        #expect(counted(pair, 2200).map(\.requests.count) == [2200])
    }
}
