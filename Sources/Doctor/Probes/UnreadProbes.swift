/// What FIONREAD says of bytes that wait, for every way in which the ends of a connection can be members.
enum UnreadProbes {
    static let all = [
        probe("fionread-plain", [], .tcp, "neither end is a member"),
        probe("fionread-reader", [.server], .tcp, "the reader alone is a member"),
        probe("fionread-writer", [.client], .tcp, "the writer alone is a member"),
        probe("fionread-tcp", [.client, .server], .tcp, "both ends are members and TCP carries the bytes"),
        probe("fionread-redirected", [.client, .server], .redirect, "both ends are members and bytes are redirected"),
        mixed,
    ]

    static let names = Set(all.map(\.name))

    private static let remedy =
        "Workloads that ask for it are not admitted: certification watches for FIONREAD."

    private static func probe(
        _ name: String, _ members: [ProbeConnection.Side], _ path: ProbeLane.Path, _ membership: String
    ) -> Probe {
        Probe(name, keptBy: .admission, remedy) { lane throws(ProbeProblem) in
            let connection = try lane.connect(members)
            try lane.set(path, .client, of: connection)
            connection.send([UInt8](repeating: 1, count: 3000))
            connection.send([UInt8](repeating: 2, count: 96))
            guard connection.server.poll(1, within: Patience.milliseconds) != 0 else {
                return .init(false, "nothing arrives when \(membership)")
            }
            let redirected = connection.redirected()
            if case .redirect = path { try lane.expectRedirect(redirected) }
            let unread = connection.server.unread
            let received = connection.server.receiveAll(3096).bytes.count
            let left = connection.server.unread
            return .init(
                unread == 3096 && received == 3096 && left == 0,
                "FIONREAD says \(unread) of 3096 unread bytes when \(membership), and \(left) when all are read")
        }
    }

    private static let mixed = Probe("fionread-mixed", keptBy: .admission, remedy) { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        connection.send([UInt8](repeating: 1, count: 1000))
        try lane.expectRedirect(connection.redirected())
        try lane.set(.tcp, .client, of: connection)
        connection.send([UInt8](repeating: 2, count: 500))
        let unread = connection.server.unread
        let received = connection.server.receiveAll(1500).bytes.count
        // 1000 is right for a reader that asks how much one recv() can return.
        return .init(
            unread == 1500 && received == 1500,
            "FIONREAD says \(unread) when 1000 redirected bytes and 500 of TCP wait")
    }
}
