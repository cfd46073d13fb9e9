import CLinux
import DNS
import Glibc
import Mesh

/// Sockets of the name server.
enum DNSSocket {
    /// A socket that listens, or takes datagrams, at `address`.
    static func bound(_ address: HTTPListenAddress, type: __socket_type) throws(SystemError) -> CInt {
        guard case .ip = address, let (found, length) = address.socketAddress() else {
            throw SystemError("answer names at \(address)", code: EINVAL)
        }
        var storage = found
        let descriptor = socket(CInt(storage.ss_family), flags(type), 0)
        guard descriptor >= 0 else { throw SystemError("answer names at \(address)") }
        var on: CInt = 1
        if type == SOCK_STREAM {
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
        }
        let bound = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, length) }
        }
        guard bound == 0, type == SOCK_DGRAM || listen(descriptor, 64) == 0 else {
            let error = SystemError("answer names at \(address)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// A socket that is connected, or connecting, to `server`; nil if there is no way to it.
    ///
    /// The kernel chooses its port, at random. A connected socket takes datagrams of that server only, and hears when
    /// nobody listens there.
    static func connected(_ server: DNSUpstream, type: __socket_type) -> CInt? {
        let text = HTTPListenAddress.ip(server.address.description, port: server.port)
        guard let (found, length) = text.socketAddress() else { return nil }
        var storage = found
        let descriptor = socket(CInt(storage.ss_family), flags(type), 0)
        guard descriptor >= 0 else { return nil }
        let result = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(descriptor, $0, length) }
        }
        guard result == 0 || weft_errno() == EINPROGRESS else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private static func flags(_ type: __socket_type) -> CInt {
        CInt(type.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    }

    /// The address that a socket is bound to.
    static func local(of descriptor: CInt) -> DNSUpstream? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        return result == 0 ? peer(storage) : nil
    }

    /// An address and port of a socket address.
    static func peer(_ storage: sockaddr_storage) -> DNSUpstream? {
        unsafe withUnsafeBytes(of: storage) { bytes in
            switch CInt(storage.ss_family) {
            case AF_INET:
                let v4 = unsafe bytes.load(as: sockaddr_in.self)
                return DNSUpstream(
                    address: IPAddress(v4: UInt32(bigEndian: v4.sin_addr.s_addr)), port: UInt16(bigEndian: v4.sin_port))
            case AF_INET6:
                // The address follows family, port and flow information.
                let address = IPAddress(
                    high: unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                    low: unsafe bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
                return DNSUpstream(
                    address: address, port: UInt16(bigEndian: unsafe bytes.load(as: sockaddr_in6.self).sin6_port))
            default: return nil
            }
        }
    }

    /// Reads what is there: bytes (a datagram may have none), nil when there is nothing now, or an error (0: the end of a
    /// stream).
    static func receive(_ descriptor: CInt, limit: Int, isStream: Bool) -> Result<[UInt8]?, SystemError> {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = unsafe recv(descriptor, &buffer, limit, 0)
        if count == 0, isStream { return .failure(SystemError("read", code: 0)) }
        if count >= 0 {
            buffer.removeLast(limit - count)
            return .success(buffer)
        }
        let code = weft_errno()
        return code == EAGAIN || code == EINTR ? .success(nil) : .failure(SystemError("read", code: code))
    }
}
