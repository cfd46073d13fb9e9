/// JSON text (RFC 8259).
extension Value {
    /// - Parameter indented: over several lines with two spaces a level; otherwise one line, for streams of objects.
    func json(indented: Bool) -> String {
        var text = ""
        writeJSON(to: &text, indentation: indented ? 0 : nil)
        return text
    }

    private func writeJSON(to text: inout String, indentation: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .unsigned(let value): text += String(value)
        case .number(let value): text += value.isFinite ? "\(value)" : "null"
        case .string(let value): text += Self.quoted(value)
        case .array(let elements):
            Self.writeList(elements, brackets: ("[", "]"), to: &text, indentation: indentation) {
                element, text, inner in
                element.writeJSON(to: &text, indentation: inner)
            }
        case .object(let object):
            Self.writeList(object.members, brackets: ("{", "}"), to: &text, indentation: indentation) {
                member, text, inner in
                text += Self.quoted(member.key)
                text += inner == nil ? ":" : ": "
                member.value.writeJSON(to: &text, indentation: inner)
            }
        }
    }

    private static func writeList<Element>(
        _ elements: [Element], brackets: (String, String), to text: inout String, indentation: Int?,
        write: (Element, inout String, Int?) -> Void
    ) {
        text += brackets.0
        for (index, element) in elements.enumerated() {
            if index > 0 { text += "," }
            if let indentation { text += "\n" + String(repeating: " ", count: indentation + 2) }
            write(element, &text, indentation.map { $0 + 2 })
        }
        if let indentation, !elements.isEmpty { text += "\n" + String(repeating: " ", count: indentation) }
        text += brackets.1
    }

    /// A JSON string; also a valid YAML double-quoted scalar.
    static func quoted(_ value: String) -> String {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
