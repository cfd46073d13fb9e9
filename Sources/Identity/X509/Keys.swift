// Unsafe code of this file: EVP_PKEY handles, which live as long as the objects that own them.

import COpenSSL

/// A private key. Those made here are on P-256; any that OpenSSL can sign with may be read.
@safe public final class PrivateKey: @unchecked Sendable {
    // Safe to share: OpenSSL counts references atomically, and a key does not change after it was made.
    let pointer: OpaquePointer

    private init(taking pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe EVP_PKEY_free(pointer) }

    /// A new key on P-256.
    public static func generate() throws(IdentityError) -> PrivateKey {
        guard let key = unsafe weft_new_p256_key() else { throw OpenSSL.failure("a key cannot be made") }
        return unsafe PrivateKey(taking: key)
    }

    /// Reads DER: PKCS #8, SEC 1 or PKCS #1, without a passphrase.
    public convenience init(der: [UInt8]) throws(IdentityError) {
        let key = unsafe OpenSSL.decoded(
            der, { place, count in unsafe d2i_AutoPrivateKey(nil, place, count) }, free: { unsafe EVP_PKEY_free($0) })
        guard let key = unsafe key else {
            throw IdentityError(.malformed, "it is not a private key (PKCS #8, without a passphrase)")
        }
        unsafe self.init(taking: key)
    }

    /// PKCS #8, DER.
    public func der() throws(IdentityError) -> [UInt8] {
        guard let info = unsafe EVP_PKEY2PKCS8(pointer) else { throw OpenSSL.failure("a key cannot be encoded") }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(info) }
        return try unsafe OpenSSL.encoded("a key") { unsafe i2d_PKCS8_PRIV_KEY_INFO(info, $0) }
    }

    /// Its public half.
    var publicKey: PublicKey {
        unsafe EVP_PKEY_up_ref(pointer)
        return unsafe PublicKey(taking: pointer)
    }
}

/// A public key: of a private one, or of a request.
@safe final class PublicKey: @unchecked Sendable {
    // Safe to share: as PrivateKey.
    let pointer: OpaquePointer

    init(taking pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe EVP_PKEY_free(pointer) }

    /// Whether it is what Weft's certificates are made for: elliptic curves of 256 bits and more.
    var isStrong: Bool {
        unsafe EVP_PKEY_get_base_id(pointer) == EVP_PKEY_EC && EVP_PKEY_get_bits(pointer) >= 256
    }
}
