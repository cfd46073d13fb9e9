import Glibc

/// Half-closes, ends and resets: after the bytes that were sent before them, and not instead.
enum EndingProbes {
    static let all = [halfClose, endAfterData, reset, closeUnread]

    static let halfClose = Probe("half-close") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        connection.send([UInt8](repeating: 1, count: 5000))
        try lane.expectRedirect(connection.redirected())
        connection.client.stopSending()
        let request = connection.server.receiveAll(5000)
        guard request.bytes.count == 5000 else {
            return .init(false, "\(request.bytes.count) of 5000 bytes arrive before a half-close")
        }
        let end = connection.server.receiveNext()
        guard end == .end else { return .init(false, "after a half-close the reader gets \(end)") }
        // The other direction is open.
        connection.send([UInt8](repeating: 2, count: 3000), from: .server)
        let answer = connection.client.receiveAll(3000)
        guard answer.bytes.count == 3000 else {
            return .init(false, "\(answer.bytes.count) of 3000 bytes arrive at an end that is half closed")
        }
        connection.server.stopSending()
        let last = connection.client.receiveNext()
        return .init(last == .end, "a half-close comes after the bytes before it, and the answer still arrives")
    }

    static let endAfterData = Probe("end-after-data") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        var stream = ProbeStream(seed: 3)
        for _ in 0..<6 { connection.send(4000, of: &stream) }
        try lane.expectRedirect(connection.redirected())
        connection.client.close()
        // The FIN has come by TCP long before the reader looks.
        guard connection.server.poll(POLLIN, within: Patience.milliseconds) & POLLIN != 0 else {
            return .init(false, "nothing arrives of what was sent before a close")
        }
        let received = connection.server.receiveAll(stream.sent)
        stream.check(received.bytes)
        guard stream.isWhole else { return .init(false, "a close overtakes bytes: \(stream.fault)") }
        let end = connection.server.receiveNext()
        return .init(end == .end, "\(stream.sent) bytes arrive before the close that followed them, then \(end)")
    }

    static let reset = Probe("reset") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        connection.send([1, 2, 3])
        let first = connection.server.receiveNext()
        try lane.expectRedirect(connection.redirected())
        guard first == .bytes([1, 2, 3]) else { return .init(false, "the first bytes do not arrive: \(first)") }
        connection.client.abort()
        let end = connection.server.receiveNext()
        guard end == .error(ECONNRESET) else { return .init(false, "after a reset the reader gets \(end)") }
        return .init(true, "a reset arrives as one")
    }

    static let closeUnread = Probe(
        "close-unread",
        "The writer is told by the end of the stream, and by an error when it writes again, as of any reader that leaves."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        connection.send([UInt8](repeating: 1, count: 2000))
        try lane.expectRedirect(connection.redirected())
        connection.server.close()
        let first = connection.client.receiveNext()
        if first == .error(ECONNRESET) { return .init(true, "closing with unread bytes resets the connection") }
        guard first == .end else { return .init(false, "closing with unread bytes gives the writer \(first)") }
        guard lane.isGuarded else { return .init(false, "closing with unread bytes is no reset but an end") }
        // The first write is answered by a reset, which the second meets.
        var writes: [ProbeEnd.Sent] = []
        for _ in 0..<20 {
            let sent = connection.send([1])
            writes.append(sent)
            if case .error = sent { break }
            usleep(2000)
        }
        let last = writes.last ?? .bytes(0)
        return .init(
            last == .error(EPIPE) || last == .error(ECONNRESET),
            "the writer gets the end of the stream and, writing on, \(last)")
    }
}
