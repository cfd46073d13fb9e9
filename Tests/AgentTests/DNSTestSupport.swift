import CLinux
import DNS
import Glibc
import Synchronization

@testable import Agent

/// A resolver that does what a test wants: each datagram gets the datagrams that `script` returns, and streams, if it has a
/// script for them, one answer.
final class ScriptedResolver: Sendable {
    typealias Script = @Sendable (_ query: [UInt8], _ number: Int) -> [[UInt8]]

    let upstream: DNSUpstream
    /// The threads close their sockets themselves: a number that is free again may be another test's.
    private final class State: Sendable {
        let asked = Atomic(0)
        let isOver = Atomic(false)
    }
    private let state = State()

    /// Questions that have come in datagrams.
    var questions: Int { state.asked.load(ordering: .acquiring) }

    init(stream: Script? = nil, _ script: @escaping Script) throws {
        let socket = try DNSSocket.bound(.ip("127.0.0.1", port: 0), type: SOCK_DGRAM)
        guard let upstream = DNSSocket.local(of: socket) else { throw SystemError("getsockname", code: EINVAL) }
        self.upstream = upstream
        let state = state
        blockingThread {
            defer { close(socket) }
            var number = 0
            while wait(socket, unless: state.isOver) {
                var buffer = [UInt8](repeating: 0, count: 4096)
                var source = sockaddr_in()
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let count = unsafe withUnsafeMutablePointer(to: &source) { pointer in
                    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        unsafe recvfrom(socket, &buffer, buffer.count, 0, $0, &length)
                    }
                }
                guard count >= 0 else { continue }
                number += 1
                state.asked.add(1, ordering: .releasing)
                for answer in script(Array(buffer[..<count]), number) {
                    _ = unsafe withUnsafePointer(to: &source) { pointer in
                        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                            unsafe sendto(socket, answer, answer.count, 0, $0, length)
                        }
                    }
                }
            }
        }
        guard let stream else { return }
        let listener = try DNSSocket.bound(.ip("127.0.0.1", port: upstream.port), type: SOCK_STREAM)
        blockingThread {
            defer { close(listener) }
            while wait(listener, unless: state.isOver) {
                let accepted = weft_accept(listener, CInt(SOCK_CLOEXEC.rawValue))
                guard accepted >= 0 else { continue }
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = unsafe recv(accepted, &buffer, buffer.count, 0)
                if count > 2 {
                    for answer in stream(Array(buffer[2..<count]), 1) {
                        let frame = [UInt8(answer.count >> 8), UInt8(answer.count & 0xff)] + answer
                        // In two pieces, as a network would.
                        _ = unsafe send(accepted, frame, 1, CInt(MSG_NOSIGNAL))
                        usleep(2000)
                        _ = unsafe send(accepted, Array(frame[1...]), frame.count - 1, CInt(MSG_NOSIGNAL))
                    }
                }
                close(accepted)
            }
        }
    }

    deinit { state.isOver.store(true, ordering: .releasing) }
}

private func blockingThread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let argument = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
    _ = unsafe pthread_create(
        &thread, nil,
        { argument in
            if let argument = unsafe argument { unsafe Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
            return nil
        }, argument)
    pthread_detach(thread)
}

/// Waits until a descriptor can be read; false when it is over.
private func wait(_ descriptor: CInt, unless isOver: borrowing Atomic<Bool>) -> Bool {
    while !isOver.load(ordering: .acquiring) {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        if unsafe poll(&polled, 1, 100) > 0 { return true }
    }
    return false
}

/// A port of 127.0.0.1 at which nobody takes datagrams now.
func freeDatagramPort() throws -> DNSUpstream {
    let descriptor = try DNSSocket.bound(.ip("127.0.0.1", port: 0), type: SOCK_DGRAM)
    defer { close(descriptor) }
    guard let found = DNSSocket.local(of: descriptor) else { throw SystemError("getsockname", code: EINVAL) }
    return found
}

/// Asks the name server as a client does, over UDP or TCP.
struct NameClient {
    let descriptor: CInt
    private let isStream: Bool

    init(_ address: String, isStream: Bool = false) throws {
        self.isStream = isStream
        guard let server = DNSUpstream(address),
            let opened = DNSSocket.connected(server, type: isStream ? SOCK_STREAM : SOCK_DGRAM)
        else { throw SystemError("connect to \(address)", code: EINVAL) }
        descriptor = opened
        _ = fcntl(opened, F_SETFL, 0)
    }

    func send(_ bytes: [UInt8]) {
        let frame = isStream ? [UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes : bytes
        if isStream {
            // Wait until it is connected.
            var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&polled, 1, 2000)
        }
        _ = unsafe Glibc.send(descriptor, frame, frame.count, CInt(MSG_NOSIGNAL))
    }

    /// The next answer; nil if none comes within `milliseconds`.
    func receive(_ milliseconds: CInt = 8000) -> DNSMessage? {
        guard let bytes = receiveBytes(milliseconds) else { return nil }
        return try? DNSMessage(bytes)
    }

    func receiveBytes(_ milliseconds: CInt = 8000) -> [UInt8]? {
        guard isStream else { return read(65536, milliseconds, exactly: false) }
        guard let head = read(2, milliseconds, exactly: true) else { return nil }
        return read(Int(head[0]) << 8 | Int(head[1]), milliseconds, exactly: true)
    }

    private func read(_ count: Int, _ milliseconds: CInt, exactly: Bool) -> [UInt8]? {
        var bytes: [UInt8] = []
        repeat {
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&polled, 1, milliseconds) > 0 else { return nil }
            var buffer = [UInt8](repeating: 0, count: count - bytes.count)
            let received = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard received > 0 else { return nil }
            bytes += buffer[..<received]
        } while exactly && bytes.count < count
        return bytes
    }

    func close() { Glibc.close(descriptor) }
}

/// A question as a client writes it.
func nameQuery(_ name: String, type: UInt16 = 1, id: UInt16 = 77, edns: Bool = false, desired: Bool = true) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 0xff), desired ? 1 : 0, 0, 0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0]
    bytes += DNSName(name)?.wire ?? [0]
    bytes += [UInt8(type >> 8), UInt8(type & 0xff), 0, 1]
    return edns ? bytes + [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0] : bytes
}

/// An answer to `query` with one address and these flags.
func nameAnswer(
    _ query: [UInt8], _ address: [UInt8] = [192, 0, 2, 1], code: UInt8 = 0, isTruncated: Bool = false, ttl: UInt8 = 60
) -> [UInt8] {
    guard let message = try? DNSMessage(query) else { return [] }
    var bytes = Array(query[..<message.questionEnd])
    bytes[2] = 0x81 | (isTruncated ? 2 : 0)
    bytes[3] = 0x80 | code
    for index in 6..<12 { bytes[index] = 0 }
    guard code == 0, !isTruncated else { return bytes }
    bytes[7] = 1
    return bytes + [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4] + address
}
