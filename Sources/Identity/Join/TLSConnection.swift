// Unsafe code of this file: SSL handles, owned by the connection.

import CLinux
import COpenSSL
import Glibc

/// A TLS 1.3 connection that blocks, but never beyond its deadline. Peers' certificates are not checked here: whoever
/// uses it checks `peerChain` before it believes or says anything.
@safe final class TLSConnection {
    enum Role { case client, server }

    private let context: OpaquePointer
    private let connection: OpaquePointer
    private let socket: CInt
    /// CLOCK_MONOTONIC in milliseconds.
    private let deadline: Int64

    /// Does the handshake over a connected socket, which the connection owns from now on and which must not block.
    ///
    /// - Parameters:
    ///   - chain: the own certificates, the leaf first, DER; empty for a client that has none yet.
    ///   - key: the leaf's.
    ///   - seconds: how long the connection may take as a whole.
    init(
        _ socket: CInt, _ role: Role, chain: [[UInt8]], key: PrivateKey?, seconds: Int64
    ) throws(IdentityError) {
        let method = unsafe role == .client ? TLS_client_method() : TLS_server_method()
        guard let context = unsafe SSL_CTX_new(method) else {
            close(socket)
            throw OpenSSL.failure("a TLS context cannot be made")
        }
        guard let connection = unsafe SSL_new(context) else {
            unsafe SSL_CTX_free(context)
            close(socket)
            throw OpenSSL.failure("a TLS connection cannot be made")
        }
        unsafe self.context = context
        unsafe self.connection = connection
        self.socket = socket
        deadline = Self.now() + seconds * 1000
        try configure(role, chain, key)
        while true {
            ERR_clear_error()
            let result = unsafe SSL_do_handshake(connection)
            if result == 1 { return }
            try wait(after: result, "the TLS handshake failed")
        }
    }

    deinit {
        // What was written is on its way; the peer may see the end.
        ERR_clear_error()
        unsafe SSL_shutdown(connection)
        unsafe SSL_free(connection)
        unsafe SSL_CTX_free(context)
        close(socket)
        ERR_clear_error()
    }

    private func configure(_ role: Role, _ chain: [[UInt8]], _ key: PrivateKey?) throws(IdentityError) {
        guard unsafe weft_ssl_set_tls13(connection) == 1, unsafe SSL_set_fd(connection, socket) == 1 else {
            throw OpenSSL.failure("a TLS connection cannot be made")
        }
        // Both ends ask for the other's certificates, and take whichever come.
        unsafe SSL_set_verify(connection, SSL_VERIFY_PEER, nil)
        unsafe SSL_set_num_tickets(connection, 0)
        unsafe SSL_CTX_set_cert_verify_callback(context, { _, _ in 1 }, nil)
        unsafe weft_ssl_limit_peer_chain(connection, 64 << 10)
        if let key, let leaf = chain.first {
            guard unsafe SSL_use_certificate_ASN1(connection, leaf, CInt(leaf.count)) == 1,
                unsafe SSL_use_PrivateKey(connection, key.pointer) == 1
            else { throw OpenSSL.failure("the certificate cannot be used for TLS") }
            for der in chain.dropFirst() {
                let certificate = try Certificate(der: der)
                guard unsafe weft_ssl_add_chain(connection, certificate.pointer) == 1 else {
                    throw OpenSSL.failure("the certificate cannot be used for TLS")
                }
            }
        }
        unsafe role == .client ? SSL_set_connect_state(connection) : SSL_set_accept_state(connection)
    }

    /// The certificates that the peer sent, the leaf first; empty if it has none.
    func peerChain() throws(IdentityError) -> [Certificate] {
        guard let leaf = unsafe SSL_get0_peer_certificate(connection) else { return [] }
        var chain = [try unsafe copy(leaf)]
        // At a server the chain is without the leaf, at a client with it.
        let others = unsafe SSL_get_peer_cert_chain(connection)
        let count = unsafe OPENSSL_sk_num(others)
        for index in 0..<min(max(count, 0), 16) {
            guard let raw = unsafe OPENSSL_sk_value(others, index) else { continue }
            let certificate = try unsafe copy(OpaquePointer(raw))
            if certificate != chain[0] { chain.append(certificate) }
        }
        return chain
    }

    private func copy(_ certificate: OpaquePointer) throws(IdentityError) -> Certificate {
        try Certificate(der: try unsafe OpenSSL.encoded("a certificate") { unsafe i2d_X509(certificate, $0) })
    }

    // MARK: Messages

    func send(_ message: JoinMessage) throws(IdentityError) {
        let bytes = message.encoded()
        let count = UInt32(bytes.count)
        let frame = (0..<4).map { UInt8(truncatingIfNeeded: count >> UInt32(24 - 8 * $0)) } + bytes
        var sent = 0
        while sent < frame.count {
            ERR_clear_error()
            let result = unsafe frame[sent...].withUnsafeBytes {
                unsafe SSL_write(connection, $0.baseAddress, CInt(min($0.count, 16384)))
            }
            if result > 0 { sent += Int(result) } else { try wait(after: result, "the message cannot be sent") }
        }
    }

    func receive(limit: Int) throws(IdentityError) -> JoinMessage {
        let length = try read(4).reduce(0) { $0 << 8 | Int($1) }
        guard length <= limit else {
            throw IdentityError(.malformed, "the peer's message has \(length) bytes, more than \(limit)")
        }
        return try JoinMessage(try read(length))
    }

    private func read(_ count: Int) throws(IdentityError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < count {
            let wanted = CInt(min(chunk.count, count - bytes.count))
            ERR_clear_error()
            let result = unsafe chunk.withUnsafeMutableBytes { unsafe SSL_read(connection, $0.baseAddress, wanted) }
            if result > 0 {
                bytes += chunk[..<Int(result)]
            } else {
                try wait(after: result, "the peer's message did not come")
            }
        }
        return bytes
    }

    /// Waits for what the last call needs, at most until the deadline; throws if it has failed for good.
    private func wait(after result: CInt, _ what: String) throws(IdentityError) {
        let reason = unsafe SSL_get_error(connection, result)
        guard reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE else {
            throw OpenSSL.failure(reason == SSL_ERROR_SYSCALL ? "\(what): the connection ended" : what, .unreachable)
        }
        let left = deadline - Self.now()
        var watched = pollfd(fd: socket, events: Int16(reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), revents: 0)
        guard left > 0, unsafe poll(&watched, 1, CInt(left)) != 0 else {
            throw IdentityError(.unreachable, "\(what) in time")
        }
    }

    static func now() -> Int64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
