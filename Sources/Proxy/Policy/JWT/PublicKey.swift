import COpenSSL

/// A key that signatures are verified with. It never changes, so threads share it. One of the few files with unsafe code.
@safe final class PublicKey: @unchecked Sendable {
    let type: KeyType
    fileprivate let key: OpaquePointer

    private init(_ type: KeyType, _ key: OpaquePointer) {
        self.type = type
        unsafe self.key = key
    }

    deinit { unsafe EVP_PKEY_free(key) }

    /// An RSA key by its modulus and exponent; nil unless it has 2048 to 8192 bits and an odd exponent of 3 to 2^32.
    static func rsa(modulus: [UInt8], exponent: [UInt8]) -> PublicKey? {
        guard !exponent.isEmpty, exponent.count <= 4, exponent[exponent.count - 1] & 1 == 1, exponent != [1],
            (256...1025).contains(modulus.count), let builder = unsafe OSSL_PARAM_BLD_new()
        else { return nil }
        defer { unsafe OSSL_PARAM_BLD_free(builder) }
        let n = unsafe BN_bin2bn(modulus, CInt(modulus.count), nil)
        let e = unsafe BN_bin2bn(exponent, CInt(exponent.count), nil)
        defer {
            unsafe BN_free(n)
            unsafe BN_free(e)
        }
        guard unsafe (2048...8192).contains(BN_num_bits(n)),
            unsafe OSSL_PARAM_BLD_push_BN(builder, text("n"), n) == 1,
            unsafe OSSL_PARAM_BLD_push_BN(builder, text("e"), e) == 1, let key = unsafe make("RSA", builder)
        else { return nil }
        return unsafe PublicKey(.rsa, key)
    }

    /// A point of a NIST curve by its coordinates; nil if it is not on it.
    static func ec(_ type: KeyType, x: [UInt8], y: [UInt8]) -> PublicKey? {
        let (group, size): (StaticString, Int) =
            switch type {
            case .p256: ("P-256", 32)
            case .p384: ("P-384", 48)
            case .p521: ("P-521", 66)
            case .rsa, .ed25519: ("", 0)
            }
        guard size > 0, x.count == size, y.count == size, let builder = unsafe OSSL_PARAM_BLD_new() else { return nil }
        defer { unsafe OSSL_PARAM_BLD_free(builder) }
        let key = unsafe ([4] + x + y).withUnsafeBytes { point -> OpaquePointer? in
            guard unsafe OSSL_PARAM_BLD_push_utf8_string(builder, text("group"), text(group), 0) == 1,
                unsafe OSSL_PARAM_BLD_push_octet_string(builder, text("pub"), point.baseAddress, point.count) == 1
            else { return nil }
            return unsafe make("EC", builder)
        }
        guard let key = unsafe key else { return nil }
        let result = unsafe PublicKey(type, key)
        guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return nil }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        return unsafe EVP_PKEY_public_check(context) == 1 ? result : nil
    }

    static func ed25519(_ bytes: [UInt8]) -> PublicKey? {
        guard bytes.count == 32,
            let key = unsafe EVP_PKEY_new_raw_public_key_ex(nil, "ED25519", nil, bytes, bytes.count)
        else { return nil }
        return unsafe PublicKey(.ed25519, key)
    }

    /// The builder keeps names and values by their addresses.
    private static func text(_ literal: StaticString) -> UnsafePointer<CChar> {
        unsafe UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    private static func make(_ name: String, _ builder: OpaquePointer) -> OpaquePointer? {
        guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, name, nil) else { return nil }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        guard let parameters = unsafe OSSL_PARAM_BLD_to_param(builder) else { return nil }
        defer { unsafe OSSL_PARAM_free(parameters) }
        var key: OpaquePointer?
        guard unsafe EVP_PKEY_fromdata_init(context) == 1,
            unsafe EVP_PKEY_fromdata(context, &key, weft_evp_pkey_public_key(), parameters) == 1
        else {
            ERR_clear_error()
            return nil
        }
        return unsafe key
    }

    /// Whether `signature` of `message` is of this key's owner. The key has to allow the algorithm.
    func verifies(_ signature: borrowing TokenSignature, of message: RawSpan, _ algorithm: SignatureAlgorithm) -> Bool {
        guard type.allows(algorithm), let context = unsafe EVP_MD_CTX_new() else { return false }
        defer {
            unsafe EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        let digest: OpaquePointer? =
            switch algorithm.digest {
            case .none: nil
            case .sha256: unsafe EVP_sha256()
            case .sha384: unsafe EVP_sha384()
            case .sha512: unsafe EVP_sha512()
            }
        var keyContext: OpaquePointer?
        guard unsafe EVP_DigestVerifyInit(context, &keyContext, digest, nil, key) == 1 else { return false }
        if algorithm.usesPSS {
            guard unsafe EVP_PKEY_CTX_set_rsa_padding(keyContext, RSA_PKCS1_PSS_PADDING) == 1,
                // As long as the hash (RFC 7518 section 3.5).
                unsafe EVP_PKEY_CTX_set_rsa_pss_saltlen(keyContext, RSA_PSS_SALTLEN_DIGEST) == 1
            else { return false }
        }
        let span = signature.bytes.span
        return unsafe span.withUnsafeBytes { bytes in
            unsafe message.withUnsafeBytes { message in
                unsafe EVP_DigestVerify(
                    context, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), signature.count,
                    message.baseAddress?.assumingMemoryBound(to: UInt8.self), message.count) == 1
            }
        }
    }
}

