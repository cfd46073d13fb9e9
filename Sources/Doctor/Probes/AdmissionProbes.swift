import CLinux
import Glibc

/// Sockets that may not be redirected although they are members already: an application can change them at any time.
enum AdmissionProbes {
    static let all = [blockingWriter, blockingReader, inquiry]

    /// Whether any of the bytes went past TCP, and whether they arrive.
    private static func tryBytes(
        _ lane: ProbeLane, _ connection: ProbeConnection, _ kind: String
    ) throws(ProbeProblem) -> Probe.Observation {
        var stream = ProbeStream(seed: 29)
        for size in [10, 3000, 1] { connection.send(size, of: &stream) }
        let redirected = connection.redirected()
        stream.check(connection.server.receiveAll(stream.sent).bytes)
        guard stream.isWhole else { return .init(false, "of \(kind), \(stream.fault)") }
        return .init(
            redirected == 0,
            redirected == 0
                ? "\(kind) are left to TCP" : "\(redirected) of \(stream.sent) bytes of \(kind) are redirected")
    }

    static let blockingWriter = Probe(
        "blocking-writer", "The guard reads the descriptor's flags at each send."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        weft_set_patience(connection.client.descriptor, CInt(Patience.milliseconds))
        return try tryBytes(lane, connection, "sends on a blocking descriptor")
    }

    static let blockingReader = Probe(
        "blocking-reader", "The guard reads the flags of the reader's descriptor before it redirects the first byte."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        weft_set_patience(connection.server.descriptor, CInt(Patience.milliseconds))
        return try tryBytes(lane, connection, "sends to a reader that blocks")
    }

    static let inquiry = Probe(
        "inq", keptBy: .admission,
        "The guard sees TCP_INQ on a socket that sends; workloads that use it are not admitted."
    ) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        guard weft_set_inq(connection.client.descriptor) == 0 else { throw ProbeProblem("TCP_INQ cannot be set") }
        return try tryBytes(lane, connection, "sends of a socket with TCP_INQ")
    }
}
