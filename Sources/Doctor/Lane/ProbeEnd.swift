// Unsafe code of this file: buffers for the duration of one system call.

import CLinux
import Glibc

/// One end of a probe's connection. Non-blocking unless it is told otherwise, and then for a bounded time.
final class ProbeEnd {
    private(set) var descriptor: CInt

    init(owning descriptor: CInt) { self.descriptor = descriptor }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    enum Sent: Equatable {
        case bytes(Int)
        case error(CInt)
    }

    enum Received: Equatable {
        case bytes([UInt8])
        case end
        case error(CInt)

        var count: Int { if case .bytes(let bytes) = self { bytes.count } else { 0 } }
    }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Sent {
        let count = unsafe Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL))
        return count >= 0 ? .bytes(count) : .error(weft_errno())
    }

    func receive(_ limit: Int = 65536, flags: CInt = 0) -> Received {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, flags) }
        guard count >= 0 else { return .error(weft_errno()) }
        if count == 0 { return .end }
        buffer.removeLast(limit - count)
        return .bytes(buffer)
    }

    /// The next bytes, end or error; waits for them.
    func receiveNext(_ limit: Int = 65536, within milliseconds: Int = Patience.milliseconds) -> Received {
        guard poll(POLLIN, within: milliseconds) != 0 else { return .error(ETIMEDOUT) }
        return receive(limit)
    }

    /// Exactly `count` bytes if they come; less and what ended them if they do not.
    func receiveAll(_ count: Int) -> (bytes: [UInt8], then: Received?) {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let next = receiveNext(count - bytes.count)
            guard case .bytes(let more) = next else { return (bytes, next) }
            bytes += more
        }
        return (bytes, nil)
    }

    /// Which of `events` (POLLIN and the like) or errors are there; waits for them. 0: none.
    func poll(_ events: CInt, within milliseconds: Int = 0) -> CInt {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let deadline = Patience.now + Int64(milliseconds)
        while true {
            let left = max(0, deadline - Patience.now)
            let count = unsafe Glibc.poll(&entry, 1, CInt(left))
            if count >= 0 { return CInt(entry.revents) }
            if weft_errno() != EINTR { return POLLERR }
        }
    }

    var unread: CInt { weft_unread_bytes(descriptor) }

    func stopSending() { shutdown(descriptor, CInt(SHUT_WR)) }

    func close() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// Closes with a reset.
    func abort() {
        guard descriptor >= 0 else { return }
        weft_abort(descriptor)
        descriptor = -1
    }
}

/// How long a probe waits for what has to come at once.
enum Patience {
    /// Only what fails waits that long.
    static let milliseconds = 400

    /// A monotonic clock in milliseconds.
    static var now: Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

/// The name of an error number, such as EAGAIN, where a probe can see it.
func errorName(_ code: CInt) -> String {
    switch code {
    case EAGAIN: "EAGAIN"
    case EACCES: "EACCES"
    case ENOMEM: "ENOMEM"
    case EPIPE: "EPIPE"
    case ECONNRESET: "ECONNRESET"
    case ETIMEDOUT: "nothing"
    case EINVAL: "EINVAL"
    case ENOTCONN: "ENOTCONN"
    default: "errno \(code)"
    }
}

extension ProbeEnd.Sent: CustomStringConvertible {
    var description: String {
        switch self {
        case .bytes(let count): "\(count) bytes"
        case .error(let code): errorName(code)
        }
    }
}

extension ProbeEnd.Received: CustomStringConvertible {
    var description: String {
        switch self {
        case .bytes(let bytes): "\(bytes.count) bytes"
        case .end: "end of stream"
        case .error(let code): errorName(code)
        }
    }
}
