import CLinux
import Foundation
import Testing
import WeftABI

@testable import Proxy

/// The standby process's loop on a thread of the test's, with real connections; the memory that it looks at is the test's.
@Suite struct StandbyTests {
    /// One end is an application's, the other one the agent's.
    private struct Pair {
        var application: CInt
        var agent: CInt

        /// A connection over 127.0.0.1.
        init() throws {
            var place = weft_endpoint(high: 0, low: 0, port: 0)
            let loopback: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]
            unsafe loopback.withUnsafeBytes {
                place.high = unsafe $0.load(fromByteOffset: 0, as: UInt64.self)
                place.low = unsafe $0.load(fromByteOffset: 8, as: UInt64.self)
            }
            let listener = unsafe weft_listen_stream(&place, 1)
            try #require(listener >= 0)
            defer { close(listener) }
            _ = unsafe weft_local_endpoint(listener, &place)
            var pending: CInt = 0
            application = unsafe weft_connect_stream(&place, WEFT_PATH_LOCAL, &pending)
            try #require(application >= 0)
            var ready = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&ready, 1, 5000)
            var peer = weft_endpoint()
            agent = unsafe weft_accept_stream(listener, &peer)
            try #require(agent >= 0)
        }

        /// What the application reads: the number of bytes, 0 for an end, a negative errno.
        func read(within milliseconds: CInt = 5000) -> Int {
            var ready = pollfd(fd: application, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&ready, 1, milliseconds) == 1 else { return -Int(EAGAIN) }
            var bytes = [UInt8](repeating: 0, count: 16)
            let count = unsafe recv(application, &bytes, bytes.count, CInt(MSG_DONTWAIT))
            return count >= 0 ? count : -Int(errno)
        }

        func say(_ text: String) {
            let bytes = Array(text.utf8)
            _ = unsafe send(application, bytes, bytes.count, CInt(MSG_NOSIGNAL))
        }
    }

    private final class Ended: @unchecked Sendable {
        private let lock = NSLock()
        private var value = false
        var isSet: Bool { lock.withLock { value } }
        func set() { lock.withLock { value = true } }
    }

    /// A standby process, as it were, whose clock runs fast.
    private final class Bench {
        let memory: ShortcutMemory
        let path: String
        let ended = Ended()

        init(patience: UInt64 = 300_000_000) throws {
            memory = unsafe ShortcutMemory(
                shortcuts: Self.zeroed(Int(WEFT_SHORTCUTS)), legs: Self.zeroed(Int(WEFT_SHORTCUT_PLACES)),
                tables: Self.zeroed(Int(WEFT_SHORTCUT_TABLES)), node: Self.zeroed(1))
            path = "\(NSTemporaryDirectory())/standby-\(UUID().uuidString.prefix(8))"
            let listener = unsafe weft_listen_packets(path, 16)
            try #require(listener >= 0)
            let standby = try #require(
                Standby(listener: listener, memory: memory, patience: patience, tick: 20_000_000))
            let ended = ended
            let carried = Carried(standby)
            Thread {
                carried.standby.run()
                ended.set()
            }.start()
        }

        deinit { _ = unsafe unlink(path) }

        private struct Carried: @unchecked Sendable {
            let standby: Standby
            init(_ standby: Standby) { self.standby = standby }
        }

        /// For as long as the process lives: the thread may look at it.
        private static func zeroed<Value>(_ count: Int) -> UnsafeMutablePointer<Value> {
            let size = count * MemoryLayout<Value>.stride
            let start = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
            unsafe memset(start, 0, size)
            return unsafe start.bindMemory(to: Value.self, capacity: count)
        }

        /// The connection of an agent that has just begun, and what it has been told of.
        func agent(layout: UInt64 = UInt64(WEFT_LAYOUT)) throws -> (line: StandbyLine, held: [HeldSocket]) {
            let line = try #require(StandbyLine(path: path))
            return (line, try #require(line.takeOver(layout: layout)))
        }

        /// Tells the memory of a client with one leg, which the programs may decide about.
        func offer(client: UInt64, leg: UInt64) {
            #expect(memory.begin(client))
            #expect(
                memory.attach(
                    ShortcutLeg(cookie: leg, number: 0, cluster: 0, service: 1, destination: 1, taken: 0), to: client))
            memory.offer(client, table: 0, generation: 1, taken: 0)
        }
    }

    private func socket(_ pair: Pair, _ cookie: UInt64, isClient: Bool) -> HeldSocket {
        HeldSocket(descriptor: pair.agent, cookie: cookie, isClient: isClient)
    }

    private func eventually(_ what: String, _ condition: () -> Bool) {
        for _ in 0..<500 {
            if condition() { return }
            usleep(20_000)
        }
        Issue.record("not within ten seconds: \(what)")
    }

    @Test("What was held lives on without an agent, and the next one gets it")
    func takingOver() throws {
        let bench = try Bench(patience: 60_000_000_000)
        let (client, leg) = (try Pair(), try Pair())
        bench.offer(client: 7, leg: 9)
        do {
            let (line, held) = try bench.agent()
            #expect(held.isEmpty)
            #expect(
                line.hold(client: socket(client, 7, isClient: true), legs: [socket(leg, 9, isClient: false)]))
            close(client.agent)
            close(leg.agent)
        }
        #expect(client.read(within: 300) == -Int(EAGAIN))
        client.say("hello")
        let (line, held) = try bench.agent()
        #expect(Set(held.map(\.cookie)) == [7, 9])
        let taken = try #require(held.first { $0.isClient })
        #expect(taken.cookie == 7)
        var bytes = [UInt8](repeating: 0, count: 16)
        #expect(unsafe recv(taken.descriptor, &bytes, 16, 0) == 5)
        for socket in held { close(socket.descriptor) }
        // It goes on holding them.
        #expect(client.read(within: 100) == -Int(EAGAIN))
        line.dismiss()
        eventually("it has ended") { bench.ended.isSet }
        #expect(client.read() == -Int(ECONNRESET))
    }

    @Test("What was in the agent's hands is reset when that ends, with its legs")
    func lost() throws {
        let bench = try Bench()
        let (client, leg) = (try Pair(), try Pair())
        bench.offer(client: 7, leg: 9)
        #expect(bench.memory.change(7, from: .offered, to: .ofAgent))
        do {
            let (line, _) = try bench.agent()
            #expect(
                line.hold(client: socket(client, 7, isClient: true), legs: [socket(leg, 9, isClient: false)]))
            close(client.agent)
            close(leg.agent)
        }
        #expect(client.read() == -Int(ECONNRESET))
        #expect(leg.read() == 0)
        eventually("nothing is left to hold") { bench.ended.isSet }
    }

    @Test("Without an agent: who waits for one is reset in the end, and whoever leaves is let go")
    func patience() throws {
        let bench = try Bench()
        let (waiting, leaving, quiet) = (try Pair(), try Pair(), try Pair())
        let legs = [try Pair(), try Pair(), try Pair()]
        do {
            let (line, _) = try bench.agent()
            for (place, client) in [waiting, leaving, quiet].enumerated() {
                let cookie = UInt64(10 + place)
                bench.offer(client: cookie, leg: cookie + 10)
                #expect(
                    line.hold(
                        client: socket(client, cookie, isClient: true),
                        legs: [socket(legs[place], cookie + 10, isClient: false)]))
                close(client.agent)
                close(legs[place].agent)
            }
        }
        waiting.say("a request that the programs leave to the agent")
        close(leaving.application)
        #expect(waiting.read() == -Int(ECONNRESET))
        #expect(legs[0].read() == 0)
        #expect(legs[1].read() == 0)
        #expect(!bench.memory.isHeld(by: 10) && !bench.memory.isHeld(by: 11) && bench.memory.isHeld(by: 12))
        // Whoever wants nothing may stay for as long as he likes.
        #expect(quiet.read(within: 1000) == -Int(EAGAIN) && legs[2].read(within: 0) == -Int(EAGAIN))
        #expect(!bench.ended.isSet)
        close(quiet.application)
        eventually("nothing is left to hold") { bench.ended.isSet }
        #expect(legs[2].read() == 0)
    }

    @Test("What the agent ends is let go without a word")
    func ending() throws {
        let bench = try Bench()
        let (line, _) = try bench.agent()
        let (closed, reset) = (try Pair(), try Pair())
        bench.offer(client: 7, leg: 9)
        #expect(line.hold(client: socket(closed, 7, isClient: true), legs: []))
        #expect(line.hold(client: socket(reset, 8, isClient: true), legs: []))
        Sockets.endHeld(closed.agent)
        Sockets.endHeld(reset.agent, resetting: true)
        #expect(closed.read() == 0)
        #expect(reset.read() == -Int(ECONNRESET))
        // Only a socket that nobody has any more refuses what is sent to it.
        eventually("it is let go") {
            unsafe send(closed.application, "x", 1, CInt(MSG_NOSIGNAL)) < 0
        }
        #expect(try bench.agent().held.isEmpty)
    }

    @Test("An agent of another layout gets nothing, and what is held ends")
    func otherLayout() throws {
        let bench = try Bench()
        let client = try Pair()
        bench.offer(client: 7, leg: 9)
        do {
            let (line, _) = try bench.agent()
            #expect(line.hold(client: socket(client, 7, isClient: true), legs: []))
            close(client.agent)
        }
        #expect(try bench.agent(layout: UInt64(WEFT_LAYOUT) + 1).held.isEmpty)
        #expect(client.read() == -Int(ECONNRESET))
        eventually("it has ended") { bench.ended.isSet }
    }

    @Test("Messages that make no sense are ignored, and leave no descriptor behind")
    func nonsense() throws {
        let bench = try Bench()
        let (line, _) = try bench.agent()
        let pair = try Pair()
        let other = unsafe weft_connect_packets(bench.path)
        try #require(other >= 0)
        for words: [UInt64] in [[], [99], [99, 1, 2], [StandbyMessage.hold], [StandbyMessage.hold, 0]] {
            _ = StandbyPacket.send(other, words.isEmpty ? [0] : words, [pair.agent, pair.agent])
        }
        _ = StandbyPacket.send(other, [StandbyMessage.hold, 5, 6, 7], [])
        close(other)
        close(pair.agent)
        // The last descriptor of the agent's end is closed.
        #expect(pair.read() == 0)
        #expect(try bench.agent().held.isEmpty)
        _ = line
    }
}