/// A token's signature in the form that OpenSSL takes.
struct TokenSignature: ~Copyable {
    /// Of an RSA key with 8192 bits.
    static let capacity = 1024

    fileprivate(set) var bytes = InlineArray<1024, UInt8>(repeating: 0)
    private(set) var count = 0

    /// nil: it is not base64url, or has no length that one of this algorithm has.
    init?(_ text: RawSpan, _ algorithm: SignatureAlgorithm) {
        var raw = InlineArray<1024, UInt8>(repeating: 0)
        var rawCount = 0
        let isDecoded = Base64URL.decode(text) { byte in
            guard rawCount < Self.capacity else { return false }
            raw[rawCount] = byte
            rawCount += 1
            return true
        }
        guard isDecoded, rawCount > 0 else { return nil }
        guard let size = algorithm.coordinateSize else {
            guard algorithm != .edDSA || rawCount == 64 else { return nil }
            bytes = raw
            count = rawCount
            return
        }
        // RFC 7518 section 3.4: the two numbers one after the other. OpenSSL takes them as a sequence in DER.
        guard rawCount == 2 * size else { return nil }
        let first = Self.integerSize(raw, 0, size)
        let second = Self.integerSize(raw, size, size)
        let content = 4 + first + second
        append(0x30)
        if content > 127 { append(0x81) }
        append(UInt8(content))
        appendInteger(raw, 0, size, first)
        appendInteger(raw, size, size, second)
    }

    private mutating func append(_ byte: UInt8) {
        bytes[count] = byte
        count += 1
    }

    /// How long a number is in DER: without leading zeros, but for one that keeps it positive.
    private static func integerSize(_ raw: borrowing InlineArray<1024, UInt8>, _ start: Int, _ size: Int) -> Int {
        var first = start
        while first < start + size - 1, raw[first] == 0 { first += 1 }
        return start + size - first + (raw[first] & 0x80 == 0 ? 0 : 1)
    }

    private mutating func appendInteger(
        _ raw: borrowing InlineArray<1024, UInt8>, _ start: Int, _ size: Int, _ length: Int
    ) {
        append(0x02)
        append(UInt8(length))
        let digits = min(length, size)
        if length > size { append(0) }
        for index in start + size - digits..<start + size { append(raw[index]) }
    }
}
