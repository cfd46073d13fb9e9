import CLinux
import Glibc

/// One listening socket of the responder and its connections.
final class HTTPListener {
    private(set) var address: HTTPListenAddress
    private let descriptor: CInt
    private unowned let responder: HTTPResponder
    private var registration: Reactor.Registration?
    private var connections: [ObjectIdentifier: HTTPConnection] = [:]
    private var refusals: [ObjectIdentifier: HTTPConnection] = [:]
    /// Connections that are answered with 503 at the same time; beyond them a connection is closed without a word.
    private static let maxRefusals = 16

    var connectionCount: Int { connections.count }

    init(address: HTTPListenAddress, responder: HTTPResponder) throws(SystemError) {
        self.address = address
        self.responder = responder
        descriptor = try Self.open(address)
        do throws(SystemError) {
            registration = try responder.reactor.register(descriptor, .readable) { [unowned self] _ in accept() }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        if case .ip(let host, port: 0) = address { self.address = .ip(host, port: Self.port(of: descriptor)) }
    }

    func close() {
        guard let registration else { return }
        responder.reactor.unregister(registration)
        self.registration = nil
        Glibc.close(descriptor)
        if case .unix(let path) = address { _ = unsafe unlink(path) }
        for connection in Array(connections.values) + Array(refusals.values) { connection.close() }
    }

    private func accept() {
        // A few at a time, so that a flood of connections does not starve everything else on the reactor.
        for _ in 0..<16 {
            let accepted = weft_accept(descriptor, CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            guard accepted >= 0 else {
                switch weft_errno() {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return pause()
                default: return
                }
            }
            serve(accepted)
        }
    }

    private func serve(_ accepted: CInt) {
        let refuses = connections.count >= responder.limits.maxConnections
        guard !refuses || refusals.count < Self.maxRefusals else {
            Glibc.close(accepted)
            return
        }
        let connection = HTTPConnection(
            descriptor: accepted, responder: responder,
            hostCheck: responder.checksHosts ? HTTPHostCheck(address) : nil
        ) { [weak self] connection in
            self?.connections[ObjectIdentifier(connection)] = nil
            self?.refusals[ObjectIdentifier(connection)] = nil
        }
        if refuses {
            refusals[ObjectIdentifier(connection)] = connection
        } else {
            connections[ObjectIdentifier(connection)] = connection
        }
        do throws(SystemError) {
            try connection.start(refusing: refuses)
        } catch {
            connection.close()
        }
    }

    /// Out of descriptors or memory: the connection stays in the queue, and asking again at once would only burn CPU.
    private func pause() {
        guard let registration else { return }
        responder.reactor.modify(registration, [])
        responder.reactor.after(.milliseconds(250)) { [weak self] in
            guard let self, let registration = self.registration else { return }
            responder.reactor.modify(registration, .readable)
        }
    }

    /// - Parameter mode: of a Unix socket's file.
    static func open(_ address: HTTPListenAddress, mode: mode_t = 0o600) throws(SystemError) -> CInt {
        guard let (found, length) = address.socketAddress() else {
            throw SystemError("listen on \(address)", code: EINVAL)
        }
        var storage = found
        if case .unix(let path) = address { try removeStaleSocket(path) }
        let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(CInt(storage.ss_family), type, 0)
        guard descriptor >= 0 else { throw SystemError("listen on \(address)") }
        do throws(SystemError) {
            var on: CInt = 1
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
            // The mode of a new socket file is that of the descriptor before bind(), so nobody can connect in between.
            if case .unix = address, fchmod(descriptor, mode) != 0 { throw SystemError("listen on \(address)") }
            let bound = unsafe withUnsafePointer(to: &storage) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe bind(descriptor, $0, length)
                }
            }
            guard bound == 0 else { throw SystemError("listen on \(address)") }
            if case .unix(let path) = address, unsafe chmod(path, mode) != 0 {
                throw SystemError("listen on \(address)")
            }
            guard Glibc.listen(descriptor, 128) == 0 else { throw SystemError("listen on \(address)") }
            return descriptor
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    /// Removes a socket file that nobody listens on.
    private static func removeStaleSocket(_ path: String) throws(SystemError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw SystemError("listen on unix:\(path), which is not a socket", code: EEXIST)
        }
        guard let (found, length) = HTTPListenAddress.unix(path: path).socketAddress() else { return }
        var storage = found
        let probe = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { throw SystemError("listen on unix:\(path)") }
        defer { Glibc.close(probe) }
        let connected = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(probe, $0, length) }
        }
        if connected == 0 || weft_errno() == EAGAIN {
            throw SystemError("listen on unix:\(path), where another process listens", code: EADDRINUSE)
        }
        _ = unsafe unlink(path)
    }

    private static func port(of descriptor: CInt) -> UInt16 {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let found = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        guard found == 0 else { return 0 }
        // The port is in the same place in sockaddr_in and sockaddr_in6.
        let address = unsafe withUnsafeBytes(of: storage) { unsafe $0.load(as: sockaddr_in.self) }
        return UInt16(bigEndian: address.sin_port)
    }
}
