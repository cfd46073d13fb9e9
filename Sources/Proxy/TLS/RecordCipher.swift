import CGCM
import COpenSSL
import Glibc

/// Protects the records of one direction of a TLS 1.3 connection (RFC 8446 §5.2). One of the few files with unsafe code.
///
/// Intel's library does it where the processor has the instructions for it, and OpenSSL elsewhere.
@safe struct RecordCipher: ~Copyable {
    enum Direction { case sealing, opening }

    static let headerSize = 5
    static let tagSize = Int(WEFT_GCM_TAG)
    static let nonceSize = Int(WEFT_GCM_NONCE)
    /// Of what a record carries; and beyond it the kind, padding and the tag (RFC 8446 §5.1, §5.2).
    static let largestPlain = 1 << 14
    static let largestBody = largestPlain + 256

    private let key: OpaquePointer?
    private let context: OpaquePointer?
    private let nonceStart: UInt32
    private let nonceEnd: UInt64
    /// Of the next record; begins anew with every key.
    private(set) var sequence: UInt64 = 0

    /// - Parameter isPortable: OpenSSL does it in any case.
    /// - Returns: nil: there is no memory.
    init?(
        _ direction: Direction, _ suite: RecordSuite, _ secret: TrafficSecret, _ library: TLSLibrary,
        isPortable: Bool = false
    ) {
        guard var bytes = secret.expand("key", suite.keySize, suite, library),
            let nonce = secret.expand("iv", Self.nonceSize, suite, library)
        else { return nil }
        defer { unsafe bytes.withUnsafeMutableBytes { unsafe OPENSSL_cleanse($0.baseAddress, $0.count) } }
        let key = unsafe isPortable ? nil : weft_gcm_key_create(bytes, bytes.count)
        let context = unsafe key == nil ? Self.makeContext(direction, suite, bytes, library) : nil
        guard unsafe key != nil || context != nil else { return nil }
        unsafe self.key = unsafe key
        unsafe self.context = unsafe context
        nonceStart = nonce[..<4].reduce(0) { $0 << 8 | UInt32($1) }
        nonceEnd = nonce[4...].reduce(0) { $0 << 8 | UInt64($1) }
    }

    deinit {
        unsafe weft_gcm_key_free(key)
        unsafe EVP_CIPHER_CTX_free(context)
    }

    private static func makeContext(
        _ direction: Direction, _ suite: RecordSuite, _ key: [UInt8], _ library: TLSLibrary
    ) -> OpaquePointer? {
        let cipher = unsafe EVP_CIPHER_fetch(library.context, suite.cipher.pointer, nil)
        defer { unsafe EVP_CIPHER_free(cipher) }
        let context = unsafe EVP_CIPHER_CTX_new()
        // The context holds the cipher.
        guard unsafe EVP_CipherInit_ex2(context, cipher, key, nil, direction == .sealing ? 1 : 0, nil) == 1 else {
            unsafe EVP_CIPHER_CTX_free(context)
            ERR_clear_error()
            return nil
        }
        return unsafe context
    }

    /// The sequence number is part of each nonce, and must not wrap around: keys are changed long before.
    private mutating func nextNonce() -> (UInt32, UInt64) {
        precondition(sequence < .max)
        defer { sequence += 1 }
        return (nonceStart.bigEndian, (nonceEnd ^ sequence).bigEndian)
    }

    private static func copy(_ nonce: (UInt32, UInt64), to target: UnsafeMutableRawPointer) {
        unsafe target.storeBytes(of: nonce.0, as: UInt32.self)
        unsafe target.storeBytes(of: nonce.1, toByteOffset: 4, as: UInt64.self)
    }

