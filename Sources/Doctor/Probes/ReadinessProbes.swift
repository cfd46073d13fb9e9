import CLinux
import Glibc

/// What poll and epoll say of a member that has redirected bytes.
enum ReadinessProbes {
    static let all = [poll, epollLevel, epollEdge]

    static let poll = Probe("poll") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        let reader = connection.server
        let idle = reader.poll(POLLIN | POLLOUT)
        guard idle == POLLOUT else { return .init(false, "poll says \(idle) of an idle member and not POLLOUT") }
        connection.send([UInt8](repeating: 1, count: 100))
        try lane.expectRedirect(connection.redirected())
        guard reader.poll(POLLIN, within: Patience.milliseconds) == POLLIN else {
            return .init(false, "poll does not see redirected bytes")
        }
        _ = reader.receive(60)
        guard reader.poll(POLLIN) == POLLIN else { return .init(false, "poll does not see what is left of them") }
        _ = reader.receive(60)
        guard reader.poll(POLLIN) == 0 else { return .init(false, "poll says readable when nothing is left") }
        connection.client.stopSending()
        let end = reader.poll(POLLIN | POLLRDHUP_, within: Patience.milliseconds)
        return .init(
            end == POLLIN | POLLRDHUP_, "poll sees redirected bytes until the last is read, and the end of the stream")
    }

    private static let POLLRDHUP_: CInt = 0x2000

    static let epollLevel = Probe("epoll-level") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        let queue = try EventQueue()
        try queue.add(connection.server, EPOLLIN.rawValue)
        guard queue.wait(0) == 0 else { return .init(false, "epoll says readable of an idle member") }
        connection.send([UInt8](repeating: 1, count: 100))
        try lane.expectRedirect(connection.redirected())
        guard queue.wait(Patience.milliseconds) == EPOLLIN.rawValue else {
            return .init(false, "epoll does not see redirected bytes")
        }
        _ = connection.server.receive(60)
        guard queue.wait(0) == EPOLLIN.rawValue else { return .init(false, "epoll does not see what is left of them") }
        _ = connection.server.receive(60)
        guard queue.wait(0) == 0 else { return .init(false, "epoll says readable when nothing is left") }
        return .init(true, "level-triggered epoll sees redirected bytes until the last is read")
    }

    static let epollEdge = Probe("epoll-edge") { lane throws(ProbeProblem) in
        let connection = try lane.connect()
        let interest = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        let queue = try EventQueue()
        try queue.add(connection.server, interest)
        _ = queue.wait(0)
        // What arrives by either path, in turn, has an edge of its own.
        for (turn, path) in [ProbeLane.Path.redirect, .redirect, .tcp, .redirect].enumerated() {
            try lane.set(path, .client, of: connection)
            connection.send([UInt8](repeating: 1, count: 500))
            guard queue.wait(Patience.milliseconds) & EPOLLIN.rawValue != 0 else {
                return .init(false, "edge-triggered epoll misses the arrival of \(turn + 1) messages")
            }
            guard connection.server.receiveAll(500).bytes.count == 500 else {
                return .init(false, "fewer bytes arrive than epoll announces")
            }
            guard connection.server.receive() == .error(EAGAIN) else {
                return .init(false, "a drained member does not say EAGAIN")
            }
        }
        try lane.expectRedirect(connection.redirected())
        connection.client.stopSending()
        let end = queue.wait(Patience.milliseconds)
        guard end & EPOLLRDHUP.rawValue != 0 else {
            return .init(false, "edge-triggered epoll misses the end of the stream")
        }
        return .init(true, "edge-triggered epoll has an event for each arrival, by either path, and for the end")
    }
}
