/// Addresses as HBONE writes them: `10.0.0.1:8080`, `[2001:db8::1]:8080`.
enum TunnelAddress {
    /// Reads an address and a port, which is what an authority has to be: a name is none, nor is an address without a
    /// port. nil: anything else.
    static func parse(_ text: HTTP2Text) -> ClientAddress? {
        guard text.isPresent, !text.isTooLong else { return nil }
        return parse(text, 0, text.count)
    }

    /// The value of `for` in `forwarded: for="10.0.0.1:4711";host=web` (RFC 7239), if it is an address with a port.
    static func client(_ text: HTTP2Text) -> ClientAddress? {
        guard text.isPresent, !text.isTooLong, text.count > 5 else { return nil }
        for (index, byte) in [UInt8]("for=\"".utf8).enumerated() where text[index] | 0x20 != byte | 0x20 { return nil }
        var end = 5
        while end < text.count, text[end] != UInt8(ascii: "\"") { end += 1 }
        return end < text.count ? parse(text, 5, end) : nil
    }

    /// Whether a `forwarded` names this host, as it is or quoted, in `host`.
    static func isHost(_ text: HTTP2Text, _ host: [UInt8]) -> Bool {
        guard text.isPresent, !text.isTooLong else { return false }
        var start = 0
        while start + 6 <= text.count, !has(text, start, ";host=") { start += 1 }
        start += 6
        guard start < text.count else { return false }
        let isQuoted = text[start] == UInt8(ascii: "\"")
        if isQuoted { start += 1 }
        let end = start + host.count
        guard end + (isQuoted ? 1 : 0) <= text.count, !isQuoted || text[end] == UInt8(ascii: "\""),
            end + (isQuoted ? 1 : 0) == text.count || text[end + (isQuoted ? 1 : 0)] == UInt8(ascii: ";")
        else { return false }
        for (index, byte) in host.enumerated() where text[start + index] != byte { return false }
        return true
    }

    private static func has(_ text: HTTP2Text, _ start: Int, _ name: StaticString) -> Bool {
        for index in 0..<name.utf8CodeUnitCount {
            guard unsafe text[start + index] == name.utf8Start[index] else { return false }
        }
        return true
    }

    private static func parse(_ text: HTTP2Text, _ start: Int, _ end: Int) -> ClientAddress? {
        var colon = end
        while colon > start, text[colon - 1] != UInt8(ascii: ":") { colon -= 1 }
        guard colon > start, let port = port(text, colon, end) else { return nil }
        let host = start..<colon - 1
        guard !host.isEmpty else { return nil }
        if text[start] == UInt8(ascii: "[") {
            guard host.count > 2, text[host.upperBound - 1] == UInt8(ascii: "]") else { return nil }
            guard let words = version6(text, start + 1, host.upperBound - 1) else { return nil }
            return ClientAddress(high: words.high, low: words.low, port: port)
        }
        guard let value = version4(text, host.lowerBound, host.upperBound) else { return nil }
        return ClientAddress(high: 0, low: 0x0000_ffff_0000_0000 | UInt64(value), port: port)
    }

    private static func port(_ text: HTTP2Text, _ start: Int, _ end: Int) -> UInt16? {
        guard (1...5).contains(end - start), text[start] != UInt8(ascii: "0") else { return nil }
        var value: UInt32 = 0
        for index in start..<end {
            guard text[index].isDigit else { return nil }
            value = value * 10 + UInt32(text[index] - UInt8(ascii: "0"))
        }
        return UInt16(exactly: value)
    }

    private static func version4(_ text: HTTP2Text, _ start: Int, _ end: Int) -> UInt32? {
        var value: UInt32 = 0
        var octet: UInt32 = 0
        var digits = 0
        var dots = 0
        for index in start..<end {
            let byte = text[index]
            if byte == UInt8(ascii: ".") {
                guard digits > 0, dots < 3 else { return nil }
                value = value << 8 | octet
                (octet, digits, dots) = (0, 0, dots + 1)
                continue
            }
            guard byte.isDigit, digits == 0 || octet != 0 else { return nil }
            octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
            digits += 1
            guard octet <= 255 else { return nil }
        }
        return dots == 3 && digits > 0 ? value << 8 | octet : nil
    }

