// Unsafe code of this file: what every use of OpenSSL needs. Buffers are valid during the calls alone.

import COpenSSL

enum OpenSSL {
    /// What OpenSSL says about the failure of its last call; empties its queue of errors.
    static func failure(_ what: String, _ cause: IdentityError.Cause = .crypto) -> IdentityError {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0, let reason = unsafe ERR_reason_error_string(code) else {
            return IdentityError(cause, what)
        }
        return IdentityError(cause, "\(what): \(unsafe String(cString: reason))")
    }

    /// The bytes that an `i2d` function writes: called without a place it tells their number.
    static func encoded(
        _ what: String, _ encode: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> CInt
    ) throws(IdentityError) -> [UInt8] {
        let count = encode(nil)
        guard count > 0 else { throw failure("\(what) cannot be encoded") }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        let written = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            var place = buffer.baseAddress
            return unsafe encode(&place)
        }
        guard written == count else { throw failure("\(what) cannot be encoded") }
        return bytes
    }

    /// What a `d2i` function makes of `bytes`, all of them.
    static func decoded(
        _ bytes: [UInt8], _ decode: (UnsafeMutablePointer<UnsafePointer<UInt8>?>, CLong) -> OpaquePointer?,
        free: (OpaquePointer) -> Void
    ) -> OpaquePointer? {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            var place = buffer.baseAddress
            let start = unsafe place
            guard let value = unsafe decode(&place, buffer.count) else {
                ERR_clear_error()
                return nil
            }
            guard let start = unsafe start, let place = unsafe place, unsafe place - start == buffer.count else {
                unsafe free(value)
                return nil
            }
            return unsafe value
        }
    }

    static func randomBytes(_ count: Int) throws(IdentityError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = unsafe bytes.withUnsafeMutableBufferPointer {
            unsafe RAND_bytes($0.baseAddress, CInt($0.count))
        }
        guard result == 1 else { throw failure("no random bytes can be had") }
        return bytes
    }

    static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        unsafe digest.withUnsafeMutableBufferPointer { digest in
            unsafe bytes.withUnsafeBufferPointer { bytes in
                _ = unsafe SHA256(bytes.baseAddress, bytes.count, digest.baseAddress)
            }
        }
        return digest
    }

    /// Compares secrets in a time that does not depend on where they differ.
    static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        return unsafe a.withUnsafeBytes { a in
            unsafe b.withUnsafeBytes { b in unsafe CRYPTO_memcmp(a.baseAddress, b.baseAddress, a.count) == 0 }
        }
    }

    /// The bytes of an ASN.1 string.
    static func bytes(of string: UnsafePointer<ASN1_STRING>) -> [UInt8] {
        let count = unsafe ASN1_STRING_length(string)
        guard count > 0, let data = unsafe ASN1_STRING_get0_data(string) else { return [] }
        return unsafe Array(UnsafeBufferPointer(start: data, count: Int(count)))
    }
}

/// Lower-case hexadecimal digits, two for each byte.
func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// The bytes that digits of either case stand for; nil unless there are two for each.
func bytes(hexadecimal text: some StringProtocol) -> [UInt8]? {
    let digits = text.utf8.map { byte -> UInt8? in
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x61 + 10
        case 0x41...0x46: byte - 0x41 + 10
        default: nil
        }
    }
    guard digits.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
        guard let high = digits[index], let low = digits[index + 1] else { return nil }
        bytes.append(high << 4 | low)
    }
    return bytes
}
