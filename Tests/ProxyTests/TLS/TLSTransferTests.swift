import CLinux
import Glibc
import Mesh
import Testing

@testable import Proxy

/// Bytes through connections that are established.
@Suite struct TLSTransferTests {
    let snapshot: TrustSnapshot

    init() throws {
        let root = try TestAuthority("root")
        snapshot = TrustSnapshot(
            [try root.issue(TestLeaf(webID)), try root.issue(TestLeaf(cartID))],
            ["cluster.local": TrustBundle(roots: [root.bytes])])
    }

    private func pair(
        over descriptors: (CInt, CInt) = socketPair(), kernel: KernelTLS = .none
    ) throws -> TLSPair {
        let pair = try TLSPair(
            client: snapshot, as: webID, server: snapshot, as: cartID, over: descriptors, kernel: kernel)
        pair.handshake()
        try #require(pair.isComplete)
        return pair
    }

    /// One direction of a transfer: a stream of bytes of which both ends know what they must be.
    private struct Direction {
        let from: TLSEnd
        let to: TLSEnd
        let total: Int
        var sent = 0
        var received = 0
        /// How many were offered and not taken: at least as many are offered next.
        var owed = 0
        var fullSockets = 0

        static let pattern = (0..<1_200_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

        mutating func write(_ limit: Int) throws {
            let count = min(total - sent, max(owed, limit))
            guard count > 0 else { return }
            switch from.write(Self.pattern[sent..<sent + count]) {
            case .bytes(let taken):
                sent += taken
                owed = count - taken
            case .wantsWrite:
                owed = count
                fullSockets += 1
            case .wantsRead, .closed: throw TLSFailure.protocolError
            case .failed(let failure): throw failure
            }
        }

        mutating func read(_ limit: Int) throws {
            let (bytes, result) = to.read(atMost: limit)
            if case .failed(let failure) = result { throw failure }
            let isRight = bytes[...] == Self.pattern[received..<received + bytes.count]
            try #require(isRight, "the bytes from \(received) on differ")
            received += bytes.count
        }
    }

    @Test(arguments: [false, true]) func whatIsWrittenInPartsArrivesWhole(overTCP: Bool) throws {
        let descriptors = overTCP ? try loopbackPair() : socketPair()
        // Small buffers, so that writes are taken in part, records too.
        for descriptor in [descriptors.0, descriptors.1] {
            var size: CInt = 20_000
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        }
        let pair = try pair(over: descriptors)
        var random = SystemRandomNumberGenerator()
        var directions = [
            Direction(from: pair.client, to: pair.server, total: Direction.pattern.count),
            Direction(from: pair.server, to: pair.client, total: Direction.pattern.count),
        ]
        var idle = 0
        while directions.contains(where: { $0.received < $0.total }), idle < 1_000_000 {
            let index = Int.random(in: 0...1, using: &random)
            let before = directions[index].received
            // Writes run ahead of reads, so that the socket is full most of the time.
            if Int.random(in: 0..<4, using: &random) > 0 {
                try directions[index].write(.random(in: 1...100_000, using: &random))
            } else {
                try directions[index].read(.random(in: 1...70_000, using: &random))
            }
            idle = directions[index].received > before ? 0 : idle + 1
        }
        for direction in directions {
            #expect(direction.received == direction.total && direction.sent == direction.total)
            #expect(direction.fullSockets > 0)
        }
    }

    @Test func buffersOfIdleConnectionsCanBeGivenBack() throws {
        let pair = try pair()
        for round in 0..<3 {
            guard case .bytes(4) = pair.client.write("ping") else { throw TLSFailure.io }
            #expect(pair.server.receive(4) == Array("ping".utf8), "round \(round)")
            pair.client.connection.releaseBuffers()
            pair.server.connection.releaseBuffers()
        }
    }

    @Test func whatWaitsForMoreGoesOutWithIt() throws {
        let pair = try pair()
        let block = [UInt8](repeating: 9, count: 20_000)
        for _ in 0..<3 {
            let result = unsafe block.withUnsafeBytes { unsafe pair.client.connection.write($0, isLast: false) }
            guard case .bytes(20_000) = result else { throw TLSFailure.io }
        }
        guard case .wantsRead = pair.server.read().result else { throw TLSFailure.protocolError }
        guard case .bytes = pair.client.connection.flush() else { throw TLSFailure.io }
        #expect(pair.server.receive(60_000) == [UInt8](repeating: 9, count: 60_000))
        // More than fits is sent, but for the last.
        var sent = 0
        for _ in 0..<40 {
            let result = unsafe block.withUnsafeBytes { unsafe pair.client.connection.write($0, isLast: false) }
            guard case .bytes(20_000) = result else { break }
            sent += 20_000
            let received = pair.server.read(atMost: 400_000).bytes.count
            if received > 0 { break }
        }
        #expect(sent > 100_000 && sent <= 300_000)
    }

