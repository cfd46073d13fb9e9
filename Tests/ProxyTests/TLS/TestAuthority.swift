import COpenSSL
import Foundation
import Mesh
import Testing

@testable import Proxy

/// What a certificate of a test says; as it is made here there is nothing wrong with it.
struct TestLeaf {
    var uris: [String]
    var names: [String] = []
    /// Seconds from now.
    var from = -60
    var until = 3_600
    var isCA = false
    var keyUsage: String? = "critical,digitalSignature"
    var extendedKeyUsage: String? = "serverAuth,clientAuth"
    /// 0: ECDSA with P-256; else bits of an RSA key.
    var keyBits: UInt32 = 0

    init(_ uris: String...) { self.uris = uris }
}

/// A key pair of a test.
@safe final class TestKey {
    let key: OpaquePointer

    init(rsaBits bits: UInt32 = 0) throws {
        let generator = try unsafe #require(EVP_PKEY_CTX_new_from_name(nil, bits == 0 ? "EC" : "RSA", nil))
        defer { unsafe EVP_PKEY_CTX_free(generator) }
        unsafe EVP_PKEY_keygen_init(generator)
        if bits == 0 {
            unsafe EVP_PKEY_CTX_set_group_name(generator, "P-256")
        } else {
            unsafe EVP_PKEY_CTX_set_rsa_keygen_bits(generator, CInt(bits))
        }
        var key: OpaquePointer?
        unsafe EVP_PKEY_generate(generator, &key)
        unsafe self.key = try unsafe #require(key)
    }

    deinit { unsafe EVP_PKEY_free(key) }

    /// PKCS #8.
    var bytes: [UInt8] {
        let information = unsafe EVP_PKEY2PKCS8(key)
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(information) }
        return unsafe der { unsafe i2d_PKCS8_PRIV_KEY_INFO(information, $0) }
    }
}

/// What an i2d function writes.
func der(_ write: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> CInt) -> [UInt8] {
    let count = Int(write(nil))
    return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
        var position = buffer.baseAddress
        used = unsafe Int(write(&position))
    }
}

/// A certificate authority of a test, made by OpenSSL.
@safe final class TestAuthority {
    let key: TestKey
    private let certificate: OpaquePointer
    private let issuer: TestAuthority?
    private var serial = 1

    /// - Parameters:
    ///   - issuer: nil for a root.
    ///   - isCA: false for one that only behaves as if it were an authority.
    ///   - nameConstraints: what it may sign, as OpenSSL writes it.
    init(_ name: String, issuer: TestAuthority? = nil, isCA: Bool = true, nameConstraints: String? = nil) throws {
        key = try TestKey()
        self.issuer = issuer
        let certificate = try unsafe #require(X509_new())
        unsafe self.certificate = certificate
        unsafe X509_set_pubkey(certificate, key.key)
        unsafe Self.name(X509_get_subject_name(certificate), name)
        unsafe Self.setValidity(certificate, from: -3_600, until: 86_400)
        unsafe add(isCA ? "critical,CA:TRUE" : "critical,CA:FALSE", NID_basic_constraints, to: certificate)
        unsafe add(isCA ? "critical,keyCertSign,cRLSign" : "digitalSignature", NID_key_usage, to: certificate)
        unsafe add("hash", NID_subject_key_identifier, to: certificate)
        if let nameConstraints { unsafe add(nameConstraints, NID_name_constraints, to: certificate) }
        unsafe (issuer ?? self).sign(certificate)
    }

    deinit { unsafe X509_free(certificate) }

    var bytes: [UInt8] { unsafe der { unsafe i2d_X509(certificate, $0) } }

