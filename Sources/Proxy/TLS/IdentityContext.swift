import COpenSSL
import Mesh

/// The SSL_CTX of one identity of this node, for both roles. One of the few files with unsafe code.
@safe struct IdentityContext: ~Copyable {
    let certificate: WorkloadCertificate
    let context: OpaquePointer
    /// When it was last used, by the count of connections.
    var lastUse: UInt64 = 0

    /// - Parameter verifier: outlives every connection of this context, since they hold it.
    init(_ certificate: WorkloadCertificate, verifier: PeerVerifier) throws(TLSFailure) {
        unsafe context = try Self.make(certificate, verifier: verifier)
        self.certificate = certificate
    }

    deinit { unsafe SSL_CTX_free(context) }

    /// An SSL over a socket, to be freed by the caller; nil if there is no memory.
    func connection(role: TLSRole, descriptor: CInt) -> OpaquePointer? {
        let connection = unsafe SSL_new(context)
        guard let connection = unsafe connection, unsafe SSL_set_fd(connection, descriptor) == 1 else {
            unsafe SSL_free(connection)
            ERR_clear_error()
            return nil
        }
        switch role {
        case .client: unsafe SSL_set_connect_state(connection)
        case .server: unsafe SSL_set_accept_state(connection)
        }
        return unsafe connection
    }

    private static func make(
        _ certificate: WorkloadCertificate, verifier: PeerVerifier
    ) throws(TLSFailure) -> OpaquePointer {
        guard let context = unsafe SSL_CTX_new_ex(verifier.library.context, nil, TLS_method()) else {
            throw .badOwnCertificate
        }
        defer { ERR_clear_error() }
        guard unsafe use(certificate, in: context, library: verifier.library), unsafe restrict(context) else {
            unsafe SSL_CTX_free(context)
            throw .badOwnCertificate
        }
        unsafe setCallbacks(context, verifier: verifier)
        unsafe weft_ssl_ctx_set_options(context)
        // Buffers are not given back after every record, which would cost an allocation for the next.
        unsafe weft_ssl_ctx_set_mode(context, Int(SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER))
        return unsafe context
    }

    /// Whether the certificate could be taken, which a key that is not its own prevents.
    private static func use(
        _ certificate: WorkloadCertificate, in context: OpaquePointer, library: TLSLibrary
    ) -> Bool {
        let key = unsafe library.privateKey(certificate.privateKey)
        defer { unsafe EVP_PKEY_free(key) }
        let intermediates = unsafe OPENSSL_sk_new_null()
        defer { unsafe OPENSSL_sk_pop_free(intermediates) { unsafe X509_free(OpaquePointer($0)) } }
        for bytes in certificate.chain.dropFirst() {
            guard let intermediate = unsafe library.certificate(bytes) else { return false }
            unsafe OPENSSL_sk_push(intermediates, UnsafeRawPointer(intermediate))
        }
        let leaf = unsafe certificate.chain.first.flatMap { unsafe library.certificate($0) }
        defer { unsafe X509_free(leaf) }
        guard let leaf = unsafe leaf, let key = unsafe key else { return false }
        return unsafe SSL_CTX_use_cert_and_key(context, leaf, key, intermediates, 1) == 1
    }

    /// TLS 1.3 with few parameters, no resumption and no early data.
    private static func restrict(_ context: OpaquePointer) -> Bool {
        // libssl takes 0 for success here alone.
        let protocols: [UInt8] = [2, 0x68, 0x32]
        let hasProtocols = unsafe SSL_CTX_set_alpn_protos(context, protocols, UInt32(protocols.count)) == 0
        unsafe SSL_CTX_set_security_level(context, BundleStore.securityLevel)
        unsafe weft_ssl_ctx_disable_session_cache(context)
        return unsafe hasProtocols
            && weft_ssl_ctx_set_protocol_versions(context, TLS1_3_VERSION, TLS1_3_VERSION) == 1
            && SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") == 1
            && weft_ssl_ctx_set_groups(context, "X25519:P-256") == 1
            && SSL_CTX_set_num_tickets(context, 0) == 1 && SSL_CTX_set_max_early_data(context, 0) == 1
            && SSL_CTX_set_recv_max_early_data(context, 0) == 1
    }

    private static func setCallbacks(_ context: OpaquePointer, verifier: PeerVerifier) {
        unsafe SSL_CTX_set_keylog_callback(context) { connection, line in
            guard let connection = unsafe connection, let line = unsafe line,
                let outcome = unsafe TLSConnection.outcome(connection)
            else { return }
            if let secret = unsafe TrafficSecret(line: line, label: "CLIENT_TRAFFIC_SECRET_0") {
                outcome.clientSecret = secret
            } else if let secret = unsafe TrafficSecret(line: line, label: "SERVER_TRAFFIC_SECRET_0") {
                outcome.serverSecret = secret
            }
        }
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        unsafe SSL_CTX_set_cert_verify_callback(
            context,
            { verification, verifier in
                guard let verification = unsafe verification, let verifier = unsafe verifier else { return 0 }
                return unsafe PeerVerifier.answer(verification, verifier: verifier)
            }, Unmanaged.passUnretained(verifier).toOpaque())
        unsafe SSL_CTX_set_alpn_select_cb(
            context,
            { _, chosen, chosenLength, offered, offeredLength, _ in
                guard let offered = unsafe offered, let chosen = unsafe chosen else {
                    return SSL_TLSEXT_ERR_ALERT_FATAL
                }
                let names = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredLength))
                var position = 0
                while position < names.count {
                    let length = unsafe Int(names[position])
                    guard position + 1 + length <= names.count else { break }
                    if length == 2, unsafe names[position + 1] == 0x68, unsafe names[position + 2] == 0x32 {
                        unsafe chosen.pointee = offered + position + 1
                        unsafe chosenLength?.pointee = 2
                        return SSL_TLSEXT_ERR_OK
                    }
                    position += 1 + length
                }
                return SSL_TLSEXT_ERR_ALERT_FATAL
            }, nil)
    }
}
