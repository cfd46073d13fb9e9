import CLinux
import Glibc

/// What a read or a write on a non-blocking socket did.
enum Transfer: BitwiseCopyable {
    case bytes(Int)
    /// Nothing now; an event will say when.
    case wouldBlock
    /// The peer has sent its FIN (reads only).
    case end
    case failed(CInt)

    /// A result of recv(2) or send(2), with errno not yet overwritten.
    @inline(__always)
    init(_ result: Int) {
        if result > 0 {
            self = .bytes(result)
        } else if result == 0 {
            self = .end
        } else {
            let error = weft_errno()
            self = error == EAGAIN || error == EINTR ? .wouldBlock : .failed(error)
        }
    }
}

/// System calls on sockets. One of the few files with unsafe code.
@safe enum Sockets {
    static let receiveFlags = CInt(MSG_DONTWAIT)
    static let sendFlags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)

    @inline(__always)
    static func send(_ descriptor: CInt, _ bytes: RawSpan) -> Transfer {
        unsafe bytes.withUnsafeBytes { unsafe Transfer(weft_send(descriptor, $0.baseAddress, $0.count, sendFlags)) }
    }

    /// Two ranges with one call.
    static func send(_ descriptor: CInt, _ first: RawSpan, _ second: RawSpan) -> Transfer {
        let result = unsafe first.withUnsafeBytes { first in
            unsafe second.withUnsafeBytes { second in
                unsafe weft_send_pair(descriptor, first.baseAddress, first.count, second.baseAddress, second.count)
            }
        }
        if result >= 0 { return .bytes(result) }
        return -result == Int(EAGAIN) || -result == Int(EINTR) ? .wouldBlock : .failed(CInt(-result))
    }

    /// The accepted connection, or a negative errno.
    static func accept(_ listener: CInt, peer: inout weft_endpoint) -> CInt {
        unsafe weft_accept_stream(listener, &peer)
    }

    /// A socket that is connected or connecting, or a negative errno.
    /// - Parameter path: how far it is expected to be.
    static func connect(to endpoint: weft_endpoint, _ path: weft_path = WEFT_PATH_ANY, inProgress: inout Bool) -> CInt {
        var pending: CInt = 0
        var endpoint = endpoint
        let descriptor = unsafe weft_connect_stream(&endpoint, path, &pending)
        inProgress = pending != 0
        return descriptor
    }

    /// Whether a negative errno says that this side has no descriptor, port or memory left.
    static func isShortage(_ result: CInt) -> Bool {
        switch -result {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EAGAIN: true
        default: false
        }
    }

    /// Whether there is nothing to read, and no end.
    static func isQuiet(_ descriptor: CInt) -> Bool {
        var byte: UInt8 = 0
        guard unsafe recv(descriptor, &byte, 1, receiveFlags | CInt(MSG_PEEK)) < 0 else { return false }
        return weft_errno() == EAGAIN
    }

    static func shutdownWriting(_ descriptor: CInt) { _ = shutdown(descriptor, CInt(SHUT_WR)) }

    /// Closes with a reset instead of a FIN.
    static func reset(_ descriptor: CInt) {
        var option = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    /// Closes a socket that another process has too, which closes it when it sees that both directions are shut.
    static func endHeld(_ descriptor: CInt, resetting: Bool = false) {
        if resetting {
            weft_abort_connection(descriptor)
        } else {
            _ = shutdown(descriptor, CInt(SHUT_RDWR))
        }
        close(descriptor)
    }

    /// Two connected sockets, non-blocking; nil: there is no descriptor left.
    static func pair() -> (CInt, CInt)? {
        var ends: (CInt, CInt) = (-1, -1)
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let made = unsafe withUnsafeMutablePointer(to: &ends) { ends in
            unsafe ends.withMemoryRebound(to: CInt.self, capacity: 2) { unsafe socketpair(AF_UNIX, kind, 0, $0) }
        }
        return made == 0 ? ends : nil
    }

    /// Finds out in the end that the other side of a connection on which nothing is sent is gone.
    static func keepAlive(_ descriptor: CInt) {
        var one: CInt = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &one, socklen_t(MemoryLayout<CInt>.size))
        var idle: CInt = 180
        _ = unsafe setsockopt(
            descriptor, CInt(IPPROTO_TCP), TCP_KEEPIDLE, &idle, socklen_t(MemoryLayout<CInt>.size))
    }

    /// What became of a connection that was being made (SO_ERROR): an errno, 0 if it stands.
    static func pendingError(_ descriptor: CInt) -> CInt { weft_socket_error(descriptor) }

    /// Where a connected socket leads.
    static func peerAddress(_ descriptor: CInt) -> ClientAddress {
        var peer = weft_endpoint()
        _ = unsafe weft_peer_endpoint(descriptor, &peer)
        return ClientAddress(peer)
    }

    /// What a socket is bound to.
    static func localAddress(_ descriptor: CInt) -> ClientAddress {
        var local = weft_endpoint()
        _ = unsafe weft_local_endpoint(descriptor, &local)
        return ClientAddress(local)
    }
}

extension ClientAddress {
    init(_ endpoint: weft_endpoint) {
        self.init(high: UInt64(bigEndian: endpoint.high), low: UInt64(bigEndian: endpoint.low), port: endpoint.port)
    }
}

/// CLOCK_MONOTONIC.
enum MonotonicClock {
    /// Nanoseconds.
    @inline(__always)
    static func now() -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
