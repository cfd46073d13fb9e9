/// Request targets (RFC 9112 §3.2): origin form, and absolute form as every server has to accept it.
enum HTTPTarget {
    static func parse(
        _ target: ArraySlice<UInt8>
    ) throws(HTTPHead.Refusal) -> (path: String, query: [(name: String, value: String)], authority: String?) {
        guard !target.isEmpty, target.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw .bad("the request target has characters that are not allowed in a URI")
        }
        var rest = target
        var authority: String?
        if !rest.starts(with: "/".utf8) {
            let scheme = "http://"
            guard String(decoding: rest.prefix(scheme.utf8.count), as: UTF8.self).lowercased() == scheme else {
                throw .bad("the request target has to begin with /")
            }
            rest = rest.dropFirst(scheme.utf8.count)
            let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            authority = String(decoding: rest[..<end], as: UTF8.self)
            rest = rest[end...]
        }
        let pathEnd = rest.firstIndex { $0 == UInt8(ascii: "?") } ?? rest.endIndex
        let path = pathEnd == rest.startIndex ? "/" : try decoded(rest[..<pathEnd], plusIsSpace: false)
        guard path.hasPrefix("/") else { throw .bad("the request target has to begin with /") }
        return (path, try query(rest[pathEnd...].dropFirst()), authority)
    }

    private static func query(_ text: ArraySlice<UInt8>) throws(HTTPHead.Refusal) -> [(name: String, value: String)] {
        var parameters: [(name: String, value: String)] = []
        for part in text.split(separator: UInt8(ascii: "&")) {
            let nameEnd = part.firstIndex(of: UInt8(ascii: "=")) ?? part.endIndex
            let name = try decoded(part[..<nameEnd], plusIsSpace: true)
            parameters.append((name, try decoded(part[nameEnd...].dropFirst(), plusIsSpace: true)))
        }
        return parameters
    }

    /// Percent-decoded; what is not UTF-8, or has a control character in it, is refused.
    private static func decoded(_ text: ArraySlice<UInt8>, plusIsSpace: Bool) throws(HTTPHead.Refusal) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            var byte = text[index]
            index += 1
            if byte == UInt8(ascii: "%") {
                guard index + 1 < text.endIndex, let high = hexValue(text[index]), let low = hexValue(text[index + 1])
                else { throw .bad("a % in the request target without two hexadecimal digits") }
                byte = high << 4 | low
                index += 2
                guard byte >= 0x20, byte != 0x7f else { throw .bad("a control character in the request target") }
            } else if plusIsSpace, byte == UInt8(ascii: "+") {
                byte = UInt8(ascii: " ")
            }
            bytes.append(byte)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw .bad("the request target is not UTF-8")
        }
        return decoded
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
