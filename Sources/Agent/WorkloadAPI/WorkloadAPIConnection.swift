import CLinux
import Glibc

/// One client of the Workload API.
final class WorkloadAPIConnection: HTTP2ServerDelegate {
    let caller: PeerProcess
    /// Whom the connection counts for: the workload's SPIFFE id, or nil for all processes that have none.
    let account: String?
    private let descriptor: CInt
    private unowned let server: WorkloadAPIServer
    private var registration: Reactor.Registration?
    private var watched: Reactor.Events = .readable
    private var session: HTTP2ServerSession?
    private var calls: [Int32: WorkloadAPICall] = [:]
    private var frames: TokenBucket
    private var bytes: TokenBucket
    private var isFlooding = false
    private var output: [UInt8] = []
    private var outputStart = 0
    private var timer: Reactor.TimerID?
    private var isOpen = true

    private var limits: WorkloadAPIServer.Limits { server.limits }
    private var isSending: Bool { outputStart < output.count }

    init(descriptor: CInt, caller: consuming PeerProcess, account: String?, server: WorkloadAPIServer) {
        self.descriptor = descriptor
        self.caller = caller
        self.account = account
        self.server = server
        frames = TokenBucket(burst: server.limits.frameBurst, perSecond: server.limits.framesPerSecond)
        bytes = TokenBucket(burst: server.limits.byteBurst, perSecond: server.limits.bytesPerSecond)
    }

    func start() throws(SystemError) {
        session = HTTP2ServerSession(delegate: self, maxStreams: limits.maxStreams, maxHead: limits.maxHead)
        guard session != nil else { throw SystemError("start a session of HTTP/2", code: ENOMEM) }
        registration = try server.reactor.register(descriptor, .readable) { [weak self] events in self?.handle(events) }
        setDeadline(limits.idleDeadline)
        flush()
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        if let timer { server.reactor.cancel(timer) }
        if let registration { server.reactor.unregister(registration) }
        Glibc.close(descriptor)
        server.forget(self)
    }

    /// Offers the present state to every call that is served.
    func refresh() {
        let serving = calls.compactMap { id, call in
            if case .serving(let method) = call.state { (id: id, method: method) } else { nil }
        }
        guard !serving.isEmpty else { return }
        let id = server.identity(of: caller)
        for (stream, method) in serving {
            do throws(GRPCStatus) {
                offer(stream, try server.message(method, for: id))
            } catch {
                end(stream, error)
            }
        }
        flush()
    }

    // MARK: The socket

