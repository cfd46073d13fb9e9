/// A decoded C value.
public indirect enum BTFValue: Sendable, Hashable {
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    case float(Double)
    /// The text of a `char` array, up to its NUL.
    case string(String)
    /// An enumerator; `name` is nil for a number that has none.
    case enumerator(name: String?, value: Int64)
    case array([BTFValue])
    /// The members in their order; a union has all of its readings.
    case structure([Field])
    /// Bytes that have no type, as `0x…`.
    case bytes(String)

    /// A member of a structure or union. Anonymous members have an empty name.
    public struct Field: Sendable, Hashable {
        public let name: String
        public let value: BTFValue
    }

    /// The member `name` of a structure, looked for in its anonymous members as well; nil when there is none.
    public subscript(name: String) -> BTFValue? {
        guard case .structure(let fields) = self else { return nil }
        for field in fields {
            if field.name == name { return field.value }
            if field.name.isEmpty, let value = field.value[name] { return value }
        }
        return nil
    }
}

extension BTFValue: CustomStringConvertible {
    /// The value as JSON, members in their order. Integers keep all of their 64 bits.
    public var description: String {
        switch self {
        case .bool(let value): return String(value)
        case .integer(let value): return String(value)
        case .unsigned(let value): return String(value)
        case .float(let value): return value.isFinite ? String(value) : "null"
        case .string(let text), .bytes(let text): return Self.quoted(text)
        case .enumerator(let name, let value): return name.map(Self.quoted) ?? String(value)
        case .array(let elements): return "[" + elements.map(\.description).joined(separator: ",") + "]"
        case .structure(let fields):
            return "{" + fields.map { Self.quoted($0.name) + ":" + $0.value.description }.joined(separator: ",") + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case "\r": quoted += "\\r"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
