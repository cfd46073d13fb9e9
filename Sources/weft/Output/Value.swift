/// What a command answers, for programs: the tree that `-o json` and `-o yaml` print. Objects keep the order in which
/// their keys were written, so that equal answers are equal texts.
enum Value: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    case number(Double)
    case string(String)
    case array([Value])
    case object(Object)

    /// An object's members in order; keys are unique.
    struct Object: Equatable, Sendable, ExpressibleByDictionaryLiteral {
        private(set) var members: [Member] = []

        struct Member: Equatable, Sendable {
            var key: String
            var value: Value
        }

        init(dictionaryLiteral elements: (String, Value)...) {
            for (key, value) in elements { self[key] = value }
        }

        init(_ elements: [(String, Value)] = []) {
            for (key, value) in elements { self[key] = value }
        }

        /// Setting nil leaves the object without the key.
        subscript(key: String) -> Value? {
            get { members.first { $0.key == key }?.value }
            set {
                let index = members.firstIndex { $0.key == key }
                switch (index, newValue) {
                case (let index?, let value?): members[index].value = value
                case (let index?, nil): members.remove(at: index)
                case (nil, let value?): members.append(Member(key: key, value: value))
                case (nil, nil): break
                }
            }
        }
    }

    /// The hexadecimal form of an identifier: JSON numbers lose the low bits of a 64-bit one in many readers.
    static func identifier(_ id: UInt64) -> Value { .string(hexadecimal(id)) }

    /// `value`, or null.
    static func optional(_ text: String?) -> Value { text.map(Value.string) ?? .null }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int64) { self = .integer(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(arrayLiteral elements: Value...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, Value)...) { self = .object(Object(elements)) }

    init(_ value: some BinaryInteger) {
        self = Int64(exactly: value).map(Value.integer) ?? .unsigned(UInt64(truncatingIfNeeded: value))
    }
}

/// `0x` and 16 digits: how identifiers are shown and read.
func hexadecimal(_ id: UInt64) -> String {
    let digits = String(id, radix: 16)
    return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
}
