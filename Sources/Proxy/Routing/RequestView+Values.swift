extension RequestView {
    /// The value of the first field of this kind; nil if there is none.
    public func slice(of known: KnownField) -> HeadSlice? {
        for index in fields.indices where fields[index].known == known { return fields[index].value }
        return nil
    }

    /// The value of the first query parameter of this name, as it is written; nil if there is none. Without `=` it is empty.
    func parameter(_ name: RawSpan) -> HeadSlice? {
        guard head.hasQuery else { return nil }
        let query = bytes[head.query]
        var start = 0
        while start <= query.byteCount {
            let end = ByteText.index(of: UInt8(ascii: "&"), in: query, from: start) ?? query.byteCount
            let nameEnd = start + name.byteCount
            if nameEnd <= end, ByteText.contains(query, at: start, name) {
                if nameEnd == end { return slice(end..<end) }
                if query[nameEnd] == UInt8(ascii: "=") { return slice(nameEnd + 1..<end) }
            }
            start = end + 1
        }
        return nil
    }

    /// A part of the query.
    private func slice(_ range: Range<Int>) -> HeadSlice {
        HeadSlice(
            start: head.query.start + UInt16(truncatingIfNeeded: range.lowerBound),
            count: UInt16(truncatingIfNeeded: range.count))
    }
}
