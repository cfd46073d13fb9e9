import CLinux

/// A connection of two sockets of this process.
final class ProbeConnection {
    enum Side: UInt32, CaseIterable {
        case client = 0
        case server = 1

        var other: Side { self == .client ? .server : .client }
    }

    let client: ProbeEnd
    let server: ProbeEnd
    /// Its number in the lane's maps.
    let pair: UInt32
    /// Bytes that each end's sends were taken for.
    private(set) var taken: [Side: Int] = [.client: 0, .server: 0]

    init(pair: UInt32) throws(ProbeProblem) {
        var ends: (CInt, CInt) = (-1, -1)
        let code = unsafe withUnsafeMutablePointer(to: &ends) {
            unsafe $0.withMemoryRebound(to: CInt.self, capacity: 2) {
                unsafe weft_loopback_pair($0, CInt(Patience.milliseconds * 4))
            }
        }
        guard code == 0 else { throw ProbeProblem("no connection over 127.0.0.1 can be made", errno: -code) }
        (client, server) = (ProbeEnd(owning: ends.0), ProbeEnd(owning: ends.1))
        self.pair = pair
    }

    subscript(_ side: Side) -> ProbeEnd { side == .client ? client : server }

    @discardableResult
    func send(_ bytes: [UInt8], from side: Side = .client) -> ProbeEnd.Sent {
        let sent = self[side].send(bytes)
        if case .bytes(let count) = sent { taken[side, default: 0] += count }
        return sent
    }

    /// Sends the next bytes of a stream.
    @discardableResult
    func send(_ count: Int, of stream: inout ProbeStream, from side: Side = .client) -> ProbeEnd.Sent {
        let sent = send(stream.next(count), from: side)
        if case .bytes(let count) = sent { stream.take(count) }
        return sent
    }

    /// Of the bytes that the end has sent, those that TCP never saw.
    func redirected(from side: Side = .client) -> Int {
        let carried = weft_tcp_taken_bytes(self[side].descriptor)
        return carried < 0 ? 0 : taken[side, default: 0] - Int(carried)
    }
}

/// Why a probe could not be made.
struct ProbeProblem: Error {
    let description: String

    init(_ text: String, errno code: CInt = 0) {
        description = code == 0 ? text : "\(text): \(errorName(code))"
    }
}
