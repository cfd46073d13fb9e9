import COpenSSL
import Glibc
import Mesh

/// A trust domain's roots and revocation lists, as OpenSSL has them. One of the few files with unsafe code.
@safe final class BundleStore {
    let bundle: TrustBundle
    private let store: OpaquePointer
    /// A list that cannot be read might revoke anybody.
    private let isBroken: Bool

    /// Intermediates between a workload's certificate and a root.
    private static let depth: CInt = 5
    /// 112 bits: RSA of 2,048 bits at least, no SHA-1.
    static let securityLevel: CInt = 2

    /// Roots that cannot be read are left out: nobody is trusted for them. nil: there is no memory for it.
    init?(_ bundle: TrustBundle, library: TLSLibrary) {
        self.bundle = bundle
        guard let store = unsafe X509_STORE_new() else { return nil }
        unsafe self.store = store
        for root in bundle.roots {
            guard let root = unsafe library.certificate(root) else { continue }
            unsafe X509_STORE_add_cert(store, root)
            unsafe X509_free(root)
        }
        var isBroken = false
        for list in bundle.revocations {
            if let list = unsafe library.revocationList(list) {
                unsafe X509_STORE_add_crl(store, list)
                unsafe X509_CRL_free(list)
            } else {
                isBroken = true
            }
        }
        self.isBroken = isBroken
        // Whatever is in a bundle is trusted, be it self-signed or not.
        var flags = UInt(X509_V_FLAG_PARTIAL_CHAIN)
        if !bundle.revocations.isEmpty { flags |= UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) }
        unsafe X509_STORE_set_flags(store, flags)
        unsafe X509_STORE_set_depth(store, Self.depth)
        unsafe X509_STORE_set_verify_cb(store) { unsafe BundleStore.judge($0, $1) }
        ERR_clear_error()
    }

    deinit { unsafe X509_STORE_free(store) }

    /// Verifies a certificate by this bundle alone.
    /// - Parameters:
    ///   - untrusted: further certificates that the peer sent (STACK_OF(X509)).
    ///   - time: seconds since 1970; nil: now.
    /// - Returns: the end of the validity of the chain, or of the certificate in it that ends first.
    func verify(
        _ leaf: OpaquePointer, untrusted: OpaquePointer?, peer: TLSRole, time: Int64?, library: TLSLibrary
    ) throws(TLSFailure) -> Int64 {
        guard !isBroken else { throw .badRevocationList }
        defer { ERR_clear_error() }
        guard let verification = unsafe X509_STORE_CTX_new_ex(library.context, nil) else { throw .untrusted }
        defer { unsafe X509_STORE_CTX_free(verification) }
        guard unsafe X509_STORE_CTX_init(verification, store, leaf, untrusted) == 1,
            unsafe X509_STORE_CTX_set_default(verification, peer == .server ? "ssl_server" : "ssl_client") == 1
        else { throw .untrusted }
        let parameters = unsafe X509_STORE_CTX_get0_param(verification)
        unsafe X509_VERIFY_PARAM_set_auth_level(parameters, Self.securityLevel)
        if let time { unsafe X509_VERIFY_PARAM_set_time(parameters, time_t(time)) }
        guard unsafe X509_verify_cert(verification) == 1 else {
            throw TLSFailure(verification: unsafe X509_STORE_CTX_get_error(verification))
        }
        return unsafe Self.end(of: X509_STORE_CTX_get0_chain(verification))
    }

    private static func end(of chain: OpaquePointer?) -> Int64 {
        var end = Int64.max
        for index in unsafe 0..<OPENSSL_sk_num(chain) {
            let certificate = unsafe OpaquePointer(OPENSSL_sk_value(chain, index))
            var time = unsafe tm()
            guard unsafe ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) == 1 else { return 0 }
            end = unsafe min(end, Int64(timegm(&time)))
        }
        return end
    }

    /// Lets a certificate pass whose issuer has published no revocation list; everything else stays as it was judged.
    private static func judge(_ isFine: CInt, _ verification: OpaquePointer?) -> CInt {
        guard isFine == 0, unsafe X509_STORE_CTX_get_error(verification) == X509_V_ERR_UNABLE_TO_GET_CRL else {
            return isFine
        }
        let chain = unsafe X509_STORE_CTX_get0_chain(verification)
        let depth = unsafe X509_STORE_CTX_get_error_depth(verification)
        let last = unsafe OPENSSL_sk_num(chain) - 1
        guard depth <= last else { return 0 }
        let subject = unsafe OpaquePointer(OPENSSL_sk_value(chain, depth))
        // Roots sign their own lists; so does an anchor whose issuer is not known.
        let issuer = unsafe OpaquePointer(OPENSSL_sk_value(chain, min(depth + 1, last)))
        let lists = unsafe X509_STORE_CTX_get1_crls(verification, X509_get_issuer_name(subject))
        defer { unsafe OPENSSL_sk_pop_free(lists) { unsafe X509_CRL_free(OpaquePointer($0)) } }
        // A list of the issuer that OpenSSL did not take (a scope or an extension that it does not know) might name the
        // certificate; one of another key with the same name, as after the rotation of a root, does not concern it.
        for index in unsafe 0..<max(0, OPENSSL_sk_num(lists)) {
            let list = unsafe OpaquePointer(OPENSSL_sk_value(lists, index))
            if unsafe X509_CRL_verify(list, X509_get0_pubkey(issuer)) == 1 { return 0 }
        }
        unsafe X509_STORE_CTX_set_error(verification, X509_V_OK)
        return 1
    }
}
