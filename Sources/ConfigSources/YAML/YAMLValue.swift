import Mesh

/// One value of a tree. The functions that convert it report what does not fit, and return nil.
struct YAMLValue {
    let tree: YAMLTree
    let index: Int32

    private var entry: YAMLTree.Entry { tree.entries[Int(index)] }
    private var kind: YAMLTree.Kind { tree.entries[Int(index)].kind }

    /// What an alias stands for.
    var resolved: YAMLValue {
        kind == .alias ? YAMLValue(tree: tree, index: tree.entries[Int(index)].child).resolved : self
    }

    /// The mapping or sequence that it is written in; nil for the root.
    var parent: YAMLValue? {
        entry.parent == YAMLTree.none ? nil : YAMLValue(tree: tree, index: entry.parent)
    }

    /// Counted from 0.
    var line: Int { Int(entry.line) }

    func report(_ message: String) { tree.report(message, at: index) }

    /// Absent and null are the same, as in Kubernetes.
    var isNull: Bool {
        guard kind == .plain else { return false }
        switch entry.text {
        case "", "~", "null", "Null", "NULL": return true
        default: return false
        }
    }

    // MARK: - Mappings

    /// Calls `body` for each field that is not null.
    func forEachField(_ body: (_ name: String, _ value: YAMLValue) -> Void) {
        guard kind == .mapping else {
            if !isNull { report("expected a mapping, found \(described)") }
            return
        }
        var key = entry.child
        while key != YAMLTree.none {
            let value = tree.entries[Int(key)].sibling
            body(tree.entries[Int(key)].text, YAMLValue(tree: tree, index: value).resolved)
            key = tree.entries[Int(value)].sibling
        }
    }

    /// The field of that name; nil if absent or null.
    func field(_ name: String) -> YAMLValue? {
        guard kind == .mapping else { return nil }
        var key = entry.child
        while key != YAMLTree.none {
            let value = tree.entries[Int(key)].sibling
            if tree.entries[Int(key)].text == name {
                let value = YAMLValue(tree: tree, index: value).resolved
                return value.isNull ? nil : value
            }
            key = tree.entries[Int(value)].sibling
        }
        return nil
    }

    func reportUnknownField() { report("unknown field") }

    func reportMissing(_ field: String) { tree.report("required, but missing", at: index, field: field) }

    // MARK: - Sequences

    func forEachElement(_ body: (YAMLValue) -> Void) {
        guard kind == .sequence else {
            if !isNull { report("expected a list, found \(described)") }
            return
        }
        var child = entry.child
        while child != YAMLTree.none {
            body(YAMLValue(tree: tree, index: child).resolved)
            child = tree.entries[Int(child)].sibling
        }
    }

    func map<Element>(_ body: (YAMLValue) -> Element?) -> [Element] {
        var elements: [Element] = []
        forEachElement { value in
            if let element = body(value) { elements.append(element) }
        }
        return elements
    }

    var isEmptySequence: Bool { kind == .sequence && entry.child == YAMLTree.none }

    var isSequence: Bool { kind == .sequence }
    var isMapping: Bool { kind == .mapping }
    var isScalar: Bool { kind == .plain || kind == .quoted }

    // MARK: - Scalars

    /// A string. Text without quotes that means something else is refused, as the API server does.
    func string() -> String? {
        switch kind {
        case .quoted: return entry.text
        case .plain:
            let text = entry.text
            switch YAMLScalar(text) {
            case .string: return text
            case .null: return nil
            case .bool: report("expected a string, found the boolean \(text): put it in quotes")
            case .number: report("expected a string, found the number \(text): put it in quotes")
            }
            return nil
        default:
            report("expected a string, found \(described)")
            return nil
        }
    }

    func bool() -> Bool? {
        if kind == .plain, case .bool(let value) = YAMLScalar(entry.text) { return value }
        if !isNull { report("expected true or false, found \(described)") }
        return nil
    }

