extension UInt8 {
    static let tab: UInt8 = 0x09
    static let lineFeed: UInt8 = 0x0a
    static let carriageReturn: UInt8 = 0x0d
    static let space: UInt8 = 0x20

    /// Optional white space (RFC 9110 section 5.6.3): nothing else is ever trimmed.
    @inline(__always)
    var isWhiteSpace: Bool { self == .space || self == .tab }

    @inline(__always)
    var isDigit: Bool { self &- UInt8(ascii: "0") < 10 }

    @inline(__always)
    var isUppercase: Bool { self &- UInt8(ascii: "A") < 26 }

    /// The value of a hexadecimal digit; nil for others.
    @inline(__always)
    var hexValue: UInt8? {
        let digit = self &- UInt8(ascii: "0")
        if digit < 10 { return digit }
        let letter = (self | 0x20) &- UInt8(ascii: "a")
        return letter < 6 ? letter + 10 : nil
    }
}
