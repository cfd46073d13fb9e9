// Unsafe code of this file: an X509 that is being made; it is owned by the function that makes it.

import COpenSSL
import Mesh

/// What kind of certificate is made, and so which extensions it has.
enum CertificateProfile: Equatable {
    /// A trust domain's root.
    case root
    /// An authority that issues to workloads and has none below it.
    case node
    /// An X.509-SVID.
    case workload

    fileprivate var constraints: String {
        switch self {
        case .root: "critical,CA:TRUE"
        case .node: "critical,CA:TRUE,pathlen:0"
        case .workload: "critical,CA:FALSE"
        }
    }

    fileprivate var keyUsage: String {
        self == .workload ? "critical,digitalSignature" : "critical,keyCertSign,cRLSign"
    }
}

/// What a certificate says.
struct CertificateContent {
    var profile: CertificateProfile
    /// Attributes in order: ("CN", "node-a"). Empty for workloads: the standard has their name in the URI alone.
    var subject: [(attribute: String, value: String)]
    var id: SPIFFEID
    /// Seconds since 1970.
    var notBefore: Int64
    var notAfter: Int64
}

enum CertificateBuilder {
    /// Bytes of a serial number; random, so that none is used twice (RFC 5280 §4.1.2.2 allows 20).
    static let serialLength = 16

    /// Makes and signs a certificate (ECDSA with SHA-256 for keys on P-256).
    ///
    /// - Parameter issuer: nil for one that signs itself.
    static func make(
        _ content: CertificateContent, for key: PublicKey, issuer: Certificate?, signer: PrivateKey
    ) throws(IdentityError) -> Certificate {
        guard let certificate = unsafe X509_new() else { throw OpenSSL.failure("a certificate cannot be made") }
        defer { unsafe X509_free(certificate) }
        let subject = try unsafe name(content.subject)
        defer { unsafe X509_NAME_free(subject) }
        try unsafe setSerial(certificate)
        let issuerName = unsafe issuer.map { unsafe X509_get_subject_name($0.pointer) } ?? subject
        guard unsafe X509_set_version(certificate, Int(X509_VERSION_3)) == 1,
            unsafe X509_set_subject_name(certificate, subject) == 1,
            unsafe X509_set_issuer_name(certificate, issuerName) == 1,
            unsafe ASN1_TIME_set(X509_getm_notBefore(certificate), Int(content.notBefore)) != nil,
            unsafe ASN1_TIME_set(X509_getm_notAfter(certificate), Int(content.notAfter)) != nil,
            unsafe X509_set_pubkey(certificate, key.pointer) == 1
        else { throw OpenSSL.failure("a certificate cannot be made") }
        try unsafe addExtensions(certificate, content, issuer)
        guard unsafe X509_sign(certificate, signer.pointer, EVP_sha256()) > 0 else {
            throw OpenSSL.failure("a certificate cannot be signed")
        }
        return try Certificate(der: try unsafe OpenSSL.encoded("a certificate") { unsafe i2d_X509(certificate, $0) })
    }

    private static func addExtensions(
        _ certificate: OpaquePointer, _ content: CertificateContent, _ issuer: Certificate?
    ) throws(IdentityError) {
        // The names of SPIFFE ids have no commas or other letters that this notation gives a meaning.
        let critical = content.subject.isEmpty ? "critical," : ""
        let hasKeyIdentifier = issuer == nil || issuer?.keyIdentifier != nil
        var extensions = [
            (NID_basic_constraints, content.profile.constraints),
            (NID_key_usage, content.profile.keyUsage),
            (NID_subject_alt_name, "\(critical)URI:\(content.id)"),
            (NID_subject_key_identifier, "hash"),
        ]
        if hasKeyIdentifier { extensions.append((NID_authority_key_identifier, "keyid:always")) }
        if content.profile == .workload { extensions.append((NID_ext_key_usage, "serverAuth,clientAuth")) }
        var context = unsafe X509V3_CTX()
        unsafe X509V3_set_ctx(&context, issuer?.pointer ?? certificate, certificate, nil, nil, 0)
        for (kind, text) in extensions {
            guard let value = unsafe X509V3_EXT_conf_nid(nil, &context, kind, text) else {
                throw OpenSSL.failure("the extension '\(text)' cannot be made")
            }
            defer { unsafe X509_EXTENSION_free(value) }
            guard unsafe X509_add_ext(certificate, value, -1) == 1 else {
                throw OpenSSL.failure("the extension '\(text)' cannot be added")
            }
        }
    }

    private static func setSerial(_ certificate: OpaquePointer) throws(IdentityError) {
        var random = try OpenSSL.randomBytes(serialLength)
        // A serial number is positive.
        if random.allSatisfy({ $0 == 0 }) { random[0] = 1 }
        let number = unsafe random.withUnsafeBufferPointer {
            unsafe BN_bin2bn($0.baseAddress, CInt($0.count), nil)
        }
        guard let number = unsafe number else { throw OpenSSL.failure("a serial number cannot be made") }
        defer { unsafe BN_free(number) }
        guard unsafe BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil else {
            throw OpenSSL.failure("a serial number cannot be made")
        }
    }

    /// A name that the caller frees.
    static func name(_ attributes: [(attribute: String, value: String)]) throws(IdentityError) -> OpaquePointer {
        guard let name = unsafe X509_NAME_new() else { throw OpenSSL.failure("a name cannot be made") }
        for (attribute, value) in attributes {
            let bytes = Array(value.utf8)
            let added = unsafe X509_NAME_add_entry_by_txt(
                name, attribute, MBSTRING_FLAG, bytes, CInt(bytes.count), -1, 0)
            guard added == 1 else {
                unsafe X509_NAME_free(name)
                throw OpenSSL.failure("'\(value)' cannot be the \(attribute) of a certificate")
            }
        }
        return unsafe name
    }
}
