/// An `http:` or `https:` URL.
public struct HTTPURL: Equatable, Sendable {
    public var isSecure: Bool
    /// Without brackets.
    public var host: String
    public var port: UInt16
    /// With the query; begins with a slash.
    public var path: String

    /// nil: it is no such URL, has a user's name in it, or characters that none has.
    public init?(_ text: String) {
        let rest: Substring
        if text.lowercased().hasPrefix("https://") {
            isSecure = true
            rest = text.dropFirst(8)
        } else if text.lowercased().hasPrefix("http://") {
            isSecure = false
            rest = text.dropFirst(7)
        } else {
            return nil
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }) else { return nil }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        var authority = rest[..<end]
        var path = String(rest[end...].prefix { $0 != "#" })
        if !path.hasPrefix("/") { path = "/" + path }
        self.path = path
        guard !authority.contains("@") else { return nil }
        port = isSecure ? 443 : 80
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            let behind = authority[authority.index(after: close)...]
            guard behind.isEmpty || behind.hasPrefix(":") else { return nil }
            if !behind.isEmpty {
                guard let number = UInt16(behind.dropFirst()) else { return nil }
                port = number
            }
            authority = authority[authority.index(after: authority.startIndex)..<close]
        } else if let colon = authority.lastIndex(of: ":") {
            guard let number = UInt16(authority[authority.index(after: colon)...]) else { return nil }
            port = number
            authority = authority[..<colon]
            guard !authority.contains(":") else { return nil }
        }
        guard !authority.isEmpty, port > 0 else { return nil }
        host = String(authority)
    }

    /// The value of Host.
    public var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }
}
