import COpenSSL
import Mesh

/// What the X.509-SVID standard asks of a workload's certificate by itself. One of the few files with unsafe code.
/// Source: https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
@safe enum PeerCertificate {
    /// The SPIFFE id that a certificate claims; nothing of it has been verified.
    static func claimedIdentity(_ certificate: OpaquePointer) throws(TLSFailure) -> PeerIdentity {
        // None where the extension is there twice.
        let names = unsafe OpaquePointer(X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil))
        defer { unsafe GENERAL_NAMES_free(names) }
        var uri: String?
        for index in 0..<max(0, unsafe OPENSSL_sk_num(names)) {
            let name = unsafe OPENSSL_sk_value(names, index)?.assumingMemoryBound(to: GENERAL_NAME.self)
            var kind: CInt = 0
            let value = unsafe GENERAL_NAME_get0_value(name, &kind)?.assumingMemoryBound(to: ASN1_STRING.self)
            guard kind == GEN_URI else { continue }
            guard uri == nil else { throw .notOneURISAN }
            let bytes = unsafe UnsafeBufferPointer(
                start: ASN1_STRING_get0_data(value), count: Int(ASN1_STRING_length(value)))
            uri = unsafe String(decoding: bytes, as: UTF8.self)
        }
        guard let uri else { throw .notOneURISAN }
        guard let id = SPIFFEID(uri), let identity = PeerIdentity(id) else { throw .badSPIFFEID }
        return identity
    }

    /// Whether it may be shown by a peer in that role.
    static func checkProfile(_ certificate: OpaquePointer, peer: TLSRole) throws(TLSFailure) {
        guard unsafe X509_get_extension_flags(certificate) & UInt32(EXFLAG_CA) == 0 else { throw .isCA }
        // All bits are set where the extension is missing.
        let usage = unsafe X509_get_key_usage(certificate)
        guard usage & UInt32(KU_DIGITAL_SIGNATURE) != 0, usage & UInt32(KU_KEY_CERT_SIGN | KU_CRL_SIGN) == 0 else {
            throw .missingKeyUsage
        }
        let extended = unsafe X509_get_extended_key_usage(certificate)
        let demanded = UInt32(peer == .server ? XKU_SSL_SERVER : XKU_SSL_CLIENT)
        guard extended != .max, extended & demanded != 0 else { throw .missingExtendedKeyUsage }
    }
}
