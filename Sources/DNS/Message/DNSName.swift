/// A domain name in the form of the wire (RFC 1035 §3.1), without compression: labels with their lengths, and the root.
///
/// The bytes keep their case; names are equal when they differ in the case of ASCII letters only (RFC 4343).
public struct DNSName: Sendable {
    /// With the root's empty label; at most 255 bytes.
    public let wire: [UInt8]

    static let maxLength = 255
    static let maxLabel = 63

    init(wire: [UInt8]) { self.wire = wire }

    public static let root = DNSName(wire: [0])

    /// A name of labels in text; nil if one is empty or too long, or all together are.
    public init?(labels: some Sequence<some StringProtocol>) {
        var wire: [UInt8] = []
        for label in labels {
            let bytes = label.utf8
            guard (1...Self.maxLabel).contains(bytes.count) else { return nil }
            wire.append(UInt8(bytes.count))
            wire.append(contentsOf: bytes)
        }
        wire.append(0)
        guard wire.count <= Self.maxLength else { return nil }
        self.wire = wire
    }

    /// A name as people write it, with or without the final dot; escapes are not known.
    public init?(_ text: String) {
        let text = text.hasSuffix(".") ? text.dropLast() : text[...]
        self.init(labels: text.isEmpty ? [] : text.split(separator: ".", omittingEmptySubsequences: false))
    }

    /// The labels in lower case. Bytes that are no UTF-8 cannot be a service's name and become replacement characters.
    public var labels: [String] {
        var labels: [String] = []
        var position = 0
        let lower = lowercased
        while position < lower.count, lower[position] > 0 {
            let end = position + 1 + Int(lower[position])
            labels.append(String(decoding: lower[(position + 1)..<end], as: UTF8.self))
            position = end
        }
        return labels
    }

    /// The wire form with its ASCII letters in lower case. Lengths are less than any letter.
    var lowercased: [UInt8] { wire.map { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") ? $0 | 0x20 : $0 } }
}

extension DNSName: Hashable {
    public static func == (a: Self, b: Self) -> Bool {
        a.wire.count == b.wire.count && (a.wire == b.wire || a.lowercased == b.lowercased)
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(lowercased) }
}

extension DNSName: CustomStringConvertible {
    /// With the final dot; bytes that are not plain text as `\DDD` (RFC 1035 §5.1).
    public var description: String {
        var text = ""
        var position = 0
        while position < wire.count, wire[position] > 0 {
            let end = position + 1 + Int(wire[position])
            for byte in wire[(position + 1)..<end] {
                switch byte {
                case UInt8(ascii: "."), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
                case 0x21...0x7e: text += String(UnicodeScalar(byte))
                default: text += "\\" + (byte < 10 ? "00" : byte < 100 ? "0" : "") + String(byte)
                }
            }
            text += "."
            position = end
        }
        return text.isEmpty ? "." : text
    }
}
