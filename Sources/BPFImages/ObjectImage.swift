/// A compiled BPF object (ELF with BTF) that is part of this binary.
public struct ObjectImage: Sendable {
    /// The program file's name without `.bpf.c`.
    public let name: String
    private let base64: StaticString

    init(name: String, base64: StaticString) {
        self.name = name
        self.base64 = base64
    }

    /// The ELF image, decoded. libbpf copies it while opening, so the array may be short-lived.
    public var bytes: [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(base64.utf8CodeUnitCount / 4 * 3)
        base64.withUTF8Buffer { text in
            var accumulator: UInt32 = 0
            var bits = 0
            var characters = unsafe text.makeIterator()
            while let character = unsafe characters.next() {
                guard let sextet = Self.sextet(of: character) else { continue }
                accumulator = accumulator << 6 | sextet
                bits += 6
                if bits >= 8 {
                    bits -= 8
                    decoded.append(UInt8(truncatingIfNeeded: accumulator >> bits))
                }
            }
        }
        return decoded
    }

    /// The value of one base64 character (RFC 4648 §4); nil for padding.
    private static func sextet(of character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
