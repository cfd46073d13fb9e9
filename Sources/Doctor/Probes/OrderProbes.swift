import Glibc

/// Whether all bytes arrive, once and in their order.
enum OrderProbes {
    static let all = [order, completeness, failedRedirect, peerNeverThere]

    private static let bothPaths =
        "The guard redirects again only when the reader has taken everything that went by TCP."

    static let order = Probe("order", bothPaths) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        try lane.setCap(24 * 1024)
        defer { lane.resetCap() }
        for side in ProbeConnection.Side.allCases { try lane.set(.alternate, side, of: connection) }
        var talk = Talk(connection)
        for round in 0..<400 where round < 60 || talk.changes < 40 {
            for side in ProbeConnection.Side.allCases {
                talk.burst(from: side)
                talk.read(from: side)
            }
        }
        talk.finish()
        guard talk.isWhole else { return .init(false, "bytes arrive out of order or not at all: \(talk.fault)") }
        let changes = talk.changes
        guard changes >= 20 else {
            throw ProbeProblem("only \(changes) changes between the two paths came about, too few to show anything")
        }
        return .init(
            true, "\(talk.total) bytes arrive in their order, over \(changes) changes between redirect and TCP")
    }

    static let completeness = Probe("completeness", bothPaths) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        var dice = ProbeDice()
        var stream = ProbeStream(seed: 7)
        // One message of every size class, and one that the kernel has to cut.
        for size in [1, 2, 63, 64, 1000, 4096, 16384, 65536, 150_000] + (0..<40).map({ _ in dice.roll(1...3000) }) {
            var left = size
            while left > 0 {
                guard case .bytes(let count) = connection.send(left, of: &stream) else { break }
                left -= count
                if case .bytes(let bytes) = connection.server.receive() { stream.check(bytes) }
            }
        }
        connection.client.stopSending()
        while case .bytes(let bytes) = connection.server.receiveNext() { stream.check(bytes) }
        let redirected = connection.redirected()
        try lane.expectRedirect(redirected)
        guard stream.isWhole else { return .init(false, "not all bytes arrive: \(stream.fault)") }
        return .init(
            true, "\(stream.sent) bytes in messages of 1 to 150000 arrive whole, \(redirected) of them redirected")
    }

    private static let goesByTCP = "Where a redirect fails, the guard lets TCP carry the bytes."

    static let failedRedirect = Probe("failed-redirect", goesByTCP) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        connection.send([1, 2, 3])
        let first = connection.server.receiveNext()
        try lane.expectRedirect(connection.redirected())
        guard first == .bytes([1, 2, 3]) else { return .init(false, "the first bytes do not arrive: \(first)") }
        // The reader's socket is closed between two sends.
        connection.server.close()
        let sent = connection.send([4, 5, 6])
        guard case .bytes(3) = sent else {
            if case .error(EPIPE) = sent { return .init(true, "a send to a reader that is gone fails as with TCP") }
            return .init(false, "a send to a reader that is gone fails with \(sent)")
        }
        let answer = connection.client.receiveNext()
        let isTold = answer == .end || answer == .error(ECONNRESET)
        return .init(isTold, "a send to a reader that is gone is taken, and answered with \(answer)")
    }

    static let peerNeverThere = Probe("peer-not-admitted", goesByTCP) { lane throws(ProbeProblem) in
        let connection = try lane.connect([.client])
        var stream = ProbeStream(seed: 11)
        for size in [10, 5000, 1] {
            let sent = connection.send(size, of: &stream)
            guard case .bytes(size) = sent else {
                return .init(false, "a send to an end that is no member fails with \(sent)")
            }
        }
        let received = connection.server.receiveAll(stream.sent)
        stream.check(received.bytes)
        return .init(
            stream.isWhole, stream.isWhole ? "what a member sends to an end that is none arrives" : stream.fault)
    }
}

/// Both directions of a connection at once, in bursts, with a reader that stalls.
private struct Talk {
    private let connection: ProbeConnection
    private var streams: [ProbeConnection.Side: ProbeStream] = [
        .client: ProbeStream(seed: 1), .server: ProbeStream(seed: 1 << 20),
    ]
    private var dice = ProbeDice()
    private var refusal: ProbeEnd.Sent?
    /// What the last send of an end was.
    private var wasRedirected: [ProbeConnection.Side: Bool] = [:]
    private(set) var changes = 0

    init(_ connection: ProbeConnection) { self.connection = connection }

    mutating func burst(from side: ProbeConnection.Side) {
        for _ in 0..<dice.roll(1...10) where refusal == nil {
            let before = connection.redirected(from: side)
            let sent = connection.send(
                dice.roll(1...6000), of: &streams[side, default: ProbeStream(seed: 0)], from: side)
            guard case .bytes(let count) = sent else {
                if sent != .error(EAGAIN) { refusal = sent }
                return
            }
            guard count > 0 else { continue }
            let isRedirected = connection.redirected(from: side) > before
            if wasRedirected[side].map({ $0 != isRedirected }) == true { changes += 1 }
            wasRedirected[side] = isRedirected
        }
    }

    /// Nothing, something, or all that has been sent.
    mutating func read(from side: ProbeConnection.Side) {
        let reader = connection[side.other]
        switch dice.roll(0...3) {
        case 0: return
        // Some, so that often all is taken that was redirected and not all that came by TCP.
        case 1, 2: for _ in 0..<dice.roll(1...6) { take(reader.receive(dice.roll(1...12000)), from: side) }
        default: while take(reader.receive(), from: side) {}
        }
    }

    @discardableResult
    private mutating func take(_ received: ProbeEnd.Received, from side: ProbeConnection.Side) -> Bool {
        guard case .bytes(let bytes) = received else { return false }
        streams[side]?.check(bytes)
        return true
    }

    mutating func finish() {
        for side in ProbeConnection.Side.allCases {
            connection[side].stopSending()
            while take(connection[side.other].receiveNext(), from: side) {}
        }
    }

    var total: Int { streams.values.reduce(0) { $0 + $1.received } }
    var isWhole: Bool { refusal == nil && streams.values.allSatisfy(\.isWhole) }
    var fault: String {
        refusal.map { "a send fails with \($0)" } ?? streams.values.first { !$0.isWhole }?.fault ?? "nothing"
    }
}
