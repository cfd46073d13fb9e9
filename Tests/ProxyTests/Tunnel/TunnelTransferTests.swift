import Glibc
import Mesh
import Synchronization
import Testing

@testable import Proxy

/// Many bytes, many streams, slow readers.
@Suite(.serialized) struct TunnelTransferTests {
    @Test func bytesArriveAsTheyWereSentInBothDirectionsAtOnce() throws {
        let pair = try TunnelPair()
        let count = 64 << 20
        let sums = Sums()
        let backend = TunnelBackend { socket in
            let sending = Joined { sums.sent.store(Pattern.send(to: socket, count, seed: 7), ordering: .relaxed) }
            sums.received.store(Pattern.sum(socket), ordering: .relaxed)
            sending.join()
        }
        let socket = pair.connect(to: backend.port)
        let sent = Sums()
        let sending = Joined { sent.sent.store(Pattern.send(to: socket, count, seed: 3), ordering: .relaxed) }
        let received = Pattern.sum(socket)
        sending.join()
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelStreamsActive) == 0 })
        #expect(TestProxy.eventually { sums.received.load(ordering: .relaxed) == sent.sent.load(ordering: .relaxed) })
        #expect(received == sums.sent.load(ordering: .relaxed))
        #expect(TunnelPair.counter(pair.client, .tunnelBytesSent) == UInt64(count))
        #expect(TunnelPair.counter(pair.client, .tunnelBytesReceived) == UInt64(count))
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .bufferedBytes) == 0 })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .bufferedBytes) == 0 })
    }

    /// The client ends first and still gets its answer.
    @Test func clientsMayEndFirst() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend { socket in
            let all = socket.receiveAll()
            socket.send("got \(all.utf8.count)")
        }
        let socket = pair.connect(to: backend.port)
        socket.send([UInt8](repeating: 1, count: 300_000))
        socket.finishSending()
        #expect(socket.receiveAll() == "got 300000")
    }

    /// The server ends first and still gets what the client says.
    @Test func serversMayEndFirst() throws {
        let pair = try TunnelPair()
        let got = Mutex("")
        let backend = TunnelBackend { socket in
            socket.send("bye")
            socket.finishSending()
            let all = socket.receiveAll()
            got.withLock { $0 = all }
        }
        let socket = pair.connect(to: backend.port)
        #expect(socket.receiveAll() == "bye")
        socket.send("still here")
        socket.finishSending()
        #expect(TestProxy.eventually { got.withLock { $0 == "still here" } })
    }

    @Test func resetsGoThroughInBothDirections() throws {
        let pair = try TunnelPair()
        let wasReset = Atomic<Bool>(false)
        let backend = TunnelBackend { socket in
            if socket.receive(count: 1) == "r" {
                socket.reset()
                return
            }
            var byte: UInt8 = 0
            let count = unsafe recv(socket.descriptor, &byte, 1, 0)
            wasReset.store(count < 0 && errno == ECONNRESET, ordering: .relaxed)
        }
        let first = pair.connect(to: backend.port)
        first.send("r")
        var byte: UInt8 = 0
        #expect(unsafe recv(first.descriptor, &byte, 1, 0) < 0)
        #expect(errno == ECONNRESET)
        let second = pair.connect(to: backend.port)
        second.send("c")
        usleep(50_000)
        second.reset()
        #expect(TestProxy.eventually { wasReset.load(ordering: .relaxed) })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelStreamsActive) == 0 })
    }

    /// What waits for a reader that does not read is at most a stream's window, and others are not held up.
    @Test func slowReadersHoldABoundedAmount() throws {
        let pair = try TunnelPair()
        let mayRead = Atomic<Bool>(false)
        let sum = Sums()
        let slow = TunnelBackend { socket in
            while !mayRead.load(ordering: .relaxed) { usleep(10_000) }
            sum.received.store(Pattern.sum(socket), ordering: .relaxed)
        }
        let echo = TunnelBackend.echo()
        let socket = pair.connect(to: slow.port)
        let sending = Joined { sum.sent.store(Pattern.send(to: socket, 32 << 20, seed: 5), ordering: .relaxed) }
        // It has all that the window lets it have once no more than half of it is left, of which the client is told at once.
        var held: UInt64 = 0
        #expect(
            TestProxy.eventually(within: 30) {
                held = TunnelPair.counter(pair.server, .bufferedBytes)
                return held >= UInt64(HTTP2Session.streamWindow) / 2
            }, "\(held)")
        let other = pair.connect(to: echo.port)
        for round in 0..<20 {
            other.send("ping \(10 + round)")
            #expect(other.receive(count: 7) == "ping \(10 + round)")
            held = TunnelPair.counter(pair.server, .bufferedBytes)
            #expect(held <= UInt64(HTTP2Session.streamWindow) + 4 * UInt64(BufferPool.largeSize))
        }
        #expect(sum.sent.load(ordering: .relaxed) == 0, "the sender waits")
        mayRead.store(true, ordering: .relaxed)
        sending.join()
        #expect(TestProxy.eventually(within: 30) { sum.received.load(ordering: .relaxed) != 0 })
        #expect(sum.received.load(ordering: .relaxed) == sum.sent.load(ordering: .relaxed))
        #expect(TestProxy.eventually(within: 30) { TunnelPair.counter(pair.server, .bufferedBytes) == 0 })
    }

    /// More than a connection carries: the others go over another one.
    @Test func twoHundredStreamsAtATime() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let sockets = (0..<200).map { _ in pair.connect(to: backend.port) }
        for round in 0..<3 {
            for (number, socket) in sockets.enumerated() { socket.send("\(round) of \(1_000 + number)") }
            for (number, socket) in sockets.enumerated() {
                #expect(socket.receive(count: 9) == "\(round) of \(1_000 + number)")
            }
        }
        #expect(TunnelPair.counter(pair.client, .tunnelStreamsActive) == 200)
        #expect(TunnelPair.counter(pair.client, .tunnelSessionsActive) == 2)
        for socket in sockets { socket.finishSending() }
        for socket in sockets { #expect(socket.receiveAll().isEmpty) }
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelStreamsActive) == 0 })
        #expect(TestProxy.eventually { TunnelPair.counter(pair.server, .tunnelStreamsActive) == 0 })
    }

    /// An agent that is killed: the client's connections break, and later ones are refused until it is back.
    @Test func lostPeersBreakTheirConnections() throws {
        let pair = try TunnelPair()
        let backend = TunnelBackend.echo()
        let socket = pair.connect(to: backend.port)
        socket.send("x")
        #expect(socket.receive(count: 1) == "x")
        pair.server.stop()
        var byte: UInt8 = 0
        #expect(unsafe recv(socket.descriptor, &byte, 1, 0) < 0)
        #expect(errno == ECONNRESET)
        let next = pair.connect(to: backend.port)
        #expect(next.receiveAll().isEmpty)
        #expect(TunnelPair.counter(pair.client, .tunnelStreamsFailed) >= 1)
        #expect(TestProxy.eventually { TunnelPair.counter(pair.client, .tunnelStreamsActive) == 0 })
    }
}

