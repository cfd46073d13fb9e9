import CLinux
import DNS
import Glibc

/// One question asked of the node's resolvers, one after the other, until one answers.
///
/// Every attempt has a socket, a port and an id of its own. What comes back counts only if it is from that server, with
/// that id, for that question; everything else is waited out (RFC 5452 §9).
final class DNSExchange {
    private static let datagramTimeout = Duration.milliseconds(1500)
    private static let streamTimeout = Duration.seconds(3)
    /// Datagrams on one socket that are not the answer.
    private static let maxStrangers = 32

    private let reactor: Reactor
    private let key: DNSCache.Key
    private let servers: [DNSUpstream]
    private let onEnd: (DNSAnswer) -> Void
    private var attemptsLeft: Int
    private var next: Int
    private var usesEDNS = true
    private var id: UInt16 = 0
    private var descriptor: CInt = -1
    private var registration: Reactor.Registration?
    private var timer: Reactor.TimerID?
    private var strangers = 0
    /// Of a stream: what is still to be sent, and what has come.
    private var outgoing: [UInt8] = []
    private var incoming: [UInt8] = []
    /// What is answered if nothing better comes.
    private var worst = DNSAnswer()
    private var isOver = false

    /// - Parameter onEnd: called once, never before `start` has returned.
    init(
        reactor: Reactor, key: DNSCache.Key, servers: [DNSUpstream], first: Int, onEnd: @escaping (DNSAnswer) -> Void
    ) {
        self.reactor = reactor
        self.key = key
        self.servers = servers
        self.onEnd = onEnd
        next = first
        attemptsLeft = max(3, servers.count)
    }

    /// The server that was asked last.
    private(set) var current = 0

    func start() {
        // A failure at once must not end it before its owner knows it.
        reactor.after(.zero) { [self] in attempt() }
    }

    /// Ends it without an answer.
    func cancel() {
        isOver = true
        release()
    }

    private func attempt() {
        release()
        outgoing = []
        guard !isOver else { return }
        guard attemptsLeft > 0, !servers.isEmpty else { return end(worst) }
        attemptsLeft -= 1
        current = next % servers.count
        next = current + 1
        send()
    }

    private func send() {
        guard let opened = DNSSocket.connected(servers[current], type: SOCK_DGRAM) else { return attempt() }
        descriptor = opened
        strangers = 0
        let query = query()
        guard unsafe Glibc.send(opened, query, query.count, CInt(MSG_NOSIGNAL)) == query.count,
            watch(.readable, timeout: Self.datagramTimeout, { [self] _ in receive() })
        else { return attempt() }
    }

    private func query() -> [UInt8] {
        id = .random(in: 0 ... .max)
        var flags: DNSFlags = .recursionDesired
        if key.checkingDisabled { flags.insert(.checkingDisabled) }
        return DNSWriter.query(
            id: id, key.question, flags: flags, usesEDNS: usesEDNS, wantsSecurity: key.wantsSecurity)
    }

    private func watch(
        _ events: Reactor.Events, timeout: Duration, _ handler: @escaping (Reactor.Events) -> Void
    ) -> Bool {
        guard let watched = try? reactor.register(descriptor, events, handler) else { return false }
        registration = watched
        timer = reactor.after(timeout) { [self] in
            timer = nil
            attempt()
        }
        return true
    }

    private func receive() {
        while strangers < Self.maxStrangers {
            switch DNSSocket.receive(descriptor, limit: 4096, isStream: false) {
            case .success(nil): return
            case .failure: return attempt()  // nobody listens there
            case .success(let bytes?):
                if let answer = try? DNSAnswer(bytes, to: key.question, id: id) { return take(answer) }
                strangers += 1
            }
        }
        attempt()
    }

    private func take(_ answer: DNSAnswer) {
        if answer.isTruncated, outgoing.isEmpty {
            worst = answer
            return connect()
        }
        switch answer.code {
        case .noError, .nameError: end(answer)
        case .formatError where usesEDNS, .notImplemented where usesEDNS:
            // A server from before EDNS (RFC 6891 §7).
            usesEDNS = false
            next = current
            attemptsLeft += 1
            attempt()
        default:
            worst = answer
            attempt()
        }
    }

    // MARK: TCP

    /// Asks the same server for the whole answer (RFC 7766 §5).
    private func connect() {
        release()
        guard let opened = DNSSocket.connected(servers[current], type: SOCK_STREAM) else { return attempt() }
        descriptor = opened
        let query = query()
        outgoing = [UInt8(query.count >> 8), UInt8(truncatingIfNeeded: query.count)] + query
        incoming = []
        guard watch(.writable, timeout: Self.streamTimeout, { [self] _ in exchange() }) else { return attempt() }
    }

    private func exchange() {
        if incoming.isEmpty, !outgoing.isEmpty {
            let sent = unsafe Glibc.send(descriptor, outgoing, outgoing.count, CInt(MSG_NOSIGNAL))
            guard sent >= 0 else {
                if weft_errno() != EAGAIN { attempt() }
                return
            }
            outgoing.removeFirst(sent)
            guard outgoing.isEmpty, let registration else { return }
            reactor.modify(registration, .readable)
            return
        }
        while true {
            let expected = incoming.count < 2 ? 2 : 2 + Int(incoming[0]) << 8 + Int(incoming[1])
            if incoming.count >= 2, incoming.count == expected { return takeStream() }
            switch DNSSocket.receive(descriptor, limit: expected - incoming.count, isStream: true) {
            case .success(nil): return
            case .failure: return attempt()
            case .success(let bytes?): incoming += bytes
            }
        }
    }

    private func takeStream() {
        guard let answer = try? DNSAnswer(Array(incoming[2...]), to: key.question, id: id), !answer.isTruncated else {
            return attempt()
        }
        take(answer)
    }

    // MARK: The end

    private func release() {
        if let registration { reactor.unregister(registration) }
        if let timer { reactor.cancel(timer) }
        if descriptor >= 0 { close(descriptor) }
        registration = nil
        timer = nil
        descriptor = -1
    }

    private func end(_ answer: DNSAnswer) {
        guard !isOver else { return }
        isOver = true
        release()
        onEnd(answer)
    }
}
