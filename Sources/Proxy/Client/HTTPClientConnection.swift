import CLinux
import COpenSSL
import Glibc

/// Why a request has no answer, for people.
public struct HTTPClientError: Error, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// A connection to a server, used by one thread that waits. TLS servers have to have a certificate of an authority
/// that the system trusts. One of the few files with unsafe code.
@safe struct HTTPClientConnection: ~Copyable {
    private let descriptor: CInt
    private var tls: OpaquePointer?
    private let deadline: UInt64
    /// Readable: the thread is to end.
    private let wake: CInt

    /// - Parameters:
    ///   - deadline: CLOCK_MONOTONIC, nanoseconds.
    ///   - wake: a descriptor; when it can be read the connection is given up.
    static func open(_ url: HTTPURL, deadline: UInt64, wake: CInt) throws(HTTPClientError) -> HTTPClientConnection {
        var connection = HTTPClientConnection(
            descriptor: try connect(url, deadline: deadline, wake: wake), deadline: deadline, wake: wake)
        if url.isSecure { try connection.secure(url.host) }
        return connection
    }

    private init(descriptor: CInt, deadline: UInt64, wake: CInt) {
        self.descriptor = descriptor
        self.deadline = deadline
        self.wake = wake
        unsafe tls = nil
    }

    deinit {
        unsafe SSL_free(tls)
        close(descriptor)
    }

    private static func connect(_ url: HTTPURL, deadline: UInt64, wake: CInt) throws(HTTPClientError) -> CInt {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let error = unsafe getaddrinfo(url.host, String(url.port), &hints, &list)
        guard error == 0 else {
            throw HTTPClientError("cannot resolve \(url.host): \(unsafe String(cString: gai_strerror(error)))")
        }
        defer { unsafe freeaddrinfo(list) }
        var problem = "\(url.host) has no address"
        var next = unsafe list
        while let address = unsafe next {
            unsafe next = address.pointee.ai_next
            let descriptor = unsafe socket(
                address.pointee.ai_family,
                address.pointee.ai_socktype | CInt(SOCK_CLOEXEC.rawValue)
                    | CInt(SOCK_NONBLOCK.rawValue), address.pointee.ai_protocol)
            guard descriptor >= 0 else {
                problem = unsafe "no socket: \(String(cString: strerror(weft_errno())))"
                continue
            }
            if unsafe Glibc.connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 {
                return descriptor
            }
            var error = weft_errno()
            if error == EINPROGRESS {
                do throws(HTTPClientError) {
                    try wait(descriptor, Int16(POLLOUT), deadline: deadline, wake: wake)
                    error = Sockets.pendingError(descriptor)
                } catch {
                    close(descriptor)
                    throw error
                }
            }
            if error == 0 { return descriptor }
            close(descriptor)
            problem = unsafe "cannot connect to \(url.host) port \(url.port): \(String(cString: strerror(error)))"
        }
        throw HTTPClientError(problem)
    }

