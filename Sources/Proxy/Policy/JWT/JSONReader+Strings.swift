// Strings: escapes and UTF-8.
extension JSONArena {
    /// From its opening quote to behind its closing one.
    mutating func readString(_ position: inout Int) throws(JSONError) -> JSONSlice {
        let start = position + 1
        var source = start
        var target = start
        while true {
            guard source < byteCount else { throw .syntax }
            let byte = self[source]
            switch byte {
            case UInt8(ascii: "\""):
                position = source + 1
                return JSONSlice(start: UInt32(start), count: UInt32(target - start))
            case UInt8(ascii: "\\"):
                try readEscape(&source, to: &target)
            case 0x20..<0x80:
                self[target] = byte
                source += 1
                target += 1
            case 0x80...:
                for _ in 0..<(try countUTF8(source)) {
                    self[target] = self[source]
                    source += 1
                    target += 1
                }
            default: throw .syntax
            }
        }
    }

    private mutating func readEscape(_ source: inout Int, to target: inout Int) throws(JSONError) {
        guard source + 1 < byteCount else { throw .syntax }
        let plain: UInt8
        switch self[source + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain = self[source + 1]
        case UInt8(ascii: "b"): plain = 8
        case UInt8(ascii: "f"): plain = 12
        case UInt8(ascii: "n"): plain = .lineFeed
        case UInt8(ascii: "r"): plain = .carriageReturn
        case UInt8(ascii: "t"): plain = .tab
        case UInt8(ascii: "u"):
            try readUnicode(&source, to: &target)
            return
        default: throw .syntax
        }
        self[target] = plain
        source += 2
        target += 1
    }

    private mutating func readUnicode(_ source: inout Int, to target: inout Int) throws(JSONError) {
        var value = UInt32(try readHex(source + 2))
        source += 6
        if value & 0xfc00 == 0xd800 {
            guard source + 6 <= byteCount, self[source] == UInt8(ascii: "\\"), self[source + 1] == UInt8(ascii: "u")
            else { throw .loneSurrogate }
            let low = UInt32(try readHex(source + 2))
            guard low & 0xfc00 == 0xdc00 else { throw .loneSurrogate }
            value = 0x10000 + (value & 0x3ff) << 10 + (low & 0x3ff)
            source += 6
        }
        guard let scalar = Unicode.Scalar(value) else { throw .loneSurrogate }
        for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
            self[target] = byte
            target += 1
        }
    }

    private func readHex(_ start: Int) throws(JSONError) -> UInt16 {
        guard start + 4 <= byteCount else { throw .syntax }
        var value: UInt16 = 0
        for index in start..<start + 4 {
            guard let digit = self[index].hexValue else { throw .syntax }
            value = value << 4 | UInt16(digit)
        }
        return value
    }

    /// How many bytes the character has that begins there (RFC 3629: no overlong forms, surrogates or values above
    /// U+10FFFF).
    private func countUTF8(_ start: Int) throws(JSONError) -> Int {
        let first = self[start]
        let count: Int
        var second: ClosedRange<UInt8> = 0x80...0xbf
        switch first {
        case 0xc2...0xdf: count = 2
        case 0xe0...0xef:
            count = 3
            if first == 0xe0 { second = 0xa0...0xbf }
            if first == 0xed { second = 0x80...0x9f }
        case 0xf0...0xf4:
            count = 4
            if first == 0xf0 { second = 0x90...0xbf }
            if first == 0xf4 { second = 0x80...0x8f }
        default: throw .notUTF8
        }
        guard start + count <= byteCount, second.contains(self[start + 1]) else { throw .notUTF8 }
        for index in start + 2..<start + count where self[index] & 0xc0 != 0x80 { throw .notUTF8 }
        return count
    }
}
