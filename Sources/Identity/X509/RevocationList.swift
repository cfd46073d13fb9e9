// Unsafe code of this file: X509_CRL handles, owned by the functions that make them.

import COpenSSL

/// A certificate revocation list (RFC 5280 §5). An immutable value in DER.
public struct RevocationList: Sendable, Equatable {
    public let der: [UInt8]
    /// Serial numbers in hexadecimal digits, lower case.
    public let serials: [String]
    /// In the form of RFC 2253.
    public let issuer: String

    /// Reads DER; what comes after the list is an error too.
    public init(der: [UInt8]) throws(IdentityError) {
        let list = try unsafe Self.decode(der)
        defer { unsafe X509_CRL_free(list) }
        self.der = der
        serials = unsafe Self.serials(of: list)
        issuer = unsafe Certificate.text(X509_CRL_get_issuer(list))
    }

    /// Whether `certificate`'s key signed it.
    public func isSigned(by certificate: Certificate) -> Bool {
        guard let list = try? unsafe Self.decode(der) else { return false }
        defer { unsafe X509_CRL_free(list) }
        guard let key = unsafe X509_get0_pubkey(certificate.pointer) else { return false }
        let result = unsafe X509_CRL_verify(list, key)
        ERR_clear_error()
        return result == 1
    }

    /// A list of `authority`: what `previous` has, and `serial`.
    ///
    /// It is valid as long as the authority itself, since it is written anew only when something is revoked, and a list
    /// that has run out would make readers refuse every certificate.
    static func make(
        adding serial: String, to previous: RevocationList?, authority: SigningAuthority, now: Int64
    ) throws(IdentityError) -> RevocationList {
        let all = (previous?.serials ?? []) + (previous?.serials.contains(serial) == true ? [] : [serial])
        guard let list = unsafe X509_CRL_new() else { throw OpenSSL.failure("a revocation list cannot be made") }
        defer { unsafe X509_CRL_free(list) }
        let from = unsafe ASN1_TIME_set(nil, Int(now))
        let until = unsafe ASN1_TIME_set(nil, Int(authority.certificate.notAfter))
        defer {
            unsafe ASN1_STRING_free(from)
            unsafe ASN1_STRING_free(until)
        }
        guard unsafe X509_CRL_set_version(list, Int(X509_CRL_VERSION_2)) == 1,
            unsafe X509_CRL_set_issuer_name(list, X509_get_subject_name(authority.certificate.pointer)) == 1,
            unsafe X509_CRL_set1_lastUpdate(list, from) == 1, unsafe X509_CRL_set1_nextUpdate(list, until) == 1
        else { throw OpenSSL.failure("a revocation list cannot be made") }
        for serial in all { try unsafe add(serial, to: list, at: from) }
        try unsafe addExtensions(to: list, authority, number: UInt64(all.count))
        guard unsafe X509_CRL_sort(list) == 1,
            unsafe X509_CRL_sign(list, authority.key.pointer, EVP_sha256()) > 0
        else { throw OpenSSL.failure("a revocation list cannot be signed") }
        return try RevocationList(
            der: try unsafe OpenSSL.encoded("a revocation list") { unsafe i2d_X509_CRL(list, $0) })
    }

    private static func add(
        _ serial: String, to list: OpaquePointer, at time: UnsafeMutablePointer<ASN1_TIME>?
    ) throws(IdentityError) {
        var number: OpaquePointer?
        guard unsafe BN_hex2bn(&number, serial) == serial.utf8.count, let value = unsafe number else {
            throw IdentityError(.malformed, "'\(serial)' is not a serial number: give it in hexadecimal digits")
        }
        defer { unsafe BN_free(value) }
        guard let integer = unsafe BN_to_ASN1_INTEGER(value, nil) else {
            throw OpenSSL.failure("a serial number cannot be made")
        }
        defer { unsafe ASN1_STRING_free(integer) }
        guard let entry = unsafe X509_REVOKED_new() else { throw OpenSSL.failure("an entry cannot be made") }
        guard unsafe X509_REVOKED_set_serialNumber(entry, integer) == 1,
            unsafe X509_REVOKED_set_revocationDate(entry, time) == 1, unsafe X509_CRL_add0_revoked(list, entry) == 1
        else {
            unsafe X509_REVOKED_free(entry)
            throw OpenSSL.failure("an entry cannot be made")
        }
    }

    private static func addExtensions(
        to list: OpaquePointer, _ authority: SigningAuthority, number: UInt64
    ) throws(IdentityError) {
        guard let integer = unsafe ASN1_INTEGER_new() else { throw OpenSSL.failure("a number cannot be made") }
        defer { unsafe ASN1_STRING_free(integer) }
        guard unsafe ASN1_INTEGER_set_uint64(integer, number) == 1,
            unsafe X509_CRL_add1_ext_i2d(list, NID_crl_number, integer, 0, 0) == 1
        else { throw OpenSSL.failure("the list's number cannot be added") }
        var context = unsafe X509V3_CTX()
        unsafe X509V3_set_ctx(&context, authority.certificate.pointer, nil, nil, list, 0)
        let value = unsafe X509V3_EXT_conf_nid(nil, &context, NID_authority_key_identifier, "keyid:always")
        defer { unsafe X509_EXTENSION_free(value) }
        guard unsafe value != nil, unsafe X509_CRL_add_ext(list, value, -1) == 1 else {
            throw OpenSSL.failure("the issuer's key cannot be named")
        }
    }

    private static func decode(_ der: [UInt8]) throws(IdentityError) -> OpaquePointer {
        let decoded = unsafe OpenSSL.decoded(
            der, { place, count in unsafe d2i_X509_CRL(nil, place, count) }, free: { unsafe X509_CRL_free($0) })
        guard let list = unsafe decoded else {
            throw IdentityError(.malformed, "it is not a certificate revocation list")
        }
        return unsafe list
    }

    private static func serials(of list: OpaquePointer) -> [String] {
        guard let entries = unsafe X509_CRL_get_REVOKED(list) else { return [] }
        let count = unsafe OPENSSL_sk_num(entries)
        return (0..<max(count, 0)).compactMap { index in
            guard let raw = unsafe OPENSSL_sk_value(entries, index) else { return nil }
            let entry = OpaquePointer(raw)
            return unsafe Certificate.text(serial: X509_REVOKED_get0_serialNumber(entry))
        }
    }
}
