/// Why a text is not read as JSON.
enum JSONError: Error, Equatable, Sendable {
    case syntax, notUTF8, tooDeep, tooManyValues, duplicateMember, loneSurrogate
}

extension JSONArena {
    /// Arrays and objects in each other.
    static let maximumDepth = 16
    /// Of one object.
    static let maximumMembers = 256

    /// Reads the text that was appended, strictly (RFC 8259): one value with nothing behind it, UTF-8, no name twice in
    /// an object. Escapes are replaced in place: what they stand for is never longer than they are.
    mutating func read() throws(JSONError) {
        var position = 0
        skipSpace(&position)
        try readValue(&position, name: .empty, depth: 0)
        skipSpace(&position)
        guard position == byteCount else { throw .syntax }
    }

    private mutating func readValue(_ position: inout Int, name: JSONSlice, depth: Int) throws(JSONError) {
        guard position < byteCount else { throw .syntax }
        switch self[position] {
        case UInt8(ascii: "{"): try readObject(&position, name: name, depth: depth + 1)
        case UInt8(ascii: "["): try readArray(&position, name: name, depth: depth + 1)
        case UInt8(ascii: "\""):
            let text = try readString(&position)
            try add(.string, name, text)
        case UInt8(ascii: "t"): try readWord("true", .yes, name, &position)
        case UInt8(ascii: "f"): try readWord("false", .no, name, &position)
        case UInt8(ascii: "n"): try readWord("null", .null, name, &position)
        default: try add(.number, name, readNumber(&position))
        }
    }

    private mutating func readObject(_ position: inout Int, name: JSONSlice, depth: Int) throws(JSONError) {
        guard depth <= Self.maximumDepth else { throw .tooDeep }
        let object = nodeCount
        try add(.object, name, .empty)
        position += 1
        skipSpace(&position)
        if try take(UInt8(ascii: "}"), &position) {
            close(object)
            return
        }
        var members = 0
        while true {
            guard position < byteCount, self[position] == UInt8(ascii: "\"") else { throw .syntax }
            let member = try readString(&position)
            members += 1
            guard members <= Self.maximumMembers else { throw .tooManyValues }
            close(object)
            guard !has(member, in: object) else { throw .duplicateMember }
            skipSpace(&position)
            guard try take(UInt8(ascii: ":"), &position) else { throw .syntax }
            skipSpace(&position)
            try readValue(&position, name: member, depth: depth)
            skipSpace(&position)
            if try take(UInt8(ascii: "}"), &position) { break }
            guard try take(UInt8(ascii: ","), &position) else { throw .syntax }
            skipSpace(&position)
        }
        close(object)
    }

    private mutating func readArray(_ position: inout Int, name: JSONSlice, depth: Int) throws(JSONError) {
        guard depth <= Self.maximumDepth else { throw .tooDeep }
        let array = nodeCount
        try add(.array, name, .empty)
        position += 1
        skipSpace(&position)
        if try take(UInt8(ascii: "]"), &position) {
            close(array)
            return
        }
        while true {
            try readValue(&position, name: .empty, depth: depth)
            skipSpace(&position)
            if try take(UInt8(ascii: "]"), &position) { break }
            guard try take(UInt8(ascii: ","), &position) else { throw .syntax }
            skipSpace(&position)
        }
        close(array)
    }

    private func has(_ name: JSONSlice, in object: Int) -> Bool {
        view.member(view.text.extracting(name.range), of: object) != nil
    }

    private mutating func add(_ kind: JSONNode.Kind, _ name: JSONSlice, _ text: JSONSlice) throws(JSONError) {
        let node = JSONNode(kind: kind, name: name, text: text, end: UInt32(nodeCount + 1))
        guard append(node) else { throw .tooManyValues }
    }

    private func skipSpace(_ position: inout Int) {
        while position < byteCount {
            switch self[position] {
            case .space, .tab, .lineFeed, .carriageReturn: position += 1
            default: return
            }
        }
    }

    /// The text may not end here.
    private func take(_ byte: UInt8, _ position: inout Int) throws(JSONError) -> Bool {
        guard position < byteCount else { throw .syntax }
        guard self[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func readWord(
        _ word: StaticString, _ kind: JSONNode.Kind, _ name: JSONSlice, _ position: inout Int
    ) throws(JSONError) {
        let count = word.utf8CodeUnitCount
        guard position + count <= byteCount, ByteText.equal(view.text.extracting(position..<position + count), word)
        else { throw .syntax }
        position += count
        try add(kind, name, .empty)
    }

    private func readNumber(_ position: inout Int) throws(JSONError) -> JSONSlice {
        let start = position
        func digits() -> Int {
            let first = position
            while position < byteCount, self[position].isDigit { position += 1 }
            return position - first
        }
        func skip(_ byte: UInt8) -> Bool {
            guard position < byteCount, self[position] == byte else { return false }
            position += 1
            return true
        }
        _ = skip(UInt8(ascii: "-"))
        // No leading zeros.
        if !skip(UInt8(ascii: "0")) {
            guard digits() > 0 else { throw .syntax }
        }
        if skip(UInt8(ascii: ".")) {
            guard digits() > 0 else { throw .syntax }
        }
        if skip(UInt8(ascii: "e")) || skip(UInt8(ascii: "E")) {
            if !skip(UInt8(ascii: "+")) { _ = skip(UInt8(ascii: "-")) }
            guard digits() > 0 else { throw .syntax }
        }
        return JSONSlice(start: UInt32(start), count: UInt32(position - start))
    }
}