    /// Writes a record of this kind to `target`, which has room for it and does not overlap; its size.
    mutating func seal(_ plain: UnsafeRawBufferPointer, kind: UInt8, to target: UnsafeMutableRawPointer) -> Int {
        let body = plain.count + 1 + Self.tagSize
        precondition(body <= Self.largestBody)
        unsafe target.storeBytes(of: 0x17, as: UInt8.self)
        unsafe target.storeBytes(of: 0x03, toByteOffset: 1, as: UInt8.self)
        unsafe target.storeBytes(of: 0x03, toByteOffset: 2, as: UInt8.self)
        unsafe target.storeBytes(of: UInt8(body >> 8), toByteOffset: 3, as: UInt8.self)
        unsafe target.storeBytes(of: UInt8(body & 0xff), toByteOffset: 4, as: UInt8.self)
        let output = unsafe target + Self.headerSize
        var nonce = InlineArray<12, UInt8>(repeating: 0)
        let parts = nextNonce()
        unsafe withUnsafeMutableBytes(of: &nonce) { nonce in
            guard let nonce = nonce.baseAddress else { return }
            unsafe Self.copy(parts, to: nonce)
            if let key = unsafe key {
                unsafe weft_gcm_seal(
                    key, nonce, target, Self.headerSize, plain.baseAddress ?? UnsafeRawPointer(target), plain.count,
                    kind, output)
            } else {
                unsafe sealPortably(nonce, target, plain, kind, output)
            }
        }
        return Self.headerSize + body
    }

    private func sealPortably(
        _ nonce: UnsafeMutableRawPointer, _ header: UnsafeMutableRawPointer, _ plain: UnsafeRawBufferPointer,
        _ kind: UInt8, _ output: UnsafeMutableRawPointer
    ) {
        var length: CInt = 0
        var kind = kind
        let bytes = unsafe output.assumingMemoryBound(to: UInt8.self)
        let isDone =
            unsafe EVP_EncryptInit_ex2(context, nil, nil, nonce.assumingMemoryBound(to: UInt8.self), nil) == 1
            && EVP_EncryptUpdate(
                context, nil, &length, header.assumingMemoryBound(to: UInt8.self), CInt(Self.headerSize)) == 1
            && (plain.count == 0
                || EVP_EncryptUpdate(
                    context, bytes, &length, plain.assumingMemoryBound(to: UInt8.self).baseAddress, CInt(plain.count))
                    == 1)
            && EVP_EncryptUpdate(context, bytes + plain.count, &length, &kind, 1) == 1
            && EVP_EncryptFinal_ex(context, bytes + plain.count + 1, &length) == 1
            && EVP_CIPHER_CTX_ctrl(
                context, EVP_CTRL_AEAD_GET_TAG, CInt(Self.tagSize), bytes + plain.count + 1) == 1
        // With a key, memory and lengths that are right there is nothing that could fail.
        precondition(isDone, "OpenSSL does not encrypt")
    }

    /// Decrypts a record's body of `count` bytes, a tag at least, to `target`, which has room for all but the tag and may
    /// be the same place. False: it is not what the peer has sealed.
    mutating func open(
        header: UnsafeRawPointer, body: UnsafeMutableRawPointer, count: Int, to target: UnsafeMutableRawPointer
    ) -> Bool {
        precondition(count >= Self.tagSize)
        var nonce = InlineArray<12, UInt8>(repeating: 0)
        let parts = nextNonce()
        return unsafe withUnsafeMutableBytes(of: &nonce) { nonce in
            guard let nonce = nonce.baseAddress else { return false }
            unsafe Self.copy(parts, to: nonce)
            if let key = unsafe key {
                return unsafe weft_gcm_open(key, nonce, header, Self.headerSize, body, count, target) == 1
            }
            return unsafe openPortably(nonce, header, body, count, target)
        }
    }

    private func openPortably(
        _ nonce: UnsafeMutableRawPointer, _ header: UnsafeRawPointer, _ body: UnsafeMutableRawPointer, _ count: Int,
        _ target: UnsafeMutableRawPointer
    ) -> Bool {
        var length: CInt = 0
        let plain = count - Self.tagSize
        let bytes = unsafe target.assumingMemoryBound(to: UInt8.self)
        let isRight =
            unsafe EVP_DecryptInit_ex2(context, nil, nil, nonce.assumingMemoryBound(to: UInt8.self), nil) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CInt(Self.tagSize), body + plain) == 1
            && EVP_DecryptUpdate(
                context, nil, &length, header.assumingMemoryBound(to: UInt8.self), CInt(Self.headerSize)) == 1
            && (plain == 0
                || EVP_DecryptUpdate(context, bytes, &length, body.assumingMemoryBound(to: UInt8.self), CInt(plain))
                    == 1)
            && EVP_DecryptFinal_ex(context, bytes + plain, &length) == 1
        if !isRight { ERR_clear_error() }
        return isRight
    }
}
