/// Single values of a request, as places in its bytes: the first one where there are several.
extension RequestView {
    /// - Parameter name: lower-case.
    func header(_ name: RawSpan) -> HeadSlice? {
        for index in fields.indices
        where ByteText.equalIgnoringCase(bytes[fields[index].name], name) {
            return fields[index].value
        }
        return nil
    }

    /// RFC 6265, section 4.2; the value without quotes.
    func cookie(_ name: RawSpan) -> HeadSlice? {
        for index in fields.indices where fields[index].known == .cookie {
            let value = fields[index].value
            var start = value.range.lowerBound
            while start < value.range.upperBound {
                var end = start
                while end < value.range.upperBound, bytes[end] != UInt8(ascii: ";") { end += 1 }
                if let found = pair(start..<end, name) { return found }
                start = end + 1
            }
        }
        return nil
    }

    /// The part's value, if `name` is what it is called.
    private func pair(_ part: Range<Int>, _ name: RawSpan) -> HeadSlice? {
        var start = part.lowerBound
        var end = part.upperBound
        while start < end, bytes[start] == UInt8(ascii: " ") || bytes[start] == UInt8(ascii: "\t") { start += 1 }
        while end > start, bytes[end - 1] == UInt8(ascii: " ") || bytes[end - 1] == UInt8(ascii: "\t") { end -= 1 }
        let afterName = start + name.byteCount
        guard afterName < end, bytes[afterName] == UInt8(ascii: "="), ByteText.contains(bytes, at: start, name) else {
            return nil
        }
        start = afterName + 1
        if end - start >= 2, bytes[start] == UInt8(ascii: "\""), bytes[end - 1] == UInt8(ascii: "\"") {
            start += 1
            end -= 1
        }
        return HeadSlice(start: UInt16(start), count: UInt16(end - start))
    }

    /// A parameter of the query, as it is written.
    func query(_ name: RawSpan) -> HeadSlice? {
        guard head.hasQuery else { return nil }
        var start = head.query.range.lowerBound
        while start < head.query.range.upperBound {
            var end = start
            while end < head.query.range.upperBound, bytes[end] != UInt8(ascii: "&") { end += 1 }
            let afterName = start + name.byteCount
            if afterName < end, bytes[afterName] == UInt8(ascii: "="), ByteText.contains(bytes, at: start, name) {
                return HeadSlice(start: UInt16(afterName + 1), count: UInt16(end - afterName - 1))
            }
            start = end + 1
        }
        return nil
    }
}