/// What two threads have found.
final class Sums: Sendable {
    let sent = Atomic<UInt64>(0)
    let received = Atomic<UInt64>(0)
}

/// A thread that can be waited for.
final class Joined: Sendable {
    private let isDone = Atomic<Bool>(false)

    init(_ body: @escaping @Sendable () -> Void) {
        startThread { [self] in
            body()
            isDone.store(true, ordering: .releasing)
        }
    }

    func join() { while !isDone.load(ordering: .acquiring) { usleep(1_000) } }
}

/// Bytes that follow from a number, and a sum over bytes and their places.
enum Pattern {
    /// Sends and, unless told otherwise, ends. The sum of what was sent.
    static func send(to socket: TestSocket, _ count: Int, seed: UInt64, ends: Bool = true) -> UInt64 {
        var generator = RandomBits(seed: seed)
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var sum = Sum()
        var left = count
        while left > 0 {
            for index in stride(from: 0, to: block.count, by: 64) {
                block[index] = UInt8(truncatingIfNeeded: generator.next())
            }
            let part = min(left, block.count)
            let bytes = part == block.count ? block : Array(block[..<part])
            sum.add(bytes)
            socket.send(bytes)
            left -= part
        }
        if ends { socket.finishSending() }
        return sum.value
    }

    /// Of everything up to the end.
    ///
    /// - Parameter first: what was read before.
    static func sum(_ socket: TestSocket, after first: [UInt8] = []) -> UInt64 {
        var sum = Sum()
        sum.add(first)
        while true {
            let bytes = socket.receive(atMost: 1 << 18)
            guard !bytes.isEmpty else { return sum.value }
            sum.add(bytes)
        }
    }

    /// Does not depend on how the bytes are cut.
    struct Sum {
        private(set) var value: UInt64 = 0
        private var place: UInt64 = 0

        mutating func add(_ bytes: [UInt8]) {
            var value = value
            var place = place
            for index in bytes.indices {
                place &+= 1
                value = (value &* 31) &+ UInt64(bytes[index]) &+ place & 0xff
            }
            (self.value, self.place) = (value, place)
        }
    }
}
