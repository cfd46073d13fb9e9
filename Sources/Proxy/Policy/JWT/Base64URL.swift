/// Base 64 with the alphabet for URLs and without padding (RFC 7515 section 2, RFC 4648 section 5), one text for each value.
enum Base64URL {
    /// Gives the bytes to `take`, which says whether there was room.
    ///
    /// - Returns: false if the text is not what an encoder writes, or there was no room.
    @inline(__always)
    static func decode(_ text: RawSpan, _ take: (UInt8) -> Bool) -> Bool {
        guard text.byteCount % 4 != 1 else { return false }
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for index in 0..<text.byteCount {
            guard let value = value(of: text[index]) else { return false }
            bits = bits << 6 | UInt32(value)
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            guard take(UInt8(truncatingIfNeeded: bits >> count)) else { return false }
            bits &= (1 << count) - 1
        }
        // What does not belong to a byte is zero, or one value had several texts.
        return bits == 0
    }

    /// nil if it is not base64url.
    static func bytes(_ text: RawSpan) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.byteCount * 3 / 4)
        let isValid = decode(text) {
            bytes.append($0)
            return true
        }
        return isValid ? bytes : nil
    }

    @inline(__always)
    private static func value(of byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 97 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48 + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
