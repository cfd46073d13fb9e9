import CLinux
import Glibc

/// One client connection of the responder: reads one request at a time, answers it, and goes on or ends.
final class HTTPConnection {
    enum State {
        case head
        case body(HTTPHead, start: Int)
        case responding(thenClose: Bool)
        /// There is more to the response than is in the output.
        case producing(Production)
        case streaming(HTTPStream)
        /// Our side is finished; what the client still sends is read and dropped, so that its kernel does not throw the
        /// response away with a reset.
        case lingering
        case closed
    }

    /// A response whose body is made while it is sent.
    struct Production {
        let next: (inout [UInt8]) -> Bool
        let isChunked: Bool
        let thenClose: Bool
    }

    /// Pieces that are made in a row: however fast the client is, others come to their turn on the reactor.
    private static let piecesAtOnce = 4

    private let descriptor: CInt
    private let responder: HTTPResponder
    private let hostCheck: HTTPHostCheck?
    private let onClose: (HTTPConnection) -> Void
    private var registration: Reactor.Registration?
    private var watched: Reactor.Events = .readable
    private var state = State.head
    private var input: [UInt8] = []
    private var output: [UInt8] = []
    private var outputStart = 0
    private var inputEnded = false
    private var isProcessing = false
    private var timer: Reactor.TimerID?
    private var lingered = 0

    private var limits: HTTPResponder.Limits { responder.limits }
    private var reactor: Reactor { responder.reactor }
    private var pendingOutput: Int { output.count - outputStart }

    /// - Parameter hostCheck: nil: any Host header is good.
    init(
        descriptor: CInt, responder: HTTPResponder, hostCheck: HTTPHostCheck?,
        onClose: @escaping (HTTPConnection) -> Void
    ) {
        self.descriptor = descriptor
        self.responder = responder
        self.hostCheck = hostCheck
        self.onClose = onClose
    }

    /// Starts to serve, or to refuse with 503 because there are too many connections.
    func start(refusing: Bool) throws(SystemError) {
        registration = try reactor.register(descriptor, .readable) { [weak self] events in self?.handle(events) }
        setDeadline(limits.headDeadline)
        if refusing { refuse(HTTPHead.Refusal(status: 503, reason: "too many connections; try again")) }
    }

    func close() {
        if case .closed = state { return }
        let stream: HTTPStream? = if case .streaming(let stream) = state { stream } else { nil }
        state = .closed
        if let timer { reactor.cancel(timer) }
        if let registration { reactor.unregister(registration) }
        registration = nil
        Glibc.close(descriptor)
        onClose(self)
        stream?.finish()
    }

    private func handle(_ events: Reactor.Events) {
        // A hang-up means that the peer is gone for both directions: nobody is left to answer.
        if !events.isDisjoint(with: [.error, .hangup]) { return close() }
        if events.contains(.writable) { flush() }
        if events.contains(.readable) { readInput() }
    }

    // MARK: Reading

    private func readInput() {
        var buffer = [UInt8](repeating: 0, count: 16384)
        let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else {
            let code = weft_errno()
            if code != EAGAIN && code != EINTR { close() }
            return
        }
        if count == 0 { return inputHasEnded() }
        switch state {
        case .lingering:
            lingered += count
            if lingered > limits.maxLinger { close() }
        case .streaming:
            // Nothing is expected; a client that pipelines behind a stream is not served.
            break
        case .closed:
            break
        case .head, .body, .responding, .producing:
            let isFirst = input.isEmpty
            input.append(contentsOf: buffer[..<count])
            if case .head = state, isFirst { setDeadline(limits.headDeadline) }
            if input.count > limits.maxHead + limits.maxBody { watch() }
            process()
        }
    }

    private func inputHasEnded() {
        inputEnded = true
        switch state {
        case .responding, .producing:
            watch()  // the client only finished sending: it gets its answers first
        case .head, .body, .streaming, .lingering, .closed:
            close()
        }
    }

    /// Takes requests out of the input until one is incomplete or being answered.
    private func process() {
        isProcessing = true
        takeRequests()
        isProcessing = false
        guard inputEnded else { return }
        switch state {
        case .head, .body: close()
        case .responding, .producing, .streaming, .lingering, .closed: break
        }
    }

    private func takeRequests() {
        while true {
            switch state {
            case .head:
                guard readHead() else { return }
            case .body(let head, let start):
                guard input.count - start >= head.contentLength else { return }
                let end = start + head.contentLength
                let body = Array(input[start..<end])
                input.removeSubrange(..<end)
                respond(to: head, body: body)
            case .responding, .producing, .streaming, .lingering, .closed:
                return
            }
        }
    }

