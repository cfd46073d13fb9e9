import DNS
import Dispatch
import Mesh
import Telemetry

/// The name server on a thread of its own, so that a flood of questions does not hold up the agent.
final class DNSService: Sendable {
    /// Where it answers, with the port that the kernel chose if it was 0.
    let address: String
    let place: DNSUpstream
    let statistics = DNSStatistics()
    private let mailbox: ReactorMailbox
    private let server: ReactorLocal<DNSServer>
    private let stopped = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - upstreams: resolvers for the names of others; empty: those of `resolvConf`.
    init(
        listen: HTTPListenAddress, upstreams: [DNSUpstream], resolvConf: String = "/etc/resolv.conf"
    ) throws(SystemError) {
        let reactor = try Reactor()
        let server = try DNSServer(
            reactor: reactor, listen: listen, upstreams: upstreams, resolvConf: resolvConf, statistics: statistics)
        place = server.address
        address = server.address.description
        mailbox = reactor.mailbox
        self.server = ReactorLocal(server, of: reactor)
        let loop = ReactorThread(reactor)
        let stopped = stopped
        DispatchQueue(label: "weft.dns").async {
            loop.run()
            stopped.signal()
        }
    }

    /// Answers with the names of `snapshot` from now on.
    func take(_ snapshot: MeshSnapshot) {
        mailbox.post { [server] reactor in server.get(on: reactor).take(snapshot) }
    }

    /// Closes its sockets, ends the thread and waits for it.
    func stop() {
        mailbox.post { [server] reactor in
            server.get(on: reactor).close()
            reactor.stop()
        }
        stopped.wait()
    }
}

/// Hands a reactor to the thread that runs it. Whoever made it does not touch it any more.
private struct ReactorThread: @unchecked Sendable {
    private let reactor: Reactor

    init(_ reactor: Reactor) { self.reactor = reactor }

    func run() { try? reactor.run() }
}
