// Unsafe code of this file: addresses that system calls read and write during the calls alone.

import CLinux
import Glibc

/// Sockets of the CA and of nodes that join; none of them blocks.
enum JoinSocket {
    /// `host:port` or `[IPv6]:port`.
    static func split(_ address: String) -> (host: String, port: String)? {
        guard let colon = address.lastIndex(of: ":") else { return nil }
        var host = String(address[..<colon])
        let port = String(address[address.index(after: colon)...])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, let number = UInt16(port), number > 0 || port == "0" else { return nil }
        return (host, port)
    }

    /// Connects to a place, whose name is looked up; each of its addresses is tried for at most `seconds`.
    static func connect(to address: String, seconds: Int64) throws(IdentityError) -> CInt {
        var problem = IdentityError(.unreachable, "\(address) has no address")
        let list = try unsafe resolve(address, flags: 0)
        defer { unsafe freeaddrinfo(list) }
        var next: UnsafeMutablePointer<addrinfo>? = unsafe list
        while let place = unsafe next {
            unsafe next = unsafe place.pointee.ai_next
            let descriptor = unsafe open(place)
            guard descriptor >= 0 else { continue }
            let result = unsafe Glibc.connect(descriptor, place.pointee.ai_addr, place.pointee.ai_addrlen)
            if result != 0 && weft_errno() == EINPROGRESS {
                var watched = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                if unsafe poll(&watched, 1, CInt(seconds * 1000)) == 1 {
                    let error = weft_socket_error(descriptor)
                    if error == 0 { return descriptor }
                    problem = failure("cannot reach the CA at \(address)", abs(error))
                } else {
                    problem = IdentityError(
                        .unreachable, "cannot reach the CA at \(address): no answer in \(seconds) s")
                }
            } else if result == 0 {
                return descriptor
            } else {
                problem = failure("cannot reach the CA at \(address)", weft_errno())
            }
            close(descriptor)
        }
        throw problem
    }

    static func listen(at address: String) throws(IdentityError) -> CInt {
        let list = try unsafe resolve(address, flags: AI_PASSIVE | AI_NUMERICHOST)
        defer { unsafe freeaddrinfo(list) }
        let descriptor = unsafe open(list)
        guard descriptor >= 0 else { throw failure("cannot listen at \(address)", weft_errno()) }
        var on: CInt = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
        guard unsafe bind(descriptor, list.pointee.ai_addr, list.pointee.ai_addrlen) == 0,
            Glibc.listen(descriptor, 64) == 0
        else {
            let error = failure("cannot listen at \(address)", weft_errno())
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// The port that a socket is bound to.
    static func port(of descriptor: CInt) -> UInt16 {
        var local = weft_endpoint()
        return unsafe weft_local_endpoint(descriptor, &local) == 0 ? local.port : 0
    }

    private static func resolve(
        _ address: String, flags: CInt
    ) throws(IdentityError) -> UnsafeMutablePointer<addrinfo> {
        guard let (host, port) = split(address) else {
            throw IdentityError(.malformed, "'\(address)' is not HOST:PORT or [IPV6]:PORT")
        }
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = flags | AI_NUMERICSERV
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, port, &hints, &list)
        guard result == 0, let list = unsafe list else {
            let text = unsafe gai_strerror(result).map { unsafe String(cString: $0) } ?? "error \(result)"
            throw IdentityError(.unreachable, "the address of \(host) is not known: \(text)")
        }
        return unsafe list
    }

    private static func open(_ place: UnsafeMutablePointer<addrinfo>) -> CInt {
        let flags = CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        return unsafe socket(place.pointee.ai_family, flags, 0)
    }

    private static func failure(_ what: String, _ code: CInt) -> IdentityError {
        let text = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        return IdentityError(.unreachable, "\(what): \(text)")
    }
}
