/// YAML text (1.2, block style), as `kubectl -o yaml` writes it.
extension Value {
    /// Ends with a line feed.
    func yaml() -> String {
        var text = ""
        switch self {
        case .array(let elements) where !elements.isEmpty: Self.writeSequence(elements, to: &text, indentation: 0)
        case .object(let object) where !object.members.isEmpty: Self.writeMapping(object, to: &text, indentation: 0)
        default: text += yamlScalar + "\n"
        }
        return text
    }

    private static func writeMapping(
        _ object: Object, to text: inout String, indentation: Int, continuing: Bool = false
    ) {
        for (index, member) in object.members.enumerated() {
            if index > 0 || !continuing { text += String(repeating: " ", count: indentation) }
            text += plain(member.key) + ":"
            switch member.value {
            case .array(let elements) where !elements.isEmpty:
                text += "\n"
                writeSequence(elements, to: &text, indentation: indentation)
            case .object(let inner) where !inner.members.isEmpty:
                text += "\n"
                writeMapping(inner, to: &text, indentation: indentation + 2)
            default: text += " " + member.value.yamlScalar + "\n"
            }
        }
    }

    private static func writeSequence(_ elements: [Value], to text: inout String, indentation: Int) {
        for element in elements {
            text += String(repeating: " ", count: indentation) + "- "
            switch element {
            case .object(let object) where !object.members.isEmpty:
                writeMapping(object, to: &text, indentation: indentation + 2, continuing: true)
            case .array(let inner) where !inner.isEmpty:
                text.removeLast()
                text += "\n"
                writeSequence(inner, to: &text, indentation: indentation + 2)
            default: text += element.yamlScalar + "\n"
            }
        }
    }

    private var yamlScalar: String {
        switch self {
        case .string(let value): Self.plain(value)
        default: json(indented: false)
        }
    }

    /// The text without quotes where no reader can take it for anything else than this string.
    private static func plain(_ value: String) -> String {
        let letters = value.unicodeScalars
        guard let first = letters.first, first.properties.isAlphabetic || first == "/" || first == "_",
            letters.allSatisfy({ isPlain($0) }), value.last != ":",
            !reserved.contains(value.lowercased())
        else { return quoted(value) }
        return value
    }

    private static let reserved: Set<String> = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]

    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "-", "_", ".", "/": true
        default: false
        }
    }
}
