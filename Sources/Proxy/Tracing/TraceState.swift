/// `tracestate`: what others keep with a trace. It is passed on as it is, or not at all.
/// Source: https://www.w3.org/TR/trace-context-1/#tracestate-header
enum TraceState {
    private static let mostMembers = 32

    /// Whether a request's fields of that name, which count as one list, are well-formed.
    static func isValid(_ view: borrowing RequestView) -> Bool {
        var members = 0
        for index in view.fields.indices where view.fields[index].known == .tracestate {
            guard isValid(view.bytes[view.fields[index].value], &members) else { return false }
        }
        return true
    }

    static func isValid(_ text: RawSpan, _ members: inout Int) -> Bool {
        var start = 0
        while start <= text.byteCount {
            let end = ByteText.index(of: UInt8(ascii: ","), in: text, from: start) ?? text.byteCount
            var first = start
            var last = end
            while first < last, text[first].isWhiteSpace { first += 1 }
            while last > first, text[last - 1].isWhiteSpace { last -= 1 }
            start = end + 1
            // Members may be empty.
            guard first < last else { continue }
            members += 1
            guard members <= mostMembers, isMember(text.extracting(first..<last)) else { return false }
        }
        return true
    }

    private static func isMember(_ text: RawSpan) -> Bool {
        guard let equals = ByteText.index(of: UInt8(ascii: "="), in: text, from: 0) else { return false }
        return isKey(text.extracting(0..<equals)) && isValue(text.extracting(equals + 1..<text.byteCount))
    }

    /// `vendor`, or `tenant@vendor`.
    private static func isKey(_ key: RawSpan) -> Bool {
        guard let at = ByteText.index(of: UInt8(ascii: "@"), in: key, from: 0) else {
            return isName(key, most: 256, beginsWithDigit: false)
        }
        return isName(key.extracting(0..<at), most: 241, beginsWithDigit: true)
            && isName(key.extracting(at + 1..<key.byteCount), most: 14, beginsWithDigit: false)
    }

    private static func isName(_ name: RawSpan, most: Int, beginsWithDigit: Bool) -> Bool {
        guard name.byteCount > 0, name.byteCount <= most else { return false }
        for place in 0..<name.byteCount {
            switch name[place] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): continue
            case UInt8(ascii: "0")...UInt8(ascii: "9"): if place == 0, !beginsWithDigit { return false }
            case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "/"):
                if place == 0 { return false }
            default: return false
            }
        }
        return true
    }

    private static func isValue(_ value: RawSpan) -> Bool {
        guard value.byteCount > 0, value.byteCount <= 256 else { return false }
        for place in 0..<value.byteCount {
            let byte = value[place]
            guard byte >= 0x20, byte <= 0x7e, byte != UInt8(ascii: "=") else { return false }
        }
        return true
    }
}
