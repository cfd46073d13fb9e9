/// Writes one JSON value (RFC 8259) with objects and arrays in it, members in the order in which they are added. What is
/// not known is null.
public struct JSONWriter {
    public private(set) var bytes: [UInt8] = []
    private var needsComma = false

    public init() {}

    public mutating func object(_ body: (inout JSONWriter) -> Void) { enclose("{", "}", body) }
    public mutating func array(_ body: (inout JSONWriter) -> Void) { enclose("[", "]", body) }

    /// The name of the member whose value comes next.
    public mutating func key(_ name: String) {
        separate()
        JSONObjectWriter.append(quoted: name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    public mutating func object(_ name: String, _ body: (inout JSONWriter) -> Void) {
        key(name)
        object(body)
    }

    public mutating func array(_ name: String, _ body: (inout JSONWriter) -> Void) {
        key(name)
        array(body)
    }

    public mutating func add(_ name: String, _ text: String?) {
        key(name)
        value(text)
    }

    /// - Parameter decimals: of which as many are written as there are; the rest is rounded away.
    public mutating func add(_ name: String, number: Double?, decimals: Int = 4) {
        key(name)
        value(number: number, decimals: decimals)
    }

    public mutating func add(_ name: String, integer: (some BinaryInteger)?) {
        key(name)
        raw(integer.map { "\($0)" } ?? "null")
    }

    public mutating func add(_ name: String, flag: Bool) {
        key(name)
        raw(flag ? "true" : "false")
    }

    public mutating func value(_ text: String?) {
        guard let text else { return raw("null") }
        separate()
        JSONObjectWriter.append(quoted: text, to: &bytes)
    }

    public mutating func value(number: Double?, decimals: Int = 4) {
        guard let number, number.isFinite else { return raw("null") }
        let scale = (0..<decimals).reduce(1.0) { scale, _ in scale * 10 }
        let rounded = abs(number) < 1e11 ? (number * scale).rounded() / scale : number
        raw(rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int64(rounded))" : "\(rounded)")
    }

    public mutating func null() { raw("null") }

    private mutating func raw(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func enclose(_ begin: Unicode.Scalar, _ end: Unicode.Scalar, _ body: (inout JSONWriter) -> Void) {
        separate()
        bytes.append(UInt8(ascii: begin))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: end))
        needsComma = true
    }
}
