import CLinux
import DNS
import Glibc
import Mesh

/// The name server: takes questions in datagrams and streams, answers those for names of the mesh from the zone, and has
/// all others forwarded. Confined to the thread of its reactor.
final class DNSServer {
    /// Datagrams that are answered in one turn.
    private static let batch = 64
    private static let maxConnections = 128

    let reactor: Reactor
    /// Where it answers.
    let address: DNSUpstream
    private let statistics: DNSStatistics
    private var zone = MeshZone(MeshSnapshot())
    private var callers = DNSCallers(MeshSnapshot())
    private let forwarder: DNSForwarder
    private let datagrams: CInt
    private let listener: CInt
    private var registrations: [Reactor.Registration] = []
    private var connections: [ObjectIdentifier: DNSConnection] = [:]

    init(
        reactor: Reactor, listen: HTTPListenAddress, upstreams: [DNSUpstream], resolvConf: String,
        statistics: DNSStatistics
    ) throws(SystemError) {
        self.reactor = reactor
        self.statistics = statistics
        (datagrams, listener, address) = try Self.open(listen)
        let address = address
        let resolvers = NodeResolvers(configured: upstreams, path: resolvConf) { server in
            server.port == address.port
                && (server.address == address.address || address.address.isUnspecified && server.address.isLoopback)
        }
        forwarder = DNSForwarder(reactor: reactor, resolvers: resolvers, statistics: statistics)
        registrations.append(try reactor.register(datagrams, .readable) { [unowned self] _ in receive() })
        registrations.append(try reactor.register(listener, .readable) { [unowned self] _ in accept() })
    }

    /// A socket for datagrams and one for streams, on the same port. If the kernel is to choose it, its choice for the one
    /// may be somebody's for the other.
    private static func open(
        _ listen: HTTPListenAddress
    ) throws(SystemError) -> (datagrams: CInt, listener: CInt, address: DNSUpstream) {
        var attemptsLeft = 64
        while true {
            let datagrams = try DNSSocket.bound(listen, type: SOCK_DGRAM)
            guard let address = DNSSocket.local(of: datagrams) else {
                Glibc.close(datagrams)
                throw SystemError("answer names at \(listen)", code: EADDRNOTAVAIL)
            }
            do throws(SystemError) {
                let same = HTTPListenAddress.ip(address.address.description, port: address.port)
                return (datagrams, try DNSSocket.bound(same, type: SOCK_STREAM), address)
            } catch {
                Glibc.close(datagrams)
                attemptsLeft -= 1
                guard case .ip(_, port: 0) = listen, error.code == EADDRINUSE, attemptsLeft > 0 else { throw error }
            }
        }
    }

    /// Takes the names of a new snapshot.
    func take(_ snapshot: MeshSnapshot) {
        zone = MeshZone(snapshot)
        callers = DNSCallers(snapshot)
    }

    func close() {
        for registration in registrations { reactor.unregister(registration) }
        registrations = []
        for connection in Array(connections.values) { connection.close() }
        forwarder.close()
        Glibc.close(datagrams)
        Glibc.close(listener)
    }

    // MARK: Sockets

    private func receive() {
        for _ in 0..<Self.batch {
            var buffer = [UInt8](repeating: 0, count: 4096)
            var source = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = unsafe withUnsafeMutablePointer(to: &source) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe recvfrom(datagrams, &buffer, buffer.count, 0, $0, &length)
                }
            }
            guard count >= 0 else {
                // An ICMP error of an earlier answer is not the end of what waits here.
                if weft_errno() == ECONNREFUSED { continue }
                return
            }
            buffer.removeLast(buffer.count - count)
            guard let peer = DNSSocket.peer(source) else { continue }
            let (target, size) = (source, length)
            answer(buffer, from: peer, isStream: false) { [unowned self] in send($0, target, size) }
        }
    }

    /// An answer that finds no room is lost, as datagrams are: the client asks again.
    private func send(_ bytes: [UInt8], _ target: sockaddr_storage, _ length: socklen_t) {
        var target = target
        _ = unsafe withUnsafePointer(to: &target) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe sendto(datagrams, bytes, bytes.count, CInt(MSG_NOSIGNAL), $0, length)
            }
        }
    }

    private func accept() {
        for _ in 0..<16 {
            let accepted = weft_accept(listener, CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard accepted >= 0 else { return }
            guard connections.count < Self.maxConnections,
                let connection = DNSConnection(
                    descriptor: accepted, reactor: reactor,
                    answer: { [unowned self] bytes, peer, reply in
                        answer(bytes, from: peer, isStream: true, reply)
                    }, onClose: { [unowned self] in connections[ObjectIdentifier($0)] = nil })
            else {
                Glibc.close(accepted)
                continue
            }
            connections[ObjectIdentifier(connection)] = connection
        }
    }

    // MARK: Answers

    private func answer(
        _ bytes: [UInt8], from peer: DNSUpstream, isStream: Bool, _ reply: @escaping ([UInt8]) -> Void
    ) {
        let query: DNSQuery
        do throws(DNSQuery.Refusal) {
            query = try DNSQuery(bytes)
        } catch {
            statistics.count(.malformed)
            if case .answer(let refusal) = error { reply(refusal) }
            return
        }
        let limit = isStream ? DNSWriter.maxStream : query.payloadLimit
        if let code = Self.refusal(of: query) {
            statistics.count(.refused)
            return reply(DNSWriter.response(to: query, code, limit: limit))
        }
        let found = zone.lookup(query.question) { callers.namespace(of: peer, at: address, isStream: isStream) }
        if let answer = authoritative(found, query, limit) {
            statistics.count(.mesh)
            return reply(answer)
        }
        forwarder.resolve(query) { answer, age in reply(answer.message(to: query, age: age, limit: limit)) }
    }

    private static func refusal(of query: DNSQuery) -> DNSResponseCode? {
        if let version = query.edns?.version, version > 0 { return .badVersion }
        guard query.question.recordClass == dnsClassInternet else { return .refused }
        switch query.question.type {
        case .axfr, .ixfr, .opt: return .refused
        default: return nil
        }
    }

    /// Nil: the name is not the mesh's.
    private func authoritative(_ answer: MeshZone.Answer, _ query: DNSQuery, _ limit: Int) -> [UInt8]? {
        switch answer {
        case .foreign: nil
        case .nameError:
            DNSWriter.response(
                to: query, .nameError, isAuthoritative: true, authority: zone.authority, limit: limit)
        case .noData:
            DNSWriter.response(to: query, .noError, isAuthoritative: true, authority: zone.authority, limit: limit)
        case .records(let records, let additional):
            DNSWriter.response(
                to: query, .noError, isAuthoritative: true, answers: records, additional: additional, limit: limit)
        }
    }
}
