// Unsafe code of this file: the descriptors that pipe(2) fills in.

import CLinux
import Glibc

/// Ways to read that are not a plain recv() on a non-blocking socket.
enum ReadingProbes {
    static let all = [peek, splice, waitAll, blockingReceive, lowWater]

    static let peek = Probe("peek") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        var stream = ProbeStream(seed: 5)
        for _ in 0..<3 { connection.send(700, of: &stream) }
        try lane.expectRedirect(connection.redirected())
        let flag = CInt(MSG_PEEK)
        guard connection.server.poll(POLLIN, within: Patience.milliseconds) != 0 else {
            return .init(false, "nothing arrives")
        }
        let (first, second) = (
            connection.server.receive(1500, flags: flag), connection.server.receive(1500, flags: flag)
        )
        guard first == second, first.count == 1500 else {
            return .init(false, "MSG_PEEK of 1500 redirected bytes gives \(first), then \(second)")
        }
        let received = connection.server.receiveAll(2100).bytes
        stream.check(received)
        guard stream.isWhole, first == .bytes(Array(received.prefix(1500))) else {
            return .init(false, "what MSG_PEEK shows is not what is read: \(stream.fault)")
        }
        return .init(true, "MSG_PEEK shows redirected bytes and leaves them")
    }

    static let splice = Probe(
        "splice", keptBy: .admission,
        "Workloads that splice are not admitted: certification watches for splice()."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        var pipe: [CInt] = [-1, -1]
        guard unsafe Glibc.pipe(&pipe) == 0 else { throw ProbeProblem("no pipe", errno: weft_errno()) }
        let ends = (ProbeEnd(owning: pipe[0]), ProbeEnd(owning: pipe[1]))
        connection.send([UInt8](repeating: 1, count: 1000))
        try lane.expectRedirect(connection.redirected())
        let isReadable = connection.server.poll(POLLIN, within: Patience.milliseconds) & POLLIN != 0
        let moved = weft_splice(connection.server.descriptor, ends.1.descriptor, 1000)
        guard moved == 1000 else {
            let result = moved < 0 ? errorName(CInt(-moved)) : "\(moved) bytes"
            return .init(
                false,
                "splice() from a member gives \(result) for 1000 redirected bytes"
                    + (isReadable ? ", although poll says readable: a program that splices hangs" : ""))
        }
        return .init(true, "splice() takes redirected bytes")
    }

    private static let blocking =
        "Sockets that block are not admitted: neither those whose descriptor says so when they connect, nor workloads that"
        + " certification has seen to use them."

    static let waitAll = Probe("waitall", keptBy: .admission, blocking) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        connection.send([UInt8](repeating: 1, count: 100))
        try lane.expectRedirect(connection.redirected())
        weft_set_patience(connection.server.descriptor, CInt(Patience.milliseconds))
        let writer = connection.client
        let rest = try ProbeThread {
            usleep(20_000)
            writer.send([UInt8](repeating: 2, count: 100))
        }
        let received = connection.server.receive(200, flags: CInt(MSG_WAITALL))
        rest.join()
        guard received.count == 200 else {
            return .init(
                false, "recv(MSG_WAITALL) of 200 bytes returns \(received) when 100 have been redirected and 100 follow"
            )
        }
        return .init(true, "recv(MSG_WAITALL) waits for all that it asks for")
    }

    /// A blocked recv() is disturbed by room in the send buffer of the same socket, which another thread may wait for.
    static let blockingReceive = Probe("blocking-receive", keptBy: .admission, blocking) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        for side in ProbeConnection.Side.allCases { try lane.set(.tcp, side, of: connection) }
        let chunk = [UInt8](repeating: 1, count: 65536)
        for _ in 0..<2000 {
            guard case .bytes = connection.send(chunk, from: .server) else { break }
        }
        let patience = Patience.milliseconds
        weft_set_patience(connection.server.descriptor, CInt(patience))
        let reader = connection.client
        let drain = try ProbeThread {
            usleep(20_000)
            while case .bytes = reader.receiveNext(within: 10) {}
        }
        let started = Patience.now
        let received = connection.server.receive(10)
        let waited = Patience.now - started
        drain.join()
        guard received == .error(EAGAIN), waited >= patience - 10 else {
            return .init(
                false,
                "recv() on a blocking member returns \(received) after \(waited) ms with nothing to read,"
                    + " because a send on the same socket got room")
        }
        return .init(true, "a blocked recv() waits, whatever is sent on the same socket")
    }

    static let lowWater = Probe(
        "low-water", "The guard sees SO_RCVLOWAT and TCP_INQ at each send, and leaves such connections to TCP."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        guard weft_set_low_water(connection.server.descriptor, 1000) == 0 else {
            throw ProbeProblem("SO_RCVLOWAT cannot be set")
        }
        connection.send([UInt8](repeating: 1, count: 100))
        guard connection.server.poll(POLLIN, within: 20) == 0 else {
            return .init(false, "a member is readable below its SO_RCVLOWAT")
        }
        connection.send([UInt8](repeating: 1, count: 1000))
        guard connection.server.poll(POLLIN, within: Patience.milliseconds) != 0 else {
            return .init(false, "a member is not readable at its SO_RCVLOWAT")
        }
        return .init(true, "a member is readable from its SO_RCVLOWAT on")
    }
}
