/// One line of a table and one object for programs: a command describes what it found once, as records.
struct Record: Equatable, Sendable {
    var fields: [Field]

    init(_ fields: [Field]) { self.fields = fields }

    /// All fields by their names.
    var value: Value { .object(Value.Object(fields.filter { !$0.name.isEmpty }.map { ($0.name, $0.value) })) }

    subscript(name: String) -> Value? { fields.first { $0.name == name }?.value }
}

/// One fact of a record.
struct Field: Equatable, Sendable {
    /// The key for programs, in lowerCamelCase.
    var name: String
    var value: Value
    /// The column's title; nil keeps the fact out of tables.
    var title: String?
    /// What the table shows.
    var text: String
    var style: Style = .plain
    var isNumeric: Bool
    /// Whether it is of no use when it is cut.
    var isWhole = false

    /// - Parameters:
    ///   - title: the column's title; made from `name` if it is not given.
    ///   - text: what the table shows; made from `value` if it is not given.
    init(_ name: String, _ value: Value, title: String? = nil, text: String? = nil, style: Style = .plain) {
        self.name = name
        self.value = value
        self.title = title ?? Self.title(of: name)
        self.text = text ?? value.cell
        self.style = style
        isNumeric = value.isNumeric
    }

    /// The field, never cut.
    var whole: Field {
        var field = self
        field.isWhole = true
        return field
    }

    /// A fact for programs only.
    static func hidden(_ name: String, _ value: Value) -> Field {
        var field = Field(name, value, text: "")
        field.title = nil
        return field
    }

    /// A column for people only: programs have the fact elsewhere in the record.
    static func column(_ title: String, _ value: some BinaryInteger) -> Field {
        Field("", Value(value), title: title)
    }

    /// `backendCount` → `BACKEND COUNT`.
    private static func title(of name: String) -> String {
        name.reduce(into: "") { title, letter in
            if letter.isUppercase { title += " " }
            title += letter.uppercased()
        }
    }
}

extension Value {
    fileprivate var isNumeric: Bool {
        switch self {
        case .integer, .unsigned, .number: true
        default: false
        }
    }

    /// The value in a table: `-` for nothing, lists with commas, objects as `key=value`.
    var cell: String {
        switch self {
        case .null: "-"
        case .bool(let value): value ? "yes" : "no"
        case .string(let value): value.isEmpty ? "-" : value
        case .array(let elements): elements.isEmpty ? "-" : elements.map(\.cell).joined(separator: ",")
        case .object(let object):
            object.members.isEmpty
                ? "-" : object.members.map { "\($0.key)=\($0.value.cell)" }.joined(separator: " ")
        default: json(indented: false)
        }
    }
}
