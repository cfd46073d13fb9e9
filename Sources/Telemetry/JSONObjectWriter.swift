/// Writes one flat JSON object (RFC 8259) with its keys in the order in which they are added.
public struct JSONObjectWriter {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    public init() {}

    public mutating func add(_ key: String, _ value: String?) {
        addKey(key)
        if let value { Self.append(quoted: value, to: &bytes) } else { bytes.append(contentsOf: "null".utf8) }
    }

    public mutating func add<Number: BinaryInteger>(_ key: String, number value: Number?) {
        addKey(key)
        bytes.append(contentsOf: (value.map { "\($0)" } ?? "null").utf8)
    }

    public mutating func add(_ key: String, flag value: Bool) {
        addKey(key)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    /// The object; nothing can be added any more.
    public consuming func finished() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    private mutating func addKey(_ key: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        Self.append(quoted: key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    /// A JSON string with its quotes.
    public static func append(quoted text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: #"\n"#.utf8)
            case UInt8(ascii: "\r"): bytes.append(contentsOf: #"\r"#.utf8)
            case UInt8(ascii: "\t"): bytes.append(contentsOf: #"\t"#.utf8)
            case 0..<0x20, 0x7f:
                let digits = String(byte, radix: 16)
                bytes.append(contentsOf: (digits.utf8.count == 1 ? #"\u000"# : #"\u00"#).utf8)
                bytes.append(contentsOf: digits.utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
