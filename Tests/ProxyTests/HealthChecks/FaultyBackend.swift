import CLinux
import Glibc
import Mesh
import Synchronization

/// A server on a loopback port that does to each connection what it was last told to.
final class FaultyBackend: Sendable {
    enum Behaviour: Sendable, Equatable {
        /// To every request: an answer with this status and no body.
        case answer(UInt16)
        /// Nothing, however long it takes.
        case hang
        /// A connection reset as soon as a request is there.
        case reset
        /// Bytes that are no HTTP.
        case garbage
        /// A connection closed as soon as a request is there.
        case close
        /// One byte of an answer each 20 ms.
        case trickle
        /// 200, after so many milliseconds in which nobody else is served.
        case slow(UInt32)
    }

    let port: UInt16
    private let listener: CInt
    private let behaviour: Mutex<Behaviour>
    private let isRunning = Atomic<Bool>(true)
    let connections = Atomic<Int>(0)
    let requests = Atomic<Int>(0)
    private let thread = Mutex<pthread_t?>(nil)

    /// - Parameter port: 0: any.
    init(_ behaviour: Behaviour, port: UInt16 = 0) throws {
        var place = weft_endpoint(high: 0, low: UInt64(0x0000_ffff_7f00_0001).bigEndian, port: port)
        listener = unsafe weft_listen_stream(&place, 64)
        guard listener >= 0 else { throw Failure(errno: -listener) }
        _ = unsafe weft_local_endpoint(listener, &place)
        self.port = place.port
        self.behaviour = Mutex(behaviour)
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(self)
        _ = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<FaultyBackend>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        let started = thread
        self.thread.withLock { $0 = started }
    }

    struct Failure: Error {
        var errno: CInt
    }

    var endpoint: MeshEndpoint {
        MeshEndpoint(address: IPAddress(high: 0, low: UInt64(0x0000_ffff_7f00_0001).bigEndian), port: port)
    }

    func become(_ next: Behaviour) { behaviour.withLock { $0 = next } }

    /// Closes the listener and all connections.
    func kill() {
        isRunning.store(false, ordering: .releasing)
        let running = thread.withLock { thread -> pthread_t? in
            defer { thread = nil }
            return thread
        }
        if let running { _ = pthread_join(running, nil) }
    }

    private func run() {
        var open: [pollfd] = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
        while isRunning.load(ordering: .acquiring) {
            _ = unsafe poll(&open, nfds_t(open.count), 20)
            if open[0].revents != 0 {
                var peer = weft_endpoint()
                let connection = unsafe weft_accept_stream(listener, &peer)
                if connection >= 0 {
                    connections.wrappingAdd(1, ordering: .relaxed)
                    open.append(pollfd(fd: connection, events: Int16(POLLIN), revents: 0))
                }
            }
            let act = behaviour.withLock { $0 }
            for index in open.indices.dropFirst().reversed() where open[index].revents != 0 {
                if !serve(open[index].fd, act) {
                    close(open[index].fd)
                    open.remove(at: index)
                }
            }
        }
        for descriptor in open { close(descriptor.fd) }
    }

    /// - Returns: false if the connection is to be closed.
    private func serve(_ connection: CInt, _ act: Behaviour) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = unsafe recv(connection, &bytes, bytes.count, CInt(MSG_DONTWAIT))
        guard count > 0 else { return count < 0 && errno == EAGAIN }
        // Requests without bodies that come one after the other.
        guard bytes[..<count].suffix(4) == [13, 10, 13, 10] else { return true }
        requests.wrappingAdd(1, ordering: .relaxed)
        switch act {
        case .answer(let status): return say("HTTP/1.1 \(status) Status\r\nContent-Length: 0\r\n\r\n", connection)
        case .garbage: return say("220 mail.example ESMTP\r\n", connection)
        case .hang: return true
        case .close: return false
        case .slow(let milliseconds):
            usleep(milliseconds * 1000)
            return say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", connection)
        case .reset:
            var option = linger(l_onoff: 1, l_linger: 0)
            _ = unsafe setsockopt(
                connection, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
            return false
        case .trickle:
            for byte in "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8 {
                guard isRunning.load(ordering: .acquiring), say(String(UnicodeScalar(byte)), connection) else {
                    return false
                }
                usleep(20_000)
            }
            return true
        }
    }

    private func say(_ text: String, _ connection: CInt) -> Bool {
        let bytes = Array(text.utf8)
        return unsafe send(connection, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count
    }
}