    private func handle(_ events: Reactor.Events) {
        if !events.isDisjoint(with: [.error, .hangup]) { return close() }
        if events.contains(.writable) { flush() }
        if events.contains(.readable), isOpen { receive() }
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 16384)
        let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else {
            let code = weft_errno()
            if count == 0 || (code != EAGAIN && code != EINTR) { close() }
            return
        }
        guard let session else { return }
        // Not every frame is shown to `frameBegan`: those of unknown types are not.
        if !bytes.take(count) {
            isFlooding = true
        } else if !session.receive(buffer[..<count]), !isFlooding {
            return close()
        }
        if isFlooding { session.goAway(isFlood: true) }
        flush()
    }

    /// Sends what there is. While anything waits to be sent nothing is read, so a client that does not read cannot make
    /// the answers to its frames pile up.
    private func flush() {
        guard isOpen, let session else { return }
        while true {
            if !isSending {
                outputStart = 0
                guard let more = session.output(limit: 65536) else { return close() }
                output = more
                guard !more.isEmpty else { break }
            }
            let count = unsafe output.withUnsafeBytes { bytes in
                unsafe send(
                    descriptor, bytes.baseAddress?.advanced(by: outputStart), output.count - outputStart,
                    CInt(MSG_NOSIGNAL))
            }
            guard count >= 0 else {
                let code = weft_errno()
                if code == EINTR { continue }
                guard code == EAGAIN else { return close() }
                watch(.writable)
                return setDeadline(limits.writeDeadline)
            }
            outputStart += count
        }
        guard session.isAlive, !isFlooding else { return close() }
        watch(.readable)
        settleDeadline()
    }

    private func watch(_ events: Reactor.Events) {
        guard let registration, events != watched else { return }
        watched = events
        server.reactor.modify(registration, events)
    }

    /// A connection that carries nothing has to go some time; one that is served may stay.
    private func settleDeadline() {
        let isServing = calls.values.contains { if case .serving = $0.state { true } else { false } }
        if isServing {
            if let timer { server.reactor.cancel(timer) }
            timer = nil
        } else if timer == nil {
            setDeadline(limits.idleDeadline)
        }
    }

    private func setDeadline(_ delay: Duration) {
        if let timer { server.reactor.cancel(timer) }
        timer = server.reactor.after(delay) { [weak self] in self?.deadlineHasPassed() }
    }

    private func deadlineHasPassed() {
        timer = nil
        guard !isSending, let session else { return close() }
        // Nothing is lost: a client that wants something again connects again.
        session.goAway(isFlood: false)
        flush()
        close()
    }

    // MARK: Calls

    func frameBegan() -> Bool {
        guard frames.take() else {
            isFlooding = true
            return false
        }
        return true
    }

    func streamBegan(_ stream: Int32) { calls[stream] = WorkloadAPICall() }

    func field(_ stream: Int32, _ name: String, _ value: String) { calls[stream]?.field(name, value) }

    func headEnded(_ stream: Int32) {
        guard let call = calls[stream], case .reading = call.state else { return }
        do throws(GRPCStatus) {
            guard call.headBytes <= limits.maxHead else {
                throw GRPCStatus(.resourceExhausted, "the metadata is longer than \(limits.maxHead) bytes")
            }
            if let refusal = call.refusal {
                calls[stream]?.state = .ended
                session?.respond(stream, [(":status", "\(refusal)")], hasBody: false)
            } else {
                _ = try call.method()
            }
        } catch {
            end(stream, error)
        }
    }

    func data(_ stream: Int32, _ bytes: [UInt8]) {
        guard case .reading = calls[stream]?.state else { return }
        do throws(GRPCStatus) {
            try calls[stream]?.append(bytes, limit: limits.maxBody)
        } catch {
            end(stream, error)
        }
    }

    func requestEnded(_ stream: Int32) {
        guard let call = calls[stream], case .reading = call.state else { return }
        do throws(GRPCStatus) {
            let method = try call.method()
            try WorkloadAPIMessages.checkRequest(try GRPCFrame.unwrap(call.body))
            let message = try server.message(method, for: server.identity(of: caller))
            calls[stream]?.state = .serving(method)
            session?.respond(
                stream, [(":status", "200"), ("content-type", "application/grpc")], hasBody: true)
            offer(stream, message)
        } catch {
            end(stream, error)
        }
    }

    func streamClosed(_ stream: Int32) { calls[stream] = nil }

    private func offer(_ stream: Int32, _ message: [UInt8]) {
        if calls[stream]?.offer(message) == true { session?.resume(stream) }
    }

    /// Ends a call: with a head alone if nothing was answered yet, otherwise after the message that is on its way.
    private func end(_ stream: Int32, _ status: GRPCStatus) {
        guard let call = calls[stream] else { return }
        calls[stream]?.state = .ended
        switch call.state {
        case .reading:
            session?.respond(
                stream, [(":status", "200"), ("content-type", "application/grpc")] + status.fields, hasBody: false)
        case .serving:
            calls[stream]?.next = nil
            calls[stream]?.end = status
            session?.resume(stream)
        case .ended: break
        }
    }

    func body(_ stream: Int32, limit: Int) -> HTTP2Body {
        guard var call = calls[stream] else { return .later }
        defer { calls[stream] = call }
        if call.sent == call.pending.count, let next = call.next { call.load(next) }
        guard call.sent < call.pending.count else {
            if let end = call.end { return .end(trailers: end.fields) }
            return .later
        }
        let start = call.sent
        call.sent = min(call.pending.count, start + limit)
        return .bytes(call.pending[start..<call.sent])
    }
}
