import COpenSSL

@testable import Proxy

/// An issuer with an Ed25519 key, which signs whatever it is given.
@safe final class TestIssuer: @unchecked Sendable {
    let identifier: String
    private let key: OpaquePointer
    private let publicBytes: [UInt8]

    init(_ identifier: String = "key-1") {
        self.identifier = identifier
        let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "ED25519", nil)
        defer { unsafe EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        unsafe EVP_PKEY_keygen_init(context)
        unsafe EVP_PKEY_generate(context, &key)
        unsafe self.key = key.unsafelyUnwrapped
        var bytes = [UInt8](repeating: 0, count: 32)
        var count = 32
        unsafe EVP_PKEY_get_raw_public_key(key, &bytes, &count)
        publicBytes = bytes
    }

    deinit { unsafe EVP_PKEY_free(key) }

    var jwk: String {
        #"{"kty":"OKP","crv":"Ed25519","kid":"\#(identifier)","x":"\#(base64URL(publicBytes))"}"#
    }

    var keySet: String { #"{"keys":[\#(jwk)]}"# }

    /// A token with this header and payload, as they are.
    func token(header: String, payload: String) -> String {
        let message = base64URL(Array(header.utf8)) + "." + base64URL(Array(payload.utf8))
        return message + "." + base64URL(sign(Array(message.utf8)))
    }

    func token(_ payload: String) -> String {
        token(header: #"{"alg":"EdDSA","kid":"\#(identifier)"}"#, payload: payload)
    }

    func sign(_ message: [UInt8]) -> [UInt8] {
        let context = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: 64)
        var count = 64
        unsafe EVP_DigestSignInit(context, nil, nil, nil, key)
        unsafe EVP_DigestSign(context, &signature, &count, message, message.count)
        return signature
    }
}

/// Base 64 for URLs, without padding.
func base64URL(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let part = bytes[start..<min(start + 3, bytes.count)]
        var bits: UInt32 = 0
        for index in 0..<3 { bits = bits << 8 | UInt32(index < part.count ? part[start + index] : 0) }
        for index in 0...part.count { text.append(alphabet[Int(bits >> UInt32(18 - 6 * index)) & 63]) }
    }
    return String(decoding: text, as: UTF8.self)
}

/// What verifying a token says: until when it is valid.
func verify(
    _ token: String, keys: String, issuer: String = "https://issuer.test", audiences: [String] = [],
    now: UInt64 = 1_800_000_100
) throws -> UInt64 {
    let set = try KeySet(json: Array(keys.utf8))
    let bytes = Array(token.utf8)
    var verifier = TokenVerifier()
    try unsafe verifier.read(bytes.span.bytes)
    return try unsafe verifier.verify(
        bytes.span.bytes, TokenDemand(issuer: issuer, audiences: audiences), keys: set, now: now)
}
