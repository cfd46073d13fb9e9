// Unsafe code of this file: X509_REQ handles, owned by the functions that make them.

import COpenSSL

/// A certification request (PKCS #10, RFC 2986): proves that its sender has the private key.
public enum CertificateRequest {
    /// Makes a request for `key`, with the sender's name as common name; DER.
    public static func make(commonName: String, key: PrivateKey) throws(IdentityError) -> [UInt8] {
        guard let request = unsafe X509_REQ_new() else { throw OpenSSL.failure("a request cannot be made") }
        defer { unsafe X509_REQ_free(request) }
        let subject = try unsafe CertificateBuilder.name([("CN", commonName)])
        defer { unsafe X509_NAME_free(subject) }
        guard unsafe X509_REQ_set_version(request, 0) == 1, unsafe X509_REQ_set_subject_name(request, subject) == 1,
            unsafe X509_REQ_set_pubkey(request, key.pointer) == 1,
            unsafe X509_REQ_sign(request, key.pointer, EVP_sha256()) > 0
        else { throw OpenSSL.failure("a request cannot be made") }
        return try unsafe OpenSSL.encoded("a request") { unsafe i2d_X509_REQ(request, $0) }
    }

    /// The key of a request whose signature it has made. What else the request asks for is not looked at.
    static func key(ofDER der: [UInt8]) throws(IdentityError) -> PublicKey {
        let decoded = unsafe OpenSSL.decoded(
            der, { place, count in unsafe d2i_X509_REQ(nil, place, count) }, free: { unsafe X509_REQ_free($0) })
        guard let request = unsafe decoded else { throw IdentityError(.malformed, "it is not a certificate request") }
        defer { unsafe X509_REQ_free(request) }
        guard let pointer = unsafe X509_REQ_get_pubkey(request) else {
            throw OpenSSL.failure("the request's key is not valid", .malformed)
        }
        let key = unsafe PublicKey(taking: pointer)
        guard key.isStrong else {
            throw IdentityError(.invalid, "the request's key is not of an elliptic curve of 256 bits or more")
        }
        guard unsafe X509_REQ_verify(request, pointer) == 1 else {
            throw OpenSSL.failure("the request's signature is not that of its key", .invalid)
        }
        return key
    }
}
