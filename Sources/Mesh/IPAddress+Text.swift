extension IPAddress: CustomStringConvertible, LosslessStringConvertible {
    /// An IPv4 address from its four octets.
    public init(v4 a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        self.init(v4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
    }

    /// An IPv4 address from its value in host order.
    public init(v4 value: UInt32) {
        self.init(high: 0, low: (0x0000_ffff_0000_0000 | UInt64(value)).bigEndian)
    }

    /// Parses the text forms of inet_pton(3): a dotted quad of decimal octets without leading zeros, or RFC 4291 §2.2
    /// with an optional dotted quad at the end. A zone, a port, brackets, a prefix length and spaces are refused.
    public init?(_ text: String) {
        self.init(utf8: text.utf8)
    }

    /// As `init(_:)`, from the bytes of the text.
    public init?(utf8 text: some BidirectionalCollection<UInt8>) {
        if text.contains(UInt8(ascii: ":")) {
            self.init(v6Text: text)
        } else if let value = parseIPv4(text) {
            self.init(v4: value)
        } else {
            return nil
        }
    }

    private init?(v6Text text: some BidirectionalCollection<UInt8>) {
        // Groups before and after "::", as one array with the place of the gap.
        var groups: [UInt16] = []
        var gap: Int?
        var rest = text[...]
        if rest.starts(with: doubleColon) {
            rest = rest.dropFirst(2)
            gap = 0
        }
        while !rest.isEmpty {
            let end = rest.firstIndex(of: colon) ?? rest.endIndex
            let group = rest[..<end]
            if end == rest.endIndex, group.contains(UInt8(ascii: ".")) {
                guard let quad = parseIPv4(group) else { return nil }
                groups.append(UInt16(quad >> 16))
                groups.append(UInt16(truncatingIfNeeded: quad))
                rest = rest[end...]
                break
            }
            guard let value = parseHexGroup(group), groups.count < 8 else { return nil }
            groups.append(value)
            rest = rest[end...]
            if rest.isEmpty { break }
            rest = rest.dropFirst()
            if rest.first == colon {
                guard gap == nil else { return nil }
                gap = groups.count
                rest = rest.dropFirst()
            } else if rest.isEmpty {
                return nil  // a single colon at the end
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        func word(_ slice: ArraySlice<UInt16>) -> UInt64 { slice.reduce(0) { $0 << 16 | UInt64($1) }.bigEndian }
        self.init(high: word(groups[0..<4]), low: word(groups[4..<8]))
    }

    /// A dotted quad for IPv4, otherwise the canonical form of RFC 5952.
    public var description: String {
        if isIPv4 {
            let value = UInt32(truncatingIfNeeded: UInt64(bigEndian: low))
            return "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        }
        let groups = [UInt64(bigEndian: high), UInt64(bigEndian: low)].flatMap { word in
            (0..<4).map { UInt16(truncatingIfNeeded: word >> (48 - 16 * $0)) }
        }
        // RFC 5952 §4.2: the longest run of zero groups, the first of equals, and never a single one.
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = max(end, start + 1)
        }
        func text(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        return longest.isEmpty ? text(0..<8) : "\(text(0..<longest.lowerBound))::\(text(longest.upperBound..<8))"
    }
}

extension IPAddress: Comparable {
    /// By their bytes, so IPv4 addresses lie together in numerical order.
    public static func < (a: Self, b: Self) -> Bool {
        a.high == b.high
            ? UInt64(bigEndian: a.low) < UInt64(bigEndian: b.low)
            : UInt64(bigEndian: a.high) < UInt64(bigEndian: b.high)
    }
}

extension IPBlock: CustomStringConvertible, LosslessStringConvertible {
    /// Parses `address` or `address/length`. Bits of the address beyond the length are cleared.
    public init?(_ text: String) {
        let bytes = text.utf8
        let slash = bytes.firstIndex(of: UInt8(ascii: "/"))
        guard let address = IPAddress(utf8: bytes[..<(slash ?? bytes.endIndex)]) else { return nil }
        // What is written with a colon has a length of 128 bits, even if it is a mapped address.
        let isQuad = !bytes[..<(slash ?? bytes.endIndex)].contains(colon)
        var length = isQuad ? 32 : 128
        if let slash {
            let digits = bytes[bytes.index(after: slash)...]
            guard let written = parseDecimal(digits, limit: length) else { return nil }
            length = written
        }
        let prefix = UInt8(isQuad ? length + 96 : length)
        self.init(address: address.masked(to: prefix), prefixLength: prefix)
    }

    /// `address/length`, the length as it is written for the address's family.
    public var description: String {
        address.isIPv4 && prefixLength >= 96 ? "\(address)/\(prefixLength - 96)" : "\(address)/\(prefixLength)"
    }
}

extension IPAddress {
    /// The address with every bit after the first `bits` cleared.
    public func masked(to bits: UInt8) -> IPAddress {
        func mask(_ word: UInt64, _ bits: Int) -> UInt64 {
            bits <= 0 ? 0 : bits >= 64 ? word : word & (~(UInt64.max >> UInt64(bits))).bigEndian
        }
        return IPAddress(high: mask(high, Int(bits)), low: mask(low, Int(bits) - 64))
    }
}

private let colon = UInt8(ascii: ":")
private let doubleColon: [UInt8] = [UInt8(ascii: ":"), UInt8(ascii: ":")]

private func parseIPv4(_ text: some Collection<UInt8>) -> UInt32? {
    var value: UInt32 = 0
    var octet: UInt32 = 0
    var digits = 0
    var dots = 0
    for byte in text {
        if byte == UInt8(ascii: ".") {
            guard digits > 0, dots < 3 else { return nil }
            value = value << 8 | octet
            (octet, digits, dots) = (0, 0, dots + 1)
            continue
        }
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digits == 0 || octet != 0 else { return nil }
        octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
        digits += 1
        guard octet <= 255 else { return nil }
    }
    return dots == 3 && digits > 0 ? value << 8 | octet : nil
}

private func parseHexGroup(_ text: some Collection<UInt8>) -> UInt16? {
    guard (1...4).contains(text.count) else { return nil }
    var value: UInt16 = 0
    for byte in text {
        let digit: UInt8
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
        default: return nil
        }
        value = value << 4 | UInt16(digit)
    }
    return value
}

/// Digits only, without leading zeros.
private func parseDecimal(_ text: some Collection<UInt8>, limit: Int) -> Int? {
    guard let first = text.first, text.count == 1 || first != UInt8(ascii: "0") else { return nil }
    var value = 0
    for byte in text {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + Int(byte - UInt8(ascii: "0"))
        guard value <= limit else { return nil }
    }
    return value
}
