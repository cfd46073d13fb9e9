import Glibc

/// Comparisons and hashes of bytes in buffers. Case is that of ASCII.
enum ByteText {
    @inline(__always)
    static func equal(_ a: RawSpan, _ b: RawSpan) -> Bool {
        a.byteCount == b.byteCount && contains(a, at: 0, b)
    }

    @inline(__always)
    static func hasPrefix(_ text: RawSpan, _ prefix: RawSpan) -> Bool {
        contains(text, at: 0, prefix)
    }

    /// Whether `part` stands in `text` at `offset`.
    @inline(__always)
    static func contains(_ text: RawSpan, at offset: Int, _ part: RawSpan) -> Bool {
        guard offset >= 0, part.byteCount <= text.byteCount &- offset else { return false }
        return unsafe text.withUnsafeBytes { text in
            unsafe part.withUnsafeBytes { part in
                guard let text = text.baseAddress, let start = part.baseAddress else { return true }
                return unsafe memcmp(text + offset, start, part.count) == 0
            }
        }
    }

    /// `lowercased` has no upper-case letters.
    static func equalIgnoringCase(_ text: RawSpan, _ lowercased: RawSpan) -> Bool {
        text.byteCount == lowercased.byteCount && hasPrefixIgnoringCase(text, lowercased)
    }

    /// `lowercased` has no upper-case letters.
    static func hasPrefixIgnoringCase(_ text: RawSpan, _ lowercased: RawSpan) -> Bool {
        guard text.byteCount >= lowercased.byteCount else { return false }
        for index in 0..<lowercased.byteCount
        where lowercase(text[index]) != lowercased[index] { return false }
        return true
    }

    static func equalInAnyCase(_ a: RawSpan, _ b: RawSpan) -> Bool {
        guard a.byteCount == b.byteCount else { return false }
        for index in 0..<a.byteCount where lowercase(a[index]) != lowercase(b[index]) { return false }
        return true
    }

    static func equalIgnoringCase(_ text: RawSpan, _ lowercased: StaticString) -> Bool {
        unsafe equalIgnoringCase(
            text, RawSpan(_unsafeStart: lowercased.utf8Start, byteCount: lowercased.utf8CodeUnitCount))
    }

    static func hasPrefixIgnoringCase(_ text: RawSpan, _ lowercased: StaticString) -> Bool {
        unsafe hasPrefixIgnoringCase(
            text, RawSpan(_unsafeStart: lowercased.utf8Start, byteCount: lowercased.utf8CodeUnitCount))
    }

    @inline(__always)
    static func lowercase(_ byte: UInt8) -> UInt8 { byte &- 65 < 26 ? byte | 0x20 : byte }

    /// nil if `byte` is not there.
    static func index(of wanted: UInt8, in text: RawSpan, from start: Int = 0) -> Int? {
        guard start < text.byteCount else { return nil }
        for index in start..<text.byteCount where text[index] == wanted { return index }
        return nil
    }

    /// The same for the same bytes and seed in this process. What is hashed is compared as well, so a collision costs only time.
    @inline(__always)
    static func hash(_ text: RawSpan, seed: UInt64) -> UInt64 {
        let multiplier: UInt64 = 0x9E37_79B9_7F4A_7C15
        var hash = (seed ^ UInt64(truncatingIfNeeded: text.byteCount)) &* multiplier
        var index = 0
        while index &+ 8 <= text.byteCount {
            let word = unsafe text.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            hash = mix(hash ^ word, multiplier)
            index &+= 8
        }
        var tail: UInt64 = 0
        while index < text.byteCount {
            tail = tail << 8 | UInt64(text[index])
            index &+= 1
        }
        return mix(hash ^ tail, multiplier)
    }

    @inline(__always)
    private static func mix(_ value: UInt64, _ multiplier: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: multiplier)
        return product.high ^ product.low
    }
}
