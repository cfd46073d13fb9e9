import CLinux
import DNS
import Glibc

/// A client's connection (RFC 7766): questions one after the other, answered in whatever order the answers come.
final class DNSConnection {
    private static let idleDeadline = Duration.seconds(10)
    /// Questions of one connection under way at the same time; more are read later.
    private static let maxOutstanding = 64
    /// Bytes that a client leaves unread.
    private static let maxBacklog = 1 << 18

    typealias Answer = (_ bytes: [UInt8], _ peer: DNSUpstream, _ reply: @escaping ([UInt8]) -> Void) -> Void

    private let descriptor: CInt
    private let reactor: Reactor
    private let answer: Answer
    private let onClose: (DNSConnection) -> Void
    private let peer: DNSUpstream
    private var registration: Reactor.Registration?
    private var timer: Reactor.TimerID?
    private var incoming: [UInt8] = []
    private var outgoing: [UInt8] = []
    private var outstanding = 0
    private var isFinished = false

    /// Nil if the connection is gone already; the descriptor is the caller's then.
    init?(
        descriptor: CInt, reactor: Reactor, answer: @escaping Answer, onClose: @escaping (DNSConnection) -> Void
    ) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getpeername(descriptor, $0, &length)
            }
        }
        guard result == 0, let peer = DNSSocket.peer(storage) else { return nil }
        self.descriptor = descriptor
        self.reactor = reactor
        self.answer = answer
        self.onClose = onClose
        self.peer = peer
        guard let registered = try? reactor.register(descriptor, .readable, { [unowned self] in handle($0) }) else {
            return nil
        }
        registration = registered
        restartTimer()
    }

    func close() {
        guard let registration else { return }
        self.registration = nil
        reactor.unregister(registration)
        if let timer { reactor.cancel(timer) }
        Glibc.close(descriptor)
        onClose(self)
    }

    private func handle(_ events: Reactor.Events) {
        if events.contains(.writable) { flush() }
        if events.contains(.readable) || events.contains(.hangup) || events.contains(.error) { read() }
    }

    private func read() {
        guard registration != nil, !isFinished, outstanding < Self.maxOutstanding else { return watch() }
        switch DNSSocket.receive(descriptor, limit: 16384, isStream: true) {
        case .success(nil): break
        case .failure:
            // The client may wait for answers with its sending side closed.
            isFinished = true
            if outstanding == 0 && outgoing.isEmpty { return close() }
        case .success(let bytes?):
            incoming += bytes
            restartTimer()
        }
        takeQuestions()
        watch()
    }

    private func takeQuestions() {
        while registration != nil, outstanding < Self.maxOutstanding, incoming.count >= 2 {
            let count = Int(incoming[0]) << 8 | Int(incoming[1])
            // Nothing shorter than a header is a question, and none is longer than some names.
            guard count >= 12, count <= 4096 else { return close() }
            guard incoming.count >= 2 + count else { return }
            let question = Array(incoming[2..<(2 + count)])
            incoming.removeFirst(2 + count)
            outstanding += 1
            answer(question, peer) { [weak self] in self?.reply($0) }
        }
    }

    private func reply(_ bytes: [UInt8]) {
        guard registration != nil else { return }
        outstanding -= 1
        outgoing += [UInt8(bytes.count >> 8), UInt8(truncatingIfNeeded: bytes.count)] + bytes
        guard outgoing.count <= Self.maxBacklog else { return close() }
        restartTimer()
        flush()
        takeQuestions()
        watch()
    }

    private func flush() {
        guard !outgoing.isEmpty, registration != nil else { return }
        let sent = unsafe send(descriptor, outgoing, outgoing.count, CInt(MSG_NOSIGNAL))
        if sent >= 0 { outgoing.removeFirst(sent) } else if weft_errno() != EAGAIN { return close() }
        if outgoing.isEmpty, isFinished, outstanding == 0 { return close() }
        watch()
    }

    private func watch() {
        guard let registration else { return }
        var events: Reactor.Events = []
        if !isFinished, outstanding < Self.maxOutstanding { events.insert(.readable) }
        if !outgoing.isEmpty { events.insert(.writable) }
        reactor.modify(registration, events)
    }

    private func restartTimer() {
        if let timer { reactor.cancel(timer) }
        timer = reactor.after(Self.idleDeadline) { [weak self] in
            self?.timer = nil
            self?.close()
        }
    }
}
