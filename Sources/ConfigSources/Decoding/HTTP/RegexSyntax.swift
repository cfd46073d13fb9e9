/// Whether a text is a regular expression that the proxy can match in linear time.
enum RegexSyntax {
    /// What is wrong with it; nil if it is in the syntax of RE2.
    /// Source: https://github.com/google/re2/wiki/Syntax
    static func problem(in text: String) -> String? {
        var depth = 0
        var isInClass = false
        var hasAtom = false
        var bytes = text.utf8[...]
        while let byte = bytes.popFirst() {
            switch byte {
            case UInt8(ascii: "\\"):
                guard let next = bytes.popFirst() else { return "it ends with a backslash" }
                if (UInt8(ascii: "1")...UInt8(ascii: "9")).contains(next), !isInClass {
                    return "backreferences are not supported"
                }
                hasAtom = true
            case _ where isInClass:
                if byte == UInt8(ascii: "]") { isInClass = false }
            case UInt8(ascii: "["):
                isInClass = true
                hasAtom = true
                if bytes.first == UInt8(ascii: "^") { bytes.removeFirst() }
                if bytes.first == UInt8(ascii: "]") { bytes.removeFirst() }
            case UInt8(ascii: "("):
                depth += 1
                hasAtom = false
                if bytes.first == UInt8(ascii: "?") {
                    bytes.removeFirst()
                    if let next = bytes.first, "=!>".utf8.contains(next) { return "look-around is not supported" }
                    if bytes.starts(with: "<=".utf8) || bytes.starts(with: "<!".utf8) {
                        return "look-around is not supported"
                    }
                }
            case UInt8(ascii: ")"):
                depth -= 1
                if depth < 0 { return "there is a ) without (" }
                hasAtom = true
            case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
                if !hasAtom { return "there is nothing before \(Character(UnicodeScalar(byte)))" }
            case UInt8(ascii: "|"): hasAtom = false
            default: hasAtom = true
            }
        }
        if isInClass { return "a [ is not closed" }
        return depth > 0 ? "a ( is not closed" : nil
    }
}