    /// - Parameters:
    ///   - key: what signs instead of the authority's own key.
    ///   - namesKey: whether the certificate says which of several keys of its issuer has signed it.
    func issue(_ leaf: TestLeaf, signedBy key: TestKey? = nil, namesKey: Bool = false) throws -> WorkloadCertificate {
        let own = try TestKey(rsaBits: leaf.keyBits)
        let made = try unsafe #require(X509_new())
        defer { unsafe X509_free(made) }
        unsafe X509_set_pubkey(made, own.key)
        unsafe Self.name(X509_get_subject_name(made), "workload")
        unsafe Self.setValidity(made, from: leaf.from, until: leaf.until)
        unsafe add(leaf.isCA ? "critical,CA:TRUE" : "critical,CA:FALSE", NID_basic_constraints, to: made)
        if let usage = leaf.keyUsage { unsafe add(usage, NID_key_usage, to: made) }
        if let usage = leaf.extendedKeyUsage { unsafe add(usage, NID_ext_key_usage, to: made) }
        if namesKey { unsafe add("keyid:always", NID_authority_key_identifier, to: made) }
        let names = leaf.uris.map { "URI:\($0)" } + leaf.names.map { "DNS:\($0)" }
        if !names.isEmpty { unsafe add(names.joined(separator: ","), NID_subject_alt_name, to: made) }
        unsafe sign(made, key: key)
        let bytes = unsafe der { unsafe i2d_X509(made, $0) }
        let now = Int64(time(nil))
        return WorkloadCertificate(
            spiffeID: leaf.uris.first ?? "none", chain: [bytes] + chain, privateKey: own.bytes,
            notBefore: now + Int64(leaf.from), notAfter: now + Int64(leaf.until))
    }

    /// Itself and those above, without the root.
    private var chain: [[UInt8]] { issuer.map { [bytes] + $0.chain } ?? [] }

    /// A revocation list with the leaves of these.
    /// - Parameter until: its nextUpdate, seconds from now.
    func revocationList(_ revoked: [WorkloadCertificate], until: Int = 3_600) throws -> [UInt8] {
        let list = try unsafe #require(X509_CRL_new())
        defer { unsafe X509_CRL_free(list) }
        unsafe X509_CRL_set_version(list, 1)
        unsafe X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate))
        let begin = unsafe X509_gmtime_adj(nil, -3_600)
        let end = unsafe X509_gmtime_adj(nil, until)
        unsafe X509_CRL_set1_lastUpdate(list, begin)
        unsafe X509_CRL_set1_nextUpdate(list, end)
        let library = TLSLibrary()
        for certificate in revoked {
            guard let leaf = unsafe library.certificate(certificate.chain[0]) else {
                throw TLSFailure.badOwnCertificate
            }
            let entry = unsafe X509_REVOKED_new()
            unsafe X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(leaf))
            unsafe X509_REVOKED_set_revocationDate(entry, begin)
            unsafe X509_CRL_add0_revoked(list, entry)
            unsafe X509_free(leaf)
        }
        unsafe ASN1_STRING_free(begin)
        unsafe ASN1_STRING_free(end)
        unsafe X509_CRL_sort(list)
        unsafe X509_CRL_sign(list, key.key, EVP_sha256())
        return unsafe der { unsafe i2d_X509_CRL(list, $0) }
    }

    private func add(_ value: String, _ kind: CInt, to subject: OpaquePointer) {
        var context = unsafe X509V3_CTX()
        unsafe X509V3_set_ctx(&context, certificate, subject, nil, nil, 0)
        let made = unsafe X509V3_EXT_nconf_nid(nil, &context, kind, value)
        unsafe X509_add_ext(subject, made, -1)
        unsafe X509_EXTENSION_free(made)
    }

    private func sign(_ subject: OpaquePointer, key: TestKey? = nil) {
        unsafe X509_set_version(subject, 2)
        serial += 1
        unsafe ASN1_INTEGER_set(X509_get_serialNumber(subject), serial)
        unsafe X509_set_issuer_name(subject, X509_get_subject_name(certificate))
        unsafe X509_sign(subject, (key ?? self.key).key, EVP_sha256())
    }

    private static func name(_ name: OpaquePointer?, _ text: String) {
        unsafe X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0)
    }

    private static func setValidity(_ subject: OpaquePointer, from: Int, until: Int) {
        unsafe X509_gmtime_adj(X509_getm_notBefore(subject), from)
        unsafe X509_gmtime_adj(X509_getm_notAfter(subject), until)
    }
}
