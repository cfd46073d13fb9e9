/// What authorizers change of a request and of its response: entries of a kind and a whole line each, one after the other.
struct HeaderChanges: ~Escapable {
    enum Kind: UInt8 {
        /// In place of the request's fields of that name.
        case set = 0x2b
        case append = 0x61
        /// The line has no value.
        case remove = 0x2d
        /// Of the response.
        case respond = 0x3e
    }

    let bytes: RawSpan

    @_lifetime(copy bytes)
    init(_ bytes: RawSpan) { self.bytes = bytes }

    struct Entry: ~Escapable {
        let kind: Kind
        let name: RawSpan
        let line: RawSpan

        @_lifetime(copy name, copy line)
        init(kind: Kind, name: RawSpan, line: RawSpan) {
            self.kind = kind
            self.name = name
            self.line = line
        }
    }

    @_lifetime(copy self)
    func next(_ position: inout Int) -> Entry? {
        guard position < bytes.byteCount, let kind = Kind(rawValue: bytes[position]),
            let end = ByteText.index(of: .lineFeed, in: bytes, from: position),
            let colon = ByteText.index(of: UInt8(ascii: ":"), in: bytes, from: position)
        else { return nil }
        let entry = Entry(
            kind: kind, name: bytes.extracting(position + 1..<colon), line: bytes.extracting(position + 1..<end + 1))
        position = end + 1
        return entry
    }

    /// Whether the request's own fields of this name are left out.
    func removes(_ name: RawSpan) -> Bool {
        var position = 0
        while let entry = next(&position) {
            switch entry.kind {
            case .set, .remove: if ByteText.equalInAnyCase(entry.name, name) { return true }
            case .append, .respond: break
            }
        }
        return false
    }

    /// Writes the lines that the request gets, or its response.
    func write(ofResponse: Bool, into scratch: inout Scratch) {
        var position = 0
        while let entry = next(&position) {
            switch entry.kind {
            case .set, .append: if !ofResponse { scratch.append(entry.line) }
            case .respond: if ofResponse { scratch.append(entry.line) }
            case .remove: break
            }
        }
    }

    /// Writes one entry; one whose field nobody may change, or that would end its line, is left out.
    static func add(_ kind: Kind, _ name: RawSpan, _ value: RawSpan, to scratch: inout Scratch) {
        guard isChangeable(name) else { return }
        for index in 0..<value.byteCount where value[index] < 0x20 && value[index] != .tab || value[index] == 0x7f {
            return
        }
        scratch.append(byte: kind.rawValue)
        scratch.append(name)
        scratch.append(": ")
        scratch.append(value)
        scratch.append("\r\n")
    }

    /// A token (RFC 9110 section 5.6.2) that neither frames a message nor belongs to its connection.
    static func isChangeable(_ name: RawSpan) -> Bool {
        guard name.byteCount > 0, name.byteCount < 256 else { return false }
        for index in 0..<name.byteCount {
            switch name[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"),
                UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "^")...UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
                break
            default: return false
            }
        }
        let known = KnownField(HeadSlice(start: 0, count: UInt16(name.byteCount)), in: name)
        return known.mayBeCopied
    }
}