    /// Whether a head was complete and in order.
    private func readHead() -> Bool {
        // An empty line before the request line is ignored (RFC 9112 §2.2).
        while input.starts(with: [0x0d, 0x0a]) { input.removeFirst(2) }
        guard let end = endOfHead() else {
            if input.count > limits.maxHead { refuseLongHead() }
            return false
        }
        guard end <= limits.maxHead else {
            refuseLongHead()
            return false
        }
        do throws(HTTPHead.Refusal) {
            let head = try HTTPHead(input[..<end], maxBody: limits.maxBody)
            state = .body(head, start: end + 4)
            if head.contentLength > input.count - end - 4 {
                setDeadline(limits.bodyDeadline)
                if head.expectsContinue { send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
            }
            return true
        } catch {
            refuse(error)
            return false
        }
    }

    private func refuseLongHead() {
        refuse(HTTPHead.Refusal(status: 431, reason: "the head is longer than \(limits.maxHead) bytes"))
    }

    /// Where CR LF CR LF begins.
    private func endOfHead() -> Int? {
        var index = 0
        let limit = min(input.count, limits.maxHead + 4)
        while index + 3 < limit {
            if input[index + 3] != 0x0a {
                index += 1
            } else if input[index] == 0x0d && input[index + 1] == 0x0a && input[index + 2] == 0x0d {
                return index
            } else {
                index += 1
            }
        }
        return nil
    }

    // MARK: Answering

    private func respond(to head: HTTPHead, body: [UInt8]) {
        let request = HTTPRequest(
            method: head.method, path: head.path, query: head.query, headers: head.headers, body: body)
        if let hostCheck, !hostCheck.admits(request.header("host")) {
            return refuse(
                HTTPHead.Refusal(
                    status: 421, reason: "ask by this machine's address or as localhost: other names may be a trap"))
        }
        let response = responder.routes(request)
        switch response.body {
        case .bytes(let bytes):
            state = .responding(thenClose: !head.keepAlive)
            // A 304 has no body, and its length would be that of the 200 (RFC 9110 §15.4.5).
            var message = response.head(
                contentLength: response.status == 304 ? nil : bytes.count, keepAlive: head.keepAlive)
            if !head.isHead { message.append(contentsOf: bytes) }
            setDeadline(limits.writeDeadline)
            send(message)
        case .pieces(let next):
            setDeadline(limits.writeDeadline)
            let thenClose = !head.keepAlive
            state = .responding(thenClose: thenClose)
            if !head.isHead {
                state = .producing(Production(next: next, isChunked: head.takesChunks, thenClose: thenClose))
            }
            send(response.head(contentLength: nil, isChunked: head.takesChunks, keepAlive: head.keepAlive))
        case .stream(let start):
            let message = response.head(contentLength: nil, keepAlive: false)
            guard !head.isHead else {
                state = .responding(thenClose: true)
                setDeadline(limits.writeDeadline)
                return send(message)
            }
            let stream = HTTPStream(connection: self)
            state = .streaming(stream)
            input = []
            clearDeadline()
            send(message)
            if stream.isOpen { start(stream) }
        }
    }

    /// Answers what cannot be served, and ends the connection: what follows in the input cannot be trusted.
    private func refuse(_ refusal: HTTPHead.Refusal) {
        var response = HTTPResponse.text(refusal.status, refusal.reason)
        switch refusal.status {
        case 405: response.headers.append(("allow", "GET, HEAD, POST, DELETE"))
        case 503: response.headers.append(("retry-after", "1"))
        default: break
        }
        guard case .bytes(let body) = response.body else { return }
        input = []
        state = .responding(thenClose: true)
        setDeadline(limits.writeDeadline)
        send(response.head(contentLength: body.count, keepAlive: false) + body)
    }

    // MARK: Streams

    func append(toStream bytes: [UInt8]) -> Bool {
        guard case .streaming(let stream) = state else { return false }
        guard pendingOutput + bytes.count <= limits.maxStreamLag else {
            let line =
                #"{"error":"the reader is too slow: \#(pendingOutput) bytes were waiting for it; the stream ends here"}"#
            state = .responding(thenClose: true)
            setDeadline(limits.writeDeadline)
            stream.finish()
            send(Array((line + "\n").utf8))
            return false
        }
        if timer == nil { setDeadline(limits.writeDeadline) }
        send(bytes)
        return stream.isOpen
    }

    func endStream() {
        guard case .streaming = state else { return }
        state = .responding(thenClose: true)
        setDeadline(limits.writeDeadline)
        flush()
    }

    // MARK: Writing

    private func send(_ bytes: [UInt8]) {
        if pendingOutput == 0 {
            output = bytes
            outputStart = 0
        } else {
            output.append(contentsOf: bytes)
        }
        flush()
    }

    private func flush() {
        var pieces = 0
        while true {
            guard sendOutput() else { return }
            guard case .producing(let production) = state else { break }
            // The descriptor stays writable: the reactor comes back here.
            guard pieces < Self.piecesAtOnce else { return watch() }
            pieces += 1
            produce(production)
        }
        output = []
        outputStart = 0
        outputIsFlushed()
    }

    /// False when the client takes no more for now, or is gone.
    private func sendOutput() -> Bool {
        while pendingOutput > 0 {
            let count = unsafe output.withUnsafeBytes { bytes in
                unsafe Glibc.send(
                    descriptor, bytes.baseAddress?.advanced(by: outputStart), pendingOutput, CInt(MSG_NOSIGNAL))
            }
            guard count >= 0 else {
                let code = weft_errno()
                if code == EINTR { continue }
                guard code == EAGAIN else {
                    close()
                    return false
                }
                compactOutput()
                watch()
                return false
            }
            outputStart += count
            // The deadline is for progress, not for the whole response.
            if timer != nil, count > 0, pendingOutput > 0 { extendWriteDeadline() }
        }
        return true
    }

    /// Makes the next piece in the place of the one before, as a chunk of its own (RFC 9112 §7.1).
    private func produce(_ production: Production) {
        output.removeAll(keepingCapacity: true)
        outputStart = 0
        // Room for the chunk's size, which is known afterwards; leading zeros are allowed.
        if production.isChunked { output.append(contentsOf: Self.chunkHead) }
        let start = output.count
        let isLast = !production.next(&output)
        if production.isChunked {
            var size = output.count - start
            if size == 0 { output.removeAll(keepingCapacity: true) } else { output.append(contentsOf: [0x0d, 0x0a]) }
            for place in (0..<8).reversed() where size > 0 {
                output[place] = Self.hexadecimal[size & 15]
                size >>= 4
            }
            if isLast { output.append(contentsOf: Self.lastChunk) }
        }
        guard isLast else { return extendWriteDeadline() }
        state = .responding(thenClose: production.thenClose)
    }

    private static let chunkHead = Array("00000000\r\n".utf8)
    private static let lastChunk = Array("0\r\n\r\n".utf8)
    private static let hexadecimal = Array("0123456789abcdef".utf8)

    private func extendWriteDeadline() {
        switch state {
        case .responding, .producing, .streaming: setDeadline(limits.writeDeadline)
        case .head, .body, .lingering, .closed: break
        }
    }

    /// A stream that is never quite up to date must not keep what it has sent.
    private func compactOutput() {
        guard outputStart > 65536, outputStart > output.count / 2 else { return }
        output.removeSubrange(..<outputStart)
        outputStart = 0
    }

    private func outputIsFlushed() {
        switch state {
        case .responding(let thenClose):
            guard !thenClose else { return linger() }
            state = .head
            guard !inputEnded || !input.isEmpty else { return close() }
            setDeadline(input.isEmpty ? limits.idleDeadline : limits.headDeadline)
            watch()
            // Not recursively: a client may have sent hundreds of requests in one packet.
            if !input.isEmpty && !isProcessing { process() }
        case .streaming:
            clearDeadline()
            watch()
        case .head, .body:
            watch()
        case .producing, .lingering, .closed:
            break
        }
    }

    private func linger() {
        guard !inputEnded, shutdown(descriptor, CInt(SHUT_WR)) == 0 else { return close() }
        state = .lingering
        setDeadline(limits.lingerDeadline)
        watch()
    }

    // MARK: Readiness and deadlines

    private func watch() {
        guard let registration else { return }
        var events: Reactor.Events = pendingOutput > 0 ? .writable : []
        let isFull: Bool
        switch state {
        case .responding: isFull = input.count > limits.maxHead
        case .producing:
            events = .writable
            isFull = input.count > limits.maxHead
        case .head, .body, .streaming, .lingering, .closed: isFull = false
        }
        if !inputEnded && !isFull { events.insert(.readable) }
        guard events != watched else { return }
        watched = events
        reactor.modify(registration, events)
    }

    private func setDeadline(_ delay: Duration) {
        if let timer { reactor.cancel(timer) }
        timer = reactor.after(delay) { [weak self] in self?.deadlineHasPassed() }
    }

    private func clearDeadline() {
        if let timer { reactor.cancel(timer) }
        timer = nil
    }

    private func deadlineHasPassed() {
        timer = nil
        switch state {
        case .head where input.isEmpty: close()
        case .head, .body: refuse(HTTPHead.Refusal(status: 408, reason: "the request took too long to arrive"))
        case .responding, .producing, .streaming, .lingering, .closed: close()
        }
    }
}
