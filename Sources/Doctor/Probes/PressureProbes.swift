import Glibc

/// A reader that sleeps, and a writer that does not.
enum PressureProbes {
    static let all = [backPressure, memory, pause]

    private static let cap = 64 * 1024

    /// Sends until nothing more is taken, or as much as shows that there is no bound.
    private static func fill(
        _ connection: ProbeConnection, _ stream: inout ProbeStream, from side: ProbeConnection.Side = .client,
        limit: Int
    ) -> ProbeEnd.Sent {
        while stream.sent < limit {
            let sent = connection.send(32768, of: &stream, from: side)
            if case .error = sent { return sent }
        }
        return .bytes(stream.sent)
    }

    static let backPressure = Probe(
        "back-pressure", "The guard redirects no more than its cap, and from there on TCP makes the writer wait."
    ) { lane throws(ProbeProblem) in
        // What TCP takes here, which is for the system's settings to say.
        let plain = try lane.connect([])
        var plainStream = ProbeStream(seed: 13)
        guard fill(plain, &plainStream, limit: 64 << 20) == .error(EAGAIN) else {
            throw ProbeProblem("TCP takes more than 64 MiB for a reader that sleeps")
        }
        let bound = plainStream.sent * 3 / 2 + cap + (1 << 20)

        let connection = try lane.connect()
        try lane.setCap(cap)
        defer { lane.resetCap() }
        var stream = ProbeStream(seed: 17)
        let stop = fill(connection, &stream, limit: bound)
        guard stop == .error(EAGAIN) else {
            return .init(
                false,
                "a writer is not stopped by a reader that sleeps: \(stop == .bytes(stream.sent) ? "" : "it gets \(stop) after ")"
                    + "\(stream.sent / 1024) KiB are taken, where TCP stops it after \(plainStream.sent / 1024) KiB")
        }
        let writable = connection.client.poll(POLLOUT)
        guard writable & POLLOUT == 0 else { return .init(false, "poll says writable of a member that takes nothing") }
        while case .bytes(let bytes) = connection.server.receiveNext(1 << 20, within: 20) { stream.check(bytes) }
        guard stream.isWhole else { return .init(false, "after the writer has waited, \(stream.fault)") }
        guard connection.client.poll(POLLOUT, within: Patience.milliseconds) & POLLOUT != 0 else {
            return .init(false, "the writer is not woken when the reader has read")
        }
        return .init(
            true,
            "a writer gets EAGAIN after \(stream.received / 1024) KiB, as one of TCP does (\(plainStream.sent / 1024) KiB),"
                + " and goes on when the reader has read")
    }

    static let memory = Probe(
        "memory", "The guard bounds what waits outside of TCP, for each direction of each connection."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        try lane.setCap(cap)
        defer { lane.resetCap() }
        var held = 0
        for side in ProbeConnection.Side.allCases {
            var stream = ProbeStream(seed: 19)
            _ = fill(connection, &stream, from: side, limit: 8 << 20)
            held = max(held, connection.redirected(from: side))
        }
        try lane.expectRedirect(held)
        return .init(
            held <= cap,
            "\(held / 1024) KiB of one direction wait outside of TCP's limits"
                + (lane.isGuarded ? " with a cap of \(cap / 1024) KiB" : ""))
    }

    static let pause = Probe(
        "pause", "A flag that the guard reads at each send stops redirects at once; nobody is taken out of the map."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        var stream = ProbeStream(seed: 23)
        connection.send(3000, of: &stream)
        let before = connection.redirected()
        try lane.expectRedirect(before)
        try lane.set(.tcp, .client, of: connection)
        for _ in 0..<5 { connection.send(3000, of: &stream) }
        guard connection.redirected() == before else { return .init(false, "bytes are redirected after a pause") }
        try lane.set(.redirect, .client, of: connection)
        // First the reader has taken nothing, then what was redirected but not what came by TCP: not yet.
        connection.send(3000, of: &stream)
        stream.check(connection.server.receiveAll(before).bytes)
        connection.send(3000, of: &stream)
        stream.check(connection.server.receiveAll(stream.sent - stream.received).bytes)
        guard stream.isWhole else { return .init(false, "after a pause, \(stream.fault)") }
        connection.send(3000, of: &stream)
        let after = connection.redirected()
        guard after > before else { return .init(false, "nothing is redirected any more after a pause") }
        stream.check(connection.server.receiveAll(3000).bytes)
        return .init(stream.isWhole, "a pause stops redirects at once, and its end lets them begin again in order")
    }
}