    func integer(_ range: ClosedRange<Int64>, what: String = "a number") -> Int64? {
        guard kind == .plain, let value = Int64(entry.text) else {
            if !isNull { report("expected \(what) (\(range.lowerBound)...\(range.upperBound)), found \(described)") }
            return nil
        }
        guard range.contains(value) else {
            report("\(value) is not \(what) (\(range.lowerBound)...\(range.upperBound))")
            return nil
        }
        return value
    }

    /// What a number without quotes means, decimals allowed; nil for anything else.
    var number: Double? {
        guard kind == .plain, YAMLScalar(entry.text) == .number else { return nil }
        return Double(entry.text)
    }

    func port() -> UInt16? { integer(1...65535, what: "a port").map { UInt16($0) } }

    /// Whether it is a number without quotes.
    var isInteger: Bool { kind == .plain && Int64(entry.text) != nil }

    /// One of the values that a field can have.
    func choice<Value>(_ choices: KeyValuePairs<String, Value>) -> Value? {
        guard let text = string() else { return nil }
        if let match = choices.first(where: { $0.key == text }) { return match.value }
        report("\"\(text)\" is not one of \(choices.map(\.key).joined(separator: ", "))")
        return nil
    }

    func address() -> IPAddress? {
        guard let text = string() else { return nil }
        guard let address = IPAddress(text) else {
            report("\"\(text)\" is not an IP address")
            return nil
        }
        return address
    }

    private var described: String {
        switch kind {
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .quoted: return "the string \"\(entry.text.prefix(64))\""
        case .alias: return "an alias"
        case .plain:
            let text = String(entry.text.prefix(64))
            switch YAMLScalar(entry.text) {
            case .null: return "null"
            case .bool: return "the boolean \(text)"
            case .number: return "the number \(text)"
            case .string: return "the string \"\(text)\""
            }
        }
    }
}

/// What a scalar without quotes means.
/// Source: YAML 1.2.2 §10.3.2 (core schema), decimal integers and floats only.
enum YAMLScalar: Equatable {
    case null
    case bool(Bool)
    case number
    case string

    init(_ text: String) {
        let bytes = text.utf8
        guard let first = bytes.first else {
            self = .null
            return
        }
        switch first {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            self = Self.isNumber(bytes) ? .number : .string
        case UInt8(ascii: "~"), UInt8(ascii: "n"), UInt8(ascii: "N"):
            self = ["~", "null", "Null", "NULL"].contains(text) ? .null : .string
        case UInt8(ascii: "t"), UInt8(ascii: "T"):
            self = ["true", "True", "TRUE"].contains(text) ? .bool(true) : .string
        case UInt8(ascii: "f"), UInt8(ascii: "F"):
            self = ["false", "False", "FALSE"].contains(text) ? .bool(false) : .string
        default: self = .string
        }
    }

    /// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, or `0x` or `0o` and digits.
    private static func isNumber(_ text: String.UTF8View) -> Bool {
        func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        func isSign(_ byte: UInt8?) -> Bool { byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") }
        var rest = text[...]
        if rest.starts(with: "0x".utf8) || rest.starts(with: "0o".utf8) {
            return rest.count > 2
                && rest.dropFirst(2).allSatisfy {
                    isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0 | 32)
                }
        }
        if isSign(rest.first) { rest.removeFirst() }
        let whole = rest.prefix(while: isDigit)
        rest = rest[whole.endIndex...]
        var fraction = rest.prefix(0)
        if rest.first == UInt8(ascii: ".") {
            fraction = rest.dropFirst().prefix(while: isDigit)
            rest = rest[fraction.endIndex...]
        }
        guard !whole.isEmpty || !fraction.isEmpty else { return false }
        guard !rest.isEmpty else { return true }
        guard rest.removeFirst() | 32 == UInt8(ascii: "e") else { return false }
        if isSign(rest.first) { rest.removeFirst() }
        return !rest.isEmpty && rest.allSatisfy(isDigit)
    }
}