    @Test(arguments: writersThatUpdate) func keysAreChangedOnTheWay(kernel: KernelTLS) throws {
        let pair = try pair(over: try loopbackPair(), kernel: kernel)
        pair.client.connection.recordsPerKey = 3
        let block = [UInt8](repeating: 9, count: 50_000)
        for round in 0..<20 {
            guard case .bytes(50_000) = pair.client.write(block[...]) else { throw TLSFailure.io }
            #expect(pair.server.receive(50_000) == block, "round \(round)")
            guard case .bytes(4) = pair.server.write("pong") else { throw TLSFailure.io }
            #expect(pair.client.receive(4) == Array("pong".utf8))
        }
        // A change is a record of its own: a header, a message of 5 bytes, its kind and a tag. It goes before the next data.
        pair.client.connection.recordsPerKey = 1
        let record = [UInt8](repeating: 9, count: 16 << 10)
        guard case .bytes(record.count) = pair.client.write(record[...]) else { throw TLSFailure.io }
        #expect(pair.server.receive(record.count) == record)
        guard case .bytes(1) = pair.client.write("y") else { throw TLSFailure.io }
        var wire = [UInt8](repeating: 0, count: 200)
        var count = 0
        for _ in 0..<1_000 where count < 27 + 23 {
            count = unsafe recv(pair.server.descriptor, &wire, wire.count, CInt(MSG_PEEK))
            usleep(1_000)
        }
        #expect(count == 27 + 23)
        #expect(pair.server.receive(1) == Array("y".utf8))
    }

    /// The kernel as well, if it can.
    private static let writersThatUpdate: [KernelTLS] =
        weft_probe_kernel_tls() == WEFT_KERNEL_TLS_UPDATES ? [.none, .updates] : [.none]

    /// Where the kernel has the module but keeps a key for ever, a connection says when it had better be replaced, and
    /// ends as it should before the key is worn out; elsewhere it goes on.
    @Test func aKeyThatCannotBeChangedIsNotUsedForEver() throws {
        let pair = try pair(over: try loopbackPair(), kernel: .records)
        let isKernels = pair.client.connection.usesKernelTLS
        pair.client.connection.recordsPerKey = 3
        let record = [UInt8](repeating: 9, count: 16 << 10)
        for round in 0..<6 {
            let isWorn = pair.client.connection.isWorn
            #expect(isWorn == (isKernels && round >= 3), "\(round)")
            guard case .bytes(record.count) = pair.client.write(record[...]) else { throw TLSFailure.io }
            #expect(pair.server.receive(record.count) == record)
        }
        guard case .bytes(4) = pair.client.write("pong") else {
            #expect(isKernels)
            guard case .closed = pair.server.read().result else { throw TLSFailure.io }
            return
        }
        #expect(!isKernels)
        #expect(pair.server.receive(4) == Array("pong".utf8))
    }

    @Test func aPeerThatVanishesIsNotOneThatHasFinished() throws {
        let pair = try pair(over: try loopbackPair())
        guard case .bytes(4) = pair.client.write("part") else { throw TLSFailure.io }
        shutdown(pair.client.descriptor, CInt(SHUT_WR))
        #expect(pair.server.receive(10) == Array("part".utf8))
        guard case .failed(.peerClosed) = pair.server.read().result else { throw TLSFailure.io }
        guard case .failed(.peerClosed) = pair.server.write("x") else { throw TLSFailure.io }
    }

    @Test func whatOthersLeaveInTheErrorQueueIsNoFailure() throws {
        let pair = try pair()
        ErrorQueue.leaveError()
        guard case .wantsRead = pair.client.read().result else { throw TLSFailure.protocolError }
        ErrorQueue.leaveError()
        guard case .bytes(4) = pair.client.write("ping") else { throw TLSFailure.io }
        #expect(pair.server.receive(4) == Array("ping".utf8))
        guard case .wantsRead = pair.server.read().result else { throw TLSFailure.protocolError }
    }

    @Test func changedRecordsAreRefused() throws {
        let pair = try pair()
        guard case .bytes(4) = pair.client.write("ping") else { throw TLSFailure.io }
        var record = [UInt8](repeating: 0, count: 100)
        let count = unsafe recv(pair.server.descriptor, &record, record.count, 0)
        try #require(count == 5 + 4 + 1 + 16)
        record[7] ^= 1
        _ = unsafe send(pair.client.descriptor, record, count, 0)
        guard case .failed(.badRecord) = pair.server.read().result else { throw TLSFailure.io }
        guard case .failed(.alert) = pair.client.read().result else { throw TLSFailure.io }
    }

    @Test func readsAndWritesAllocateNothing() async throws {
        let pair = try pair()
        let count = await withCheckedContinuation { continuation in
            AllocationCount(pair) { continuation.resume(returning: $0) }.run()
        }
        #expect(count.records > 10_000)
        // Some of what counts them.
        #expect(count.allocations >= 0 && count.allocations <= 20)
    }
}