    /// RFC 4291 §2.2, the dotted form of the last four bytes included. In host order.
    private static func version6(_ text: HTTP2Text, _ start: Int, _ end: Int) -> (high: UInt64, low: UInt64)? {
        var groups = InlineArray<8, UInt16>(repeating: 0)
        var count = 0
        var gap = -1
        var index = start
        if end - start >= 2, text[start] == UInt8(ascii: ":"), text[start + 1] == UInt8(ascii: ":") {
            gap = 0
            index += 2
        }
        while index < end {
            var stop = index
            var hasDot = false
            while stop < end, text[stop] != UInt8(ascii: ":") {
                if text[stop] == UInt8(ascii: ".") { hasDot = true }
                stop += 1
            }
            if hasDot {
                guard stop == end, count <= 6, let quad = version4(text, index, stop) else { return nil }
                groups[count] = UInt16(quad >> 16)
                groups[count + 1] = UInt16(truncatingIfNeeded: quad)
                count += 2
                break
            }
            guard count < 8, (1...4).contains(stop - index) else { return nil }
            var value: UInt16 = 0
            for position in index..<stop {
                guard let digit = text[position].hexValue else { return nil }
                value = value << 4 | UInt16(digit)
            }
            groups[count] = value
            count += 1
            if stop == end { break }
            index = stop + 1
            if index == end { return nil }
            if text[index] == UInt8(ascii: ":") {
                guard gap < 0 else { return nil }
                gap = count
                index += 1
            }
        }
        if gap < 0 { guard count == 8 else { return nil } } else { guard count < 8 else { return nil } }
        var words: (high: UInt64, low: UInt64) = (0, 0)
        for position in 0..<8 {
            var value: UInt16 = 0
            if gap < 0 || position < gap {
                value = groups[position]
            } else if position >= gap + 8 - count {
                value = groups[position - (8 - count)]
            }
            if position < 4 {
                words.high = words.high << 16 | UInt64(value)
            } else {
                words.low = words.low << 16 | UInt64(value)
            }
        }
        return words
    }
}

extension Scratch {
    /// Writes an address and a port as authorities have them.
    mutating func append(authority address: ClientAddress) {
        let high = address.high
        let low = address.low
        if high == 0, low >> 32 == 0xffff {
            for position in 0..<4 {
                if position > 0 { append(byte: UInt8(ascii: ".")) }
                append(decimal: low >> UInt64(24 - 8 * position) & 255)
            }
        } else {
            append(byte: UInt8(ascii: "["))
            appendVersion6(high, low)
            append(byte: UInt8(ascii: "]"))
        }
        append(byte: UInt8(ascii: ":"))
        append(decimal: UInt64(address.port))
    }

    /// In the form of RFC 5952.
    private mutating func appendVersion6(_ high: UInt64, _ low: UInt64) {
        func group(_ index: Int) -> UInt64 {
            (index < 4 ? high >> UInt64(48 - 16 * index) : low >> UInt64(112 - 16 * index)) & 0xffff
        }
        var gapStart = -1
        var gapCount = 1
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, group(end) == 0 { end += 1 }
            if end - index > gapCount { (gapStart, gapCount) = (index, end - index) }
            index = max(end, index + 1)
        }
        index = 0
        while index < 8 {
            if index == gapStart {
                append("::")
                index += gapCount
                continue
            }
            if index > 0, index != gapStart + gapCount { append(byte: UInt8(ascii: ":")) }
            append(hex: group(index), digits: 1)
            index += 1
        }
    }

    /// Lower-case, with at least so many digits.
    mutating func append(hex value: UInt64, digits: Int) {
        var count = max(1, (67 - value.leadingZeroBitCount) / 4)
        count = max(count, digits)
        for position in stride(from: count - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * position)) & 15
            append(byte: digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
