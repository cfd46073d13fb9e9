/// The result of reading `HTTP/1.0` or `HTTP/1.1`, the versions that Weft speaks in this form.
enum HTTPVersion {
    case needMore
    case failed(HeadError)
    case minor(UInt8)

    static let byteCount = 8

    /// Reads the version at `position`; what follows its eight bytes is the caller's to check. `HTTP/2.0` and its like are
    /// well-formed but not supported; `http/1.1`, `HTTP/01.1` and the rest are malformed (RFC 9112 section 2.3).
    static func read(_ bytes: RawSpan, at position: Int, end: Int) -> HTTPVersion {
        for index in 0..<byteCount {
            guard position + index < end else { return .needMore }
            let byte = bytes[position + index]
            let isRight =
                switch index {
                case 0: byte == UInt8(ascii: "H")
                case 1, 2: byte == UInt8(ascii: "T")
                case 3: byte == UInt8(ascii: "P")
                case 4: byte == UInt8(ascii: "/")
                case 6: byte == UInt8(ascii: ".")
                default: byte.isDigit
                }
            guard isRight else { return .failed(byte == .lineFeed ? .bareLineFeed : .malformedVersion) }
        }
        let minor = bytes[position + 7] - UInt8(ascii: "0")
        guard bytes[position + 5] == UInt8(ascii: "1"), minor <= 1 else { return .failed(.unsupportedVersion) }
        return .minor(minor)
    }
}
