// Unsafe code of this file: messages with descriptors, through buffers of the calls' own.

import CLinux
import Glibc
import Synchronization

/// What the agent and its standby process tell each other: packets of 64-bit words, the first of which is one of these.
enum StandbyMessage {
    /// A client's cookie (0: none), then those of legs; with as many descriptors, in the same order.
    static let hold: UInt64 = 1
    /// Of an agent that begins, with `WEFT_LAYOUT`: it is told of everything that is held, up to `end`.
    static let takeOver: UInt64 = 2
    static let end: UInt64 = 3
    /// Everything is closed, and the standby process ends.
    static let dismiss: UInt64 = 4

    /// Words of the longest message.
    static let capacity = 16
}

/// A socket that the standby process holds too.
struct HeldSocket: BitwiseCopyable, Sendable {
    var descriptor: CInt
    /// The cookie of the client's socket at its other end, or that of a leg.
    var cookie: UInt64
    var isClient: Bool
}

/// The agent's end of its connection to the standby process, which holds the sockets of the clients' connections that the
/// kernel's programs decide about, and their legs, so that they live on when the agent is killed or replaced.
@safe public final class StandbyLine: Sendable {
    private let descriptor: CInt
    private let broken = Atomic<Bool>(false)

    /// Where the standby process of an agent with this run directory listens.
    public static func path(inRunDirectory directory: String) -> String { "\(directory)/standby.sock" }

    /// To the process that listens at `path` (unix(7), SOCK_SEQPACKET); nil: there is none.
    public init?(path: String) {
        descriptor = unsafe weft_connect_packets(path)
        guard descriptor >= 0 else { return nil }
    }

    deinit { close(descriptor) }

    /// The standby process has ended.
    public var isBroken: Bool { broken.load(ordering: .relaxed) }

    /// The process at the other end; 0: not known.
    public var process: CInt { weft_peer_pid(descriptor) }

    /// Tells that this process is the agent now.
    ///
    /// - Returns: what is held, whose descriptors are the caller's now too; nil: there was no answer, or not all of it.
    func takeOver(layout: UInt64, milliseconds: CInt = 5000) -> [HeldSocket]? {
        guard send([StandbyMessage.takeOver, layout], []) else { return nil }
        weft_limit_waiting(descriptor, milliseconds)
        var held: [HeldSocket] = []
        while case .packet(let message) = StandbyPacket.receive(descriptor) {
            if message.words.first == StandbyMessage.end { return held }
            held += message.held
        }
        broken.store(true, ordering: .relaxed)
        for socket in held { close(socket.descriptor) }
        return nil
    }

    /// Gives the standby process a client's socket and legs; either may be empty. False: it has not taken them.
    func hold(client: HeldSocket?, legs: [HeldSocket]) -> Bool {
        send(
            [StandbyMessage.hold, client?.cookie ?? 0] + legs.map(\.cookie),
            (client.map { [$0.descriptor] } ?? []) + legs.map(\.descriptor))
    }

    /// Ends the standby process, and with it what only that still holds.
    public func dismiss() { _ = send([StandbyMessage.dismiss], []) }

    private func send(_ words: [UInt64], _ descriptors: [CInt]) -> Bool {
        let error = StandbyPacket.send(descriptor, words, descriptors)
        if error != 0, error != EAGAIN { broken.store(true, ordering: .relaxed) }
        return error == 0
    }
}

/// One message, as it comes.
@safe struct StandbyPacket {
    var words: [UInt64]
    var descriptors: [CInt]

    enum Received {
        case packet(StandbyPacket)
        /// There is none now.
        case nothing
        /// The other end is closed.
        case end
    }

    static func receive(_ socket: CInt) -> Received {
        var words = [UInt64](repeating: 0, count: StandbyMessage.capacity)
        var descriptors = [CInt](repeating: -1, count: Int(WEFT_DESCRIPTORS))
        var count = 0
        let received = unsafe words.withUnsafeMutableBytes { words in
            unsafe descriptors.withUnsafeMutableBufferPointer { descriptors in
                unsafe weft_receive_descriptors(
                    socket, words.baseAddress, words.count, descriptors.baseAddress, &count)
            }
        }
        guard received > 0 else { return received == -Int(EAGAIN) ? .nothing : .end }
        return .packet(
            StandbyPacket(
                words: Array(words.prefix(received / MemoryLayout<UInt64>.size)),
                descriptors: Array(descriptors.prefix(count))))
    }

    /// An errno; 0: it is sent.
    static func send(_ socket: CInt, _ words: [UInt64], _ descriptors: [CInt]) -> CInt {
        unsafe words.withUnsafeBytes { words in
            unsafe descriptors.withUnsafeBufferPointer { descriptors in
                unsafe -weft_send_descriptors(
                    socket, words.baseAddress, words.count, descriptors.baseAddress, descriptors.count)
            }
        }
    }

    /// What a message of the kind `hold` brings. Descriptors without a cookie are closed.
    var held: [HeldSocket] {
        guard words.count >= 2, words[0] == StandbyMessage.hold else {
            for descriptor in descriptors { close(descriptor) }
            return []
        }
        let cookies = words[1] == 0 ? Array(words.dropFirst(2)) : Array(words.dropFirst(1))
        for descriptor in descriptors.dropFirst(cookies.count) { close(descriptor) }
        return zip(descriptors, cookies).enumerated().map { place, pair in
            HeldSocket(descriptor: pair.0, cookie: pair.1, isClient: place == 0 && words[1] != 0)
        }
    }
}
