/// Whether a text is JSON (RFC 8259), for texts that somebody else reads later.
struct JSONSyntax {
    private static let maximumDepth = 32
    private var rest: Substring.UTF8View

    private init(_ text: String) { rest = text[...].utf8 }

    /// Whether it is an object in which `field` is a list of objects.
    static func isObject(_ text: String, with field: String) -> Bool {
        var reader = JSONSyntax(text)
        var isList = false
        reader.skipBlanks()
        guard
            reader.object({ name, reader in
                guard name.elementsEqual(field.utf8) else { return reader.value(depth: 1) }
                isList = true
                return reader.sequence(from: "[", to: "]") { reader in
                    reader.rest.first == UInt8(ascii: "{") && reader.value(depth: 2)
                }
            })
        else { return false }
        reader.skipBlanks()
        return isList && reader.rest.isEmpty
    }

    private mutating func skipBlanks() {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0a || $0 == 0x0d }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    private mutating func value(depth: Int) -> Bool {
        guard depth <= Self.maximumDepth else { return false }
        switch rest.first {
        case UInt8(ascii: "{"): return object { $1.value(depth: depth + 1) }
        case UInt8(ascii: "["): return sequence(from: "[", to: "]") { $0.value(depth: depth + 1) }
        case UInt8(ascii: "\""): return string() != nil
        default:
            for word in ["true", "false", "null"] where rest.starts(with: word.utf8) {
                rest = rest.dropFirst(word.utf8.count)
                return true
            }
            return number()
        }
    }

    private mutating func object(_ member: (Substring.UTF8View, inout JSONSyntax) -> Bool) -> Bool {
        sequence(from: "{", to: "}") { reader in
            guard let name = reader.string() else { return false }
            reader.skipBlanks()
            guard reader.take(":") else { return false }
            reader.skipBlanks()
            return member(name, &reader)
        }
    }

    private mutating func sequence(
        from open: Unicode.Scalar, to close: Unicode.Scalar, _ element: (inout JSONSyntax) -> Bool
    ) -> Bool {
        guard take(open) else { return false }
        skipBlanks()
        if take(close) { return true }
        while true {
            guard element(&self) else { return false }
            skipBlanks()
            if take(close) { return true }
            guard take(",") else { return false }
            skipBlanks()
        }
    }

    /// Its text between the quotes, escapes as they are.
    private mutating func string() -> Substring.UTF8View? {
        guard take("\"") else { return nil }
        let start = rest
        var count = 0
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return start.prefix(count)
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst(), "\"\\/bfnrtu".utf8.contains(escaped) else { return nil }
                count += 2
            case ..<0x20: return nil
            default: count += 1
            }
        }
        return nil
    }

    private mutating func number() -> Bool {
        func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        _ = take("-")
        let text = rest.prefix { isDigit($0) || "+-.eE".utf8.contains($0) }
        guard let first = text.first, isDigit(first), Double(Substring(text)) != nil else { return false }
        rest = rest.dropFirst(text.count)
        return true
    }
}
