// Unsafe code of this file: an X509_STORE_CTX and what it refers to, both owned by the function that makes them.

import COpenSSL

/// Checks chains of certificates as OpenSSL does it (RFC 5280 §6).
public enum ChainVerifier {
    /// What a chain's leaf is to be used for.
    public enum Purpose: Sendable {
        case server
        case client
        /// To sign certificates.
        case authority
    }

    /// Throws unless `leaf` leads over some of `intermediates` to one of `roots` at the moment `now`, is good for
    /// `purpose`, and neither it nor an authority above it is in one of `revocations`. An issuer without a list there
    /// has revoked nothing.
    public static func verify(
        _ leaf: Certificate, intermediates: [Certificate], roots: [Certificate], revocations: [[UInt8]] = [],
        purpose: Purpose, now: Int64
    ) throws(IdentityError) {
        guard purpose != .authority || leaf.isAuthority else {
            throw IdentityError(.invalid, "the certificate '\(leaf.subject)' is not one of an authority (CA:true)")
        }
        let problem = run(leaf, intermediates, roots, revocations, purpose, now)
        ERR_clear_error()
        guard problem != X509_V_OK else { return }
        let text = unsafe X509_verify_cert_error_string(Int(problem)).map { unsafe String(cString: $0) } ?? "\(problem)"
        let isExpired = problem == X509_V_ERR_CERT_HAS_EXPIRED || problem == X509_V_ERR_CERT_NOT_YET_VALID
        throw IdentityError(
            isExpired ? .expired : .invalid, "the certificate '\(description(leaf))' does not verify: \(text)")
    }

    private static func description(_ certificate: Certificate) -> String {
        certificate.subject.isEmpty ? certificate.uris.first ?? certificate.serial : certificate.subject
    }

    private static func run(
        _ leaf: Certificate, _ intermediates: [Certificate], _ roots: [Certificate], _ revocations: [[UInt8]],
        _ purpose: Purpose, _ now: Int64
    ) -> CInt {
        guard let store = unsafe X509_STORE_new(), let context = unsafe X509_STORE_CTX_new(),
            let untrusted = unsafe OPENSSL_sk_new_null()
        else { return X509_V_ERR_OUT_OF_MEM }
        defer {
            unsafe X509_STORE_CTX_free(context)
            unsafe X509_STORE_free(store)
            unsafe OPENSSL_sk_free(untrusted)
        }
        for root in roots { unsafe X509_STORE_add_cert(store, root.pointer) }
        for certificate in intermediates { unsafe OPENSSL_sk_push(untrusted, UnsafeRawPointer(certificate.pointer)) }
        for list in revocations {
            let decoded = unsafe OpenSSL.decoded(
                list, { place, count in unsafe d2i_X509_CRL(nil, place, count) }, free: { unsafe X509_CRL_free($0) })
            guard let decoded = unsafe decoded else { return X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE }
            unsafe X509_STORE_add_crl(store, decoded)
            unsafe X509_CRL_free(decoded)
        }
        guard unsafe X509_STORE_CTX_init(context, store, leaf.pointer, untrusted) == 1,
            let parameters = unsafe X509_STORE_CTX_get0_param(context)
        else { return X509_V_ERR_OUT_OF_MEM }
        unsafe X509_VERIFY_PARAM_set_time(parameters, Int(now))
        // No chain of the mesh is longer than a leaf, the intermediates of a company and its root.
        unsafe X509_VERIFY_PARAM_set_depth(parameters, 8)
        if !revocations.isEmpty {
            let flags = UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)
            unsafe X509_VERIFY_PARAM_set_flags(parameters, flags)
        }
        switch purpose {
        case .server: unsafe X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_SERVER)
        case .client: unsafe X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT)
        case .authority: break
        }
        unsafe X509_STORE_CTX_set_verify_cb(context) { result, context in
            guard result == 0, unsafe X509_STORE_CTX_get_error(context) == X509_V_ERR_UNABLE_TO_GET_CRL else {
                return result
            }
            unsafe X509_STORE_CTX_set_error(context, X509_V_OK)
            return 1
        }
        let isValid = unsafe X509_verify_cert(context) == 1
        let problem = unsafe X509_STORE_CTX_get_error(context)
        return isValid ? X509_V_OK : problem == X509_V_OK ? X509_V_ERR_UNSPECIFIED : problem
    }
}
