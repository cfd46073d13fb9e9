import CLinux
import Glibc
import Synchronization

@testable import Agent

/// A responder on a thread of its own, for raw sockets to talk to.
final class HTTPTestServer {
    let address: HTTPListenAddress
    private let mailbox: ReactorMailbox
    private let thread: TestThread

    /// What the routes of the tests count.
    struct Counts: Sendable {
        var streamsClosed = 0
        var bodies: [[UInt8]] = []
        var pieces = 0
    }

    /// Of `/pieces`: of other lengths each, the third one empty; in all more than socket buffers take.
    static let pieces = (0..<60).map { number in
        [UInt8](repeating: UInt8(ascii: "a") + UInt8(number % 26), count: number == 2 ? 0 : 250_000 + number)
    }

    /// More than socket buffers take.
    static let bigBody = 12_000_000

    private final class Shared: Sendable {
        let counts = Mutex(Counts())
        let bound = Mutex<Result<(ReactorMailbox, HTTPListenAddress), SystemError>?>(nil)
    }
    private let shared = Shared()

    var counts: Counts { shared.counts.withLock { $0 } }

    init(
        on address: HTTPListenAddress = .ip("127.0.0.1", port: 0), limits: HTTPResponder.Limits = .init(),
        checksHosts: Bool = false
    ) throws {
        let shared = shared
        thread = try TestThread {
            do throws(SystemError) {
                let reactor = try Reactor()
                let responder = HTTPResponder(reactor: reactor, limits: limits, checksHosts: checksHosts) { request in
                    Self.route(request, reactor, shared)
                }
                let bound = try responder.listen(on: address)
                shared.bound.withLock { $0 = .success((reactor.mailbox, bound)) }
                try reactor.run()
                responder.close()
            } catch {
                shared.bound.withLock { $0 = .failure(error) }
            }
        }
        while true {
            if let bound = shared.bound.withLock({ $0 }) {
                (mailbox, self.address) = try bound.get()
                return
            }
            usleep(500)
        }
    }

    func stop() {
        mailbox.post { $0.stop() }
        thread.join()
    }

    private static func route(_ request: HTTPRequest, _ reactor: Reactor, _ shared: Shared) -> HTTPResponse {
        switch (request.method, request.path) {
        case (.get, "/"): return .text(200, "hello")
        case (.get, "/echo"):
            return .text(200, request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "|"))
        case (.get, "/big"):
            return .full(
                200, contentType: "application/octet-stream",
                body: [UInt8](repeating: UInt8(ascii: "x"), count: bigBody))
        case (.get, "/pieces"):
            var number = 0
            return .pieces(contentType: "text/plain") { bytes in
                bytes += pieces[number]
                number += 1
                shared.counts.withLock { $0.pieces += 1 }
                return number < pieces.count
            }
        case (.get, "/none"): return .pieces(contentType: "text/plain") { _ in false }
        case (.post, "/body"):
            shared.counts.withLock { $0.bodies.append(request.body) }
            return .text(200, "\(request.body.count) bytes")
        case (.delete, "/thing"): return .text(200, "gone")
        case (_, "/"), (_, "/big"): return .methodNotAllowed([.get])
        case (.get, "/stream"):
            return .stream(contentType: "application/x-ndjson") { stream in
                var number = 0
                var timer: Reactor.TimerID?
                timer = reactor.every(.milliseconds(2)) {
                    number += 1
                    stream.write(Array("{\"n\":\(number)}\n".utf8))
                    if number == 3 { stream.end() }
                }
                stream.onClose = {
                    if let timer { reactor.cancel(timer) }
                    shared.counts.withLock { $0.streamsClosed += 1 }
                }
            }
        case (.get, "/flood"):
            return .stream(contentType: "application/x-ndjson") { stream in
                let line = [UInt8](repeating: UInt8(ascii: "y"), count: 65535) + [UInt8(ascii: "\n")]
                let timer = reactor.every(.milliseconds(1)) { for _ in 0..<16 { stream.write(line) } }
                stream.onClose = {
                    reactor.cancel(timer)
                    shared.counts.withLock { $0.streamsClosed += 1 }
                }
            }
        default: return .notFound
        }
    }
}

/// A raw client: what it sends is what is on the wire.
final class RawClient {
    let descriptor: CInt

    init(to address: HTTPListenAddress, receiveBuffer: CInt? = nil) throws {
        guard let (found, length) = address.socketAddress() else { throw SystemError("\(address)", code: EINVAL) }
        var storage = found
        descriptor = socket(CInt(storage.ss_family), CInt(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
        if var receiveBuffer {
            _ = unsafe setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<CInt>.size))
        }
        let result = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(descriptor, $0, length) }
        }
        guard result == 0 else { throw SystemError("connect to \(address)", code: weft_errno()) }
    }

    deinit { close(descriptor) }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var start = 0
        while start < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(
                    descriptor, $0.baseAddress?.advanced(by: start), bytes.count - start, CInt(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            start += count
        }
        return true
    }

    func finishSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// What arrives next; empty at the end of the connection.
    func receive() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : []
    }

    /// Everything until the server ends the connection.
    func receiveAll() -> String {
        var all: [UInt8] = []
        while true {
            let more = receive()
            if more.isEmpty { return String(decoding: all, as: UTF8.self) }
            all += more
        }
    }

    /// Everything until `text` has arrived.
    func receive(until text: String) -> String {
        var all = ""
        while !all.contains(text) {
            let more = receive()
            if more.isEmpty { return all }
            all += String(decoding: more, as: UTF8.self)
        }
        return all
    }
}