    private static func wait(_ descriptor: CInt, _ events: Int16, deadline: UInt64, wake: CInt)
        throws(HTTPClientError)
    {
        let now = MonotonicClock.now()
        guard now < deadline else { throw HTTPClientError("timed out") }
        var polled = [
            pollfd(fd: descriptor, events: events, revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
        ]
        let milliseconds = CInt(min((deadline - now) / 1_000_000 + 1, 60_000))
        guard unsafe poll(&polled, 2, milliseconds) > 0 else { throw HTTPClientError("timed out") }
        guard polled[1].revents == 0 else { throw HTTPClientError("given up") }
    }

    private func wait(_ events: Int16) throws(HTTPClientError) {
        try Self.wait(descriptor, events, deadline: deadline, wake: wake)
    }

    // MARK: TLS

    private mutating func secure(_ host: String) throws(HTTPClientError) {
        guard let context = unsafe SSL_CTX_new(TLS_client_method()) else { throw HTTPClientError("no TLS") }
        // The connection keeps it.
        defer { unsafe SSL_CTX_free(context) }
        guard unsafe weft_ssl_ctx_set_protocol_versions(context, TLS1_2_VERSION, TLS1_3_VERSION) == 1,
            unsafe SSL_CTX_set_default_verify_paths(context) == 1, let tls = unsafe SSL_new(context)
        else { throw HTTPClientError("no TLS: \(Self.problem())") }
        unsafe self.tls = tls
        unsafe SSL_set_verify(tls, SSL_VERIFY_PEER, nil)
        unsafe SSL_set_fd(tls, descriptor)
        let isAddress = unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1
        ERR_clear_error()
        if !isAddress {
            unsafe SSL_set_hostflags(tls, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
            guard unsafe SSL_set1_host(tls, host) == 1, unsafe weft_ssl_set_server_name(tls, host) == 1 else {
                throw HTTPClientError("\(host) is no name of a server")
            }
        }
        while true {
            let result = unsafe SSL_connect(tls)
            if result == 1 { return }
            guard try waitsForTLS(result) else {
                let verification = unsafe SSL_get_verify_result(tls)
                if verification != X509_V_OK {
                    throw unsafe HTTPClientError(
                        "the certificate of \(host) is not accepted: "
                            + Self.text(unsafe X509_verify_cert_error_string(verification)))
                }
                throw HTTPClientError("TLS with \(host) failed: \(Self.problem())")
            }
        }
    }

    /// False: it has failed.
    private func waitsForTLS(_ result: CInt) throws(HTTPClientError) -> Bool {
        switch unsafe SSL_get_error(tls, result) {
        case SSL_ERROR_WANT_READ: try wait(Int16(POLLIN))
        case SSL_ERROR_WANT_WRITE: try wait(Int16(POLLOUT))
        default: return false
        }
        return true
    }

    private static func text(_ text: UnsafePointer<CChar>) -> String { unsafe String(cString: text) }

    private static func problem() -> String {
        let code = ERR_get_error()
        ERR_clear_error()
        guard code != 0, let text = unsafe ERR_reason_error_string(code) else { return "the connection has ended" }
        return unsafe String(cString: text)
    }

    // MARK: Bytes

    mutating func send(_ bytes: [UInt8]) throws(HTTPClientError) {
        var start = 0
        while start < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                if let tls = unsafe tls {
                    return Int(unsafe SSL_write(tls, base + start, CInt(buffer.count - start)))
                }
                return unsafe Glibc.send(descriptor, base + start, buffer.count - start, CInt(MSG_NOSIGNAL))
            }
            if count > 0 {
                start += count
            } else if unsafe tls != nil {
                guard try waitsForTLS(CInt(count)) else { throw HTTPClientError("cannot send: \(Self.problem())") }
            } else {
                let error = weft_errno()
                guard error == EAGAIN || error == EINTR else {
                    throw HTTPClientError(unsafe "cannot send: \(String(cString: strerror(error)))")
                }
                try wait(Int16(POLLOUT))
            }
        }
    }

    /// What comes next; empty at the end.
    mutating func receive() throws(HTTPClientError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { buffer -> Int in
                if let tls = unsafe tls { return Int(unsafe SSL_read(tls, buffer.baseAddress, CInt(buffer.count))) }
                return unsafe recv(descriptor, buffer.baseAddress, buffer.count, 0)
            }
            if count > 0 { return Array(buffer[..<count]) }
            if unsafe tls != nil {
                if unsafe SSL_get_error(tls, CInt(count)) == SSL_ERROR_ZERO_RETURN { return [] }
                guard try waitsForTLS(CInt(count)) else { throw HTTPClientError("cannot receive: \(Self.problem())") }
            } else if count == 0 {
                return []
            } else {
                let error = weft_errno()
                guard error == EAGAIN || error == EINTR else {
                    throw HTTPClientError(unsafe "cannot receive: \(String(cString: strerror(error)))")
                }
                try wait(Int16(POLLIN))
            }
        }
    }
}
