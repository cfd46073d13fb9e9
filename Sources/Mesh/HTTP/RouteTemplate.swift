/// A pattern of requests whose numbers are shown together, such as `GET /users/{id}`.
///
/// It has a method, or stands for all of them, and a path of segments that are literal, `{name}` (one segment, whatever it
/// is, but not an empty one) or, as the last one, `*` (everything that follows). Literal segments are compared byte by byte with
/// what clients send: nothing is decoded, and what follows a question mark is no part of the path.
public struct RouteTemplate: Sendable, Hashable, CustomStringConvertible {
    /// A part of a request's line.
    public enum Symbol: Sendable, Hashable {
        /// A method or a segment, in ASCII; the last segment may be empty.
        case literal(String)
        case any
        case rest
    }

    /// The method, then the segments.
    public let symbols: [Symbol]
    /// As it was written, with one space between method and path.
    public let description: String

    /// Templates of a service, and the symbols and bytes of one of them.
    public static let limit = 255
    public static let symbolLimit = 17
    public static let lengthLimit = 256
    static let segmentLimit = 63

    /// - Throws: what is wrong with the text.
    public init(_ text: some StringProtocol) throws(RouteTemplateError) {
        let parts = String(text).split(separator: " " as Character).map(String.init)
        let shown = "\"\(text.prefix(64))\""
        guard parts.count == 1 || parts.count == 2, let path = parts.last else {
            throw RouteTemplateError("\(shown) is not a route template, such as GET /users/{id}")
        }
        guard text.utf8.count <= Self.lengthLimit else {
            throw RouteTemplateError("\(shown)... has more than \(Self.lengthLimit) bytes")
        }
        var symbols = [Symbol.any]
        if parts.count == 2 {
            let method = parts[0]
            guard method.utf8.count <= 32, method.utf8.allSatisfy({ (0x41...0x5a).contains($0) || $0 == 0x2d }) else {
                throw RouteTemplateError("\"\(method.prefix(64))\" is not a method in capital letters")
            }
            symbols = [.literal(method)]
        }
        guard path.hasPrefix("/") else {
            throw RouteTemplateError("\(shown): a path begins with a slash")
        }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for (number, segment) in segments.enumerated() {
            symbols.append(try Self.symbol(String(segment), isLast: number == segments.count - 1, shown))
        }
        guard symbols.count <= Self.symbolLimit else {
            throw RouteTemplateError("\(shown) has more than \(Self.symbolLimit - 1) segments")
        }
        self.symbols = symbols
        description = parts.joined(separator: " ")
    }

    private static func symbol(
        _ segment: String, isLast: Bool, _ shown: String
    ) throws(RouteTemplateError) -> Symbol {
        if segment == "*" {
            guard isLast else { throw RouteTemplateError("\(shown): * is the last segment, or none") }
            return .rest
        }
        if segment.hasPrefix("{"), segment.hasSuffix("}") {
            let name = segment.dropFirst().dropLast()
            let isName =
                !name.isEmpty && name.utf8.allSatisfy { $0 == 0x5f || $0 == 0x2d || $0 == 0x2e || $0.isLetterOrDigit }
            guard isName else {
                throw RouteTemplateError("\(shown): a name in braces has letters, digits, \"-\", \"_\" and \".\"")
            }
            return .any
        }
        guard !segment.isEmpty || isLast else { throw RouteTemplateError("\(shown) has an empty segment") }
        guard segment.utf8.count <= segmentLimit else {
            throw RouteTemplateError("\(shown) has a segment of more than \(segmentLimit) bytes")
        }
        for byte in segment.utf8 where !(0x21...0x7e).contains(byte) || #"{}*?#\"<>^`|"#.utf8.contains(byte) {
            throw RouteTemplateError(
                "\(shown): a segment is text as in a URL, {name}, or, as the last one, *")
        }
        return .literal(segment)
    }

    /// The templates of a text with one on each line, or several with commas between them.
    public static func list(_ text: String) throws(RouteTemplateError) -> [RouteTemplate] {
        var templates: [RouteTemplate] = []
        var shapes: Set<[Symbol]> = []
        for entry in text.split(whereSeparator: { $0.isNewline || $0 == "," }) {
            let entry = entry.trimmingSpaces
            guard !entry.isEmpty else { continue }
            let template = try RouteTemplate(entry)
            guard shapes.insert(template.symbols).inserted else {
                throw RouteTemplateError("\"\(template)\" stands for the same requests as one before it")
            }
            templates.append(template)
        }
        guard !templates.isEmpty else { throw RouteTemplateError("there is no route template in it") }
        guard templates.count <= limit else {
            throw RouteTemplateError("these are \(templates.count) route templates: a service has at most \(limit)")
        }
        guard RouteAutomaton(templates) != nil else {
            throw RouteTemplateError("these route templates overlap in too many ways: write fewer with names in braces")
        }
        return templates
    }
}

/// What is wrong with a route template.
public struct RouteTemplateError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool {
        (0x30...0x39).contains(self) || (0x41...0x5a).contains(self) || (0x61...0x7a).contains(self)
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var text = drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
