import Glibc
import Mesh
import Proxy
import Synchronization
import Testing

/// Long bodies, and peers that do not read.
@Suite(.serialized) struct BodyTests {
    private static let size = 64 << 20

    private static func pattern(at offset: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: (offset + $0) &* 31 >> 3) }
    }

    @Test func longBodiesArriveWhole() throws {
        let received = Mutex((count: 0, sum: UInt64(0)))
        let block = Self.pattern(at: 0, 1 << 20)
        let backend = TestBackend { socket, _ in
            let head = socket.receive(until: "\r\n\r\n")
            if head.hasPrefix("POST") {
                var count = 0
                var sum: UInt64 = 0
                while count < Self.size {
                    let bytes = socket.receive(atMost: 1 << 20)
                    guard !bytes.isEmpty else { break }
                    for byte in bytes { sum = sum &* 31 &+ UInt64(byte) }
                    count += bytes.count
                }
                received.withLock { $0 = (count, sum) }
                socket.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            } else {
                socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.size)\r\nConnection: close\r\n\r\n")
                for _ in 0..<(Self.size >> 20) { socket.send(block) }
            }
        }
        let proxy = try TestProxy(to: [backend.port])
        var expected: UInt64 = 0
        for _ in 0..<(Self.size >> 20) { for byte in block { expected = expected &* 31 &+ UInt64(byte) } }

        let upload = proxy.connect()
        upload.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: \(Self.size)\r\n\r\n")
        for _ in 0..<(Self.size >> 20) { upload.send(block) }
        #expect(upload.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200"))
        #expect(received.withLock { $0.count } == Self.size)
        #expect(received.withLock { $0.sum } == expected)

        let download = proxy.connect()
        download.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        _ = download.receive(until: "\r\n\r\n")
        var count = 0
        var sum: UInt64 = 0
        while count < Self.size {
            let bytes = download.receive(atMost: 1 << 20)
            guard !bytes.isEmpty else { break }
            for byte in bytes { sum = sum &* 31 &+ UInt64(byte) }
            count += bytes.count
        }
        #expect(count == Self.size && sum == expected)
    }

    /// A client that does not read, and a backend that does not, hold one buffer each at most.
    @Test func slowReadersHoldTheirWindowOnly() throws {
        let sent = Atomic<Int>(0)
        let block = [UInt8](repeating: 65, count: 1 << 16)
        let backend = TestBackend { socket, _ in
            let head = socket.receive(until: "\r\n\r\n")
            guard head.hasPrefix("GET") else {
                sleep(3)
                return
            }
            socket.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
            for _ in 0..<(1 << 14) {
                socket.send(block)
                sent.add(block.count, ordering: .relaxed)
            }
        }
        let proxy = try TestProxy(to: [backend.port])
        let reader = proxy.connect()
        reader.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        #expect(TestProxy.eventually { sent.load(ordering: .relaxed) > 0 })
        let writer = proxy.connect()
        writer.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1073741824\r\n\r\n")
        startThread { for _ in 0..<1_000 { writer.send(block) } }
        usleep(700_000)
        // Both directions stand still by now: a chunk of 64 KiB for each, and heads.
        #expect(proxy.counter(.bufferedBytes) <= 2 * (64 << 10) + 4 * (8 << 10))
        let standing = sent.load(ordering: .relaxed)
        usleep(100_000)
        #expect(sent.load(ordering: .relaxed) == standing)
        reader.reset()
        writer.reset()
        #expect(TestProxy.eventually { proxy.counter(.bufferedBytes) == 0 })
    }

    /// Buffers are held by what is in flight: an idle connection has none.
    @Test func idleConnectionsHoldNoBuffers() throws {
        let backend = TestBackend(answering: { _ in "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" })
        let proxy = try TestProxy(to: [backend.port])
        let clients = (0..<200).map { _ in proxy.connect() }
        for client in clients {
            client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            _ = client.receive(until: "ok")
        }
        #expect(TestProxy.eventually { proxy.counter(.bufferedBytes) == 0 })
        #expect(proxy.counter(.downstreamActive) == 200)
    }
}
