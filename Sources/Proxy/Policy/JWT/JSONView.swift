/// One value of a JSON text. Values are in the order of the text; those in an object or array follow it directly.
struct JSONNode: BitwiseCopyable, Sendable {
    enum Kind: UInt8, BitwiseCopyable, Sendable {
        case null, no, yes, number, string, array, object
    }

    var kind: Kind
    /// Of a member of an object, without escapes.
    var name = JSONSlice.empty
    /// Of a number as it is written; of a string without its quotes and escapes.
    var text = JSONSlice.empty
    /// The first node that is neither this one nor in it.
    var end: UInt32
}

/// A place in the text of a JSON document.
struct JSONSlice: BitwiseCopyable, Sendable, Equatable {
    var start: UInt32
    var count: UInt32

    static let empty = JSONSlice(start: 0, count: 0)

    var range: Range<Int> { Int(start)..<(Int(start) + Int(count)) }
}

/// A JSON document that was read: its values, by their places in its text. The first node is the document's value.
struct JSONView: ~Escapable {
    let text: RawSpan
    let nodes: Span<JSONNode>

    @_lifetime(copy text, copy nodes)
    init(text: RawSpan, nodes: Span<JSONNode>) {
        self.text = text
        self.nodes = nodes
    }

    static let root = 0

    func kind(_ node: Int) -> JSONNode.Kind { nodes[node].kind }

    /// Of a string or number.
    @_lifetime(copy self)
    func text(of node: Int) -> RawSpan { text.extracting(nodes[node].text.range) }

    @_lifetime(copy self)
    func name(of node: Int) -> RawSpan { text.extracting(nodes[node].name.range) }

    /// The first value in an array or object; nil if it is empty, or is neither.
    func first(in node: Int) -> Int? { node + 1 < Int(nodes[node].end) ? node + 1 : nil }

    /// The value after one in the same array or object.
    func next(after node: Int, in parent: Int) -> Int? {
        let next = Int(nodes[node].end)
        return next < Int(nodes[parent].end) ? next : nil
    }

    /// A member of an object by its name; nil if there is none, or `object` is none.
    func member(_ name: RawSpan, of object: Int = root) -> Int? {
        guard nodes[object].kind == .object else { return nil }
        var next = first(in: object)
        while let node = next {
            if ByteText.equal(self.name(of: node), name) { return node }
            next = self.next(after: node, in: object)
        }
        return nil
    }

    func member(_ name: StaticString, of object: Int = root) -> Int? {
        unsafe member(RawSpan(_unsafeStart: name.utf8Start, byteCount: name.utf8CodeUnitCount), of: object)
    }

    /// A member's string; nil if there is none, or it is something else.
    @_lifetime(copy self)
    func string(_ name: StaticString, of object: Int = root) -> RawSpan? {
        guard let node = member(name, of: object), nodes[node].kind == .string else { return nil }
        return text(of: node)
    }

    /// A NumericDate (RFC 7519 section 2), without its fraction; nil if it is none between 1970 and the year 9999.
    func seconds(_ node: Int) -> UInt64? {
        guard nodes[node].kind == .number else { return nil }
        let digits = text(of: node)
        var value: UInt64 = 0
        var index = 0
        while index < digits.byteCount, digits[index].isDigit {
            value = value * 10 + UInt64(digits[index] &- UInt8(ascii: "0"))
            guard value <= 253_402_300_799 else { return nil }
            index += 1
        }
        guard index > 0 else { return nil }
        if index < digits.byteCount {
            guard digits[index] == UInt8(ascii: ".") else { return nil }
            for place in index + 1..<digits.byteCount where !digits[place].isDigit { return nil }
        }
        return value
    }
}
