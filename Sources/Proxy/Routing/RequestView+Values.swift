extension RequestView {
    /// The value of the first field of this kind; nil if there is none.
    public func slice(of known: KnownField) -> HeadSlice? {
        for index in fields.indices where fields[index].known == known { return fields[index].value }
        return nil
    }

    /// The value of the first field of this name, which is lower-case; nil if there is none.
    public func header(_ name: RawSpan) -> HeadSlice? {
        for index in fields.indices {
            let field = fields[index]
            if Int(field.name.count) == name.byteCount, ByteText.equalIgnoringCase(bytes[field.name], name) {
                return field.value
            }
        }
        return nil
    }

    /// The value of the first query parameter of this name, as it is written; nil if there is none. Without `=` it is empty.
    public func parameter(_ name: RawSpan) -> HeadSlice? {
        head.hasQuery ? value(name, in: head.query, separator: UInt8(ascii: "&"), skipsBlanks: false) : nil
    }

    /// The value of the first cookie of this name (RFC 6265 section 5.4); nil if there is none.
    public func cookie(_ name: RawSpan) -> HeadSlice? {
        for index in fields.indices where fields[index].known == .cookie {
            if let found = value(name, in: fields[index].value, separator: UInt8(ascii: ";"), skipsBlanks: true) {
                return found
            }
        }
        return nil
    }

    /// Of a list of `name=value`.
    private func value(_ name: RawSpan, in list: HeadSlice, separator: UInt8, skipsBlanks: Bool) -> HeadSlice? {
        let text = bytes[list]
        var start = 0
        while start <= text.byteCount {
            let end = ByteText.index(of: separator, in: text, from: start) ?? text.byteCount
            while skipsBlanks, start < end, text[start] == UInt8(ascii: " ") { start += 1 }
            let nameEnd = start + name.byteCount
            if nameEnd <= end, ByteText.contains(text, at: start, name) {
                if nameEnd == end { return slice(of: list, end..<end) }
                if text[nameEnd] == UInt8(ascii: "=") { return slice(of: list, nameEnd + 1..<end) }
            }
            start = end + 1
        }
        return nil
    }

    private func slice(of list: HeadSlice, _ range: Range<Int>) -> HeadSlice {
        HeadSlice(
            start: list.start + UInt16(truncatingIfNeeded: range.lowerBound),
            count: UInt16(truncatingIfNeeded: range.count))
    }
}
