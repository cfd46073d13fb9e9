import CLinux
import Glibc

/// A blocking TCP socket of a test, with a limit of five seconds for each read.
final class TestSocket: Sendable {
    let descriptor: CInt

    init(_ descriptor: CInt) {
        self.descriptor = descriptor
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK)
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Connects to a port of 127.0.0.1.
    convenience init(port: UInt16) {
        var endpoint = loopback(port)
        var isPending: CInt = 0
        let descriptor = unsafe weft_connect_stream(&endpoint, WEFT_PATH_LOCAL, &isPending)
        self.init(descriptor)
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe Glibc.poll(&poll, 1, 5_000)
    }

    deinit { close(descriptor) }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    descriptor, buffer.baseAddress.map { unsafe $0 + sent }, buffer.count - sent, CInt(MSG_NOSIGNAL))
            }
            // With a limit of time, calls are not taken up again after a signal.
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// What arrives next; empty at the end, after a reset, and after five seconds.
    func receive(atMost limit: Int = 65_536) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            repeat { count = unsafe recv(descriptor, buffer.baseAddress, limit, 0) } while count < 0 && errno == EINTR
            count = max(0, count)
        }
    }

    /// Everything up to the end of the connection.
    func receiveAll() -> String {
        var all: [UInt8] = []
        while true {
            let bytes = receive()
            guard !bytes.isEmpty else { return String(decoding: all, as: UTF8.self) }
            all += bytes
        }
    }

    /// Everything up to and with `mark`; what there was without it at the end.
    func receive(until mark: String) -> String {
        var all: [UInt8] = []
        let mark = Array(mark.utf8)
        while !all.suffix(mark.count).elementsEqual(mark) {
            let bytes = receive(atMost: 1)
            guard !bytes.isEmpty else { break }
            all += bytes
        }
        return String(decoding: all, as: UTF8.self)
    }

    func receive(count: Int) -> String {
        var all: [UInt8] = []
        while all.count < count {
            let bytes = receive(atMost: count - all.count)
            guard !bytes.isEmpty else { break }
            all += bytes
        }
        return String(decoding: all, as: UTF8.self)
    }

    func finishSending() { _ = shutdown(descriptor, CInt(SHUT_WR)) }

    /// Ends with a reset.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        // Closes the socket and keeps the number: another thread may be using it.
        let null = unsafe open("/dev/null", O_RDWR)
        dup2(null, descriptor)
        close(null)
    }
}

/// A port of 127.0.0.1.
func loopback(_ port: UInt16) -> weft_endpoint {
    weft_endpoint(high: 0, low: (0x0000_ffff_7f00_0001 as UInt64).bigEndian, port: port)
}

/// A listening socket at a port of the system's choice.
func listen() -> (descriptor: CInt, port: UInt16) {
    var at = loopback(0)
    let descriptor = unsafe weft_listen_stream(&at, 512)
    _ = unsafe weft_local_endpoint(descriptor, &at)
    return (descriptor, at.port)
}
