/// A position among the tokens of a request.
struct TokenCursor: BitwiseCopyable {
    fileprivate var location = 0
    fileprivate var field = 0
    fileprivate var crumb = 0
}

/// A token that was found.
struct FoundToken: BitwiseCopyable {
    /// In the bytes of the head.
    var slice: HeadSlice
    /// In `AuthenticationTable.locations`.
    var location: Int
}

extension AuthenticationTable {
    /// The next token of a request, in the order of the places where they may be; nil after the last.
    func next(_ cursor: inout TokenCursor, service: Int, _ view: borrowing RequestView) -> FoundToken? {
        let run = services[service].locations
        while cursor.location < Int(run.count) {
            let place = Int(run.start) + cursor.location
            let location = locations[place]
            switch location.kind {
            case .header:
                while cursor.field < view.fields.count {
                    let field = view.fields[cursor.field]
                    cursor.field += 1
                    guard let token = token(in: field, location, view.bytes) else { continue }
                    return FoundToken(slice: token, location: place)
                }
            case .parameter:
                if cursor.field == 0, let value = view.parameter(text(location.name)), !value.isEmpty {
                    cursor.field = 1
                    return FoundToken(slice: value, location: place)
                }
            case .cookie:
                while cursor.field < view.fields.count {
                    let field = view.fields[cursor.field]
                    guard field.known == .cookie else {
                        cursor.field += 1
                        continue
                    }
                    while let crumb = Self.nextCrumb(&cursor.crumb, view.bytes[field.value]) {
                        guard ByteText.equal(crumb.name, text(location.name)), crumb.value.count > 0 else { continue }
                        let start = Int(field.value.start) + crumb.value.lowerBound
                        return FoundToken(
                            slice: HeadSlice(start: UInt16(start), count: UInt16(crumb.value.count)), location: place)
                    }
                    cursor.field += 1
                    cursor.crumb = 0
                }
            }
            cursor = TokenCursor(location: cursor.location + 1)
        }
        return nil
    }

    /// The token in a field, if it is there.
    func token(in field: HeadField, _ location: TokenLocation, _ bytes: RawSpan) -> HeadSlice? {
        guard field.name.count == location.name.count,
            ByteText.equalIgnoringCase(bytes[field.name], text(location.name))
        else { return nil }
        let value = bytes[field.value]
        let prefix = text(location.prefix)
        guard value.byteCount > prefix.byteCount else { return nil }
        let start = value.extracting(0..<prefix.byteCount)
        // An authentication scheme has no case (RFC 9110 section 11.1).
        guard location.isAuthorization ? ByteText.equalInAnyCase(start, prefix) : ByteText.equal(start, prefix) else {
            return nil
        }
        var first = prefix.byteCount
        while first < value.byteCount, value[first].isWhiteSpace { first += 1 }
        return HeadSlice(
            start: field.value.start + UInt16(truncatingIfNeeded: first),
            count: UInt16(truncatingIfNeeded: value.byteCount - first))
    }

    struct Crumb: ~Escapable {
        let name: RawSpan
        /// Places in the field's value.
        let value: Range<Int>
        /// With the separator behind it.
        let whole: Range<Int>

        @_lifetime(copy name)
        init(name: RawSpan, value: Range<Int>, whole: Range<Int>) {
            self.name = name
            self.value = value
            self.whole = whole
        }
    }

    /// One pair of the field Cookie (RFC 6265 section 4.2).
    @_lifetime(copy text)
    static func nextCrumb(_ position: inout Int, _ text: RawSpan) -> Crumb? {
        let start = position
        guard start < text.byteCount else { return nil }
        let end = ByteText.index(of: UInt8(ascii: ";"), in: text, from: start) ?? text.byteCount
        position = min(end + 1, text.byteCount)
        var first = start
        while first < end, text[first].isWhiteSpace { first += 1 }
        var last = end
        while last > first, text[last - 1].isWhiteSpace { last -= 1 }
        guard let equals = ByteText.index(of: UInt8(ascii: "="), in: text.extracting(0..<last), from: first) else {
            return Crumb(name: text.extracting(first..<last), value: last..<last, whole: start..<position)
        }
        return Crumb(name: text.extracting(first..<equals), value: equals + 1..<last, whole: start..<position)
    }
}
