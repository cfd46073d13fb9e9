/// Reads the field lines of a head and what they mean for the message as a whole. Requests and responses share it.
struct FieldReader {
    private(set) var contentLength: UInt64?
    private(set) var isChunked = false
    private(set) var host = HeadSlice.empty
    private(set) var hasHost = false
    private(set) var upgrade = HeadSlice.empty
    private(set) var hasUpgrade = false
    private var upgradeEvades = false
    private(set) var expectsContinue = false
    private(set) var acceptsTrailers = false
    private(set) var hasEnvoyFields = false
    // Of Connection.
    private(set) var isClosing = false
    private(set) var isKeepAlive = false
    private(set) var namesUpgrade = false
    private(set) var hasConnectionOptions = false

    private let isRequest: Bool

    init(isRequest: Bool) { self.isRequest = isRequest }

    /// Reads lines from `position` on, until the empty line; `position` is then behind it. Nothing at or after `end` is
    /// looked at.
    @inline(__always)
    mutating func read(
        _ bytes: RawSpan, at position: inout Int, end: Int, into table: inout FieldTable
    ) -> HeadResult {
        while position < end {
            let start = position
            let nameEnd = bytes.endOfRun(of: .token, from: start, end: end)
            guard nameEnd < end else { return .needMore }
            guard nameEnd > start, bytes[nameEnd] == UInt8(ascii: ":") else {
                return endOrFault(bytes, at: &position, nameEnd: nameEnd, end: end)
            }
            var valueStart = nameEnd + 1
            while valueStart < end, bytes[valueStart].isWhiteSpace { valueStart += 1 }
            let lineEnd = bytes.endOfValue(from: valueStart, end: end)
            guard lineEnd + 1 < end else { return Self.unfinishedLine(bytes, at: lineEnd, end: end) }
            guard bytes[lineEnd] == .carriageReturn, bytes[lineEnd + 1] == .lineFeed else {
                return .failed(Self.fault(at: bytes[lineEnd], otherwise: .invalidFieldValue))
            }
            var valueEnd = lineEnd
            while valueEnd > valueStart, bytes[valueEnd - 1].isWhiteSpace { valueEnd -= 1 }

            let name = HeadSlice(from: start, to: nameEnd)
            let field = HeadField(
                name: name, value: HeadSlice(from: valueStart, to: valueEnd),
                line: HeadSlice(from: start, to: lineEnd + 2), known: KnownField(name, in: bytes))
            guard table.append(field) else { return .failed(.tooManyFields) }
            if field.known == .other {
                guard !Self.imitates(name, in: bytes) else { return .failed(.misleadingFieldName) }
            } else if let error = interpret(field, in: bytes) {
                return .failed(error)
            }
            position = lineEnd + 2
        }
        return .needMore
    }

    /// The line does not start with a name and a colon: the empty line that ends the head, or a fault.
    private func endOrFault(_ bytes: RawSpan, at position: inout Int, nameEnd: Int, end: Int) -> HeadResult {
        let byte = bytes[nameEnd]
        guard nameEnd == position else {
            let isEndOfLine = byte == .carriageReturn || byte == .lineFeed
            return .failed(isEndOfLine ? .missingColon : .invalidFieldName)
        }
        switch byte {
        case .carriageReturn:
            guard position + 1 < end else { return .needMore }
            guard bytes[position + 1] == .lineFeed else { return .failed(.bareCarriageReturn) }
            position += 2
            return .complete
        case .lineFeed: return .failed(.bareLineFeed)
        case .space, .tab: return .failed(.foldedField)
        case UInt8(ascii: ":"): return .failed(.emptyFieldName)
        default: return .failed(.invalidFieldName)
        }
    }

    /// The bytes end in or right behind a value. What is wrong already is said now.
    private static func unfinishedLine(_ bytes: RawSpan, at lineEnd: Int, end: Int) -> HeadResult {
        guard lineEnd < end, bytes[lineEnd] != .carriageReturn else { return .needMore }
        return .failed(fault(at: bytes[lineEnd], otherwise: .invalidFieldValue))
    }

    /// Whether a name is one that frames the message, or that the proxy vouches for, but for underscores: CGI and what
    /// descends from it (WSGI, Rack, PHP) take them for hyphens.
    @inline(__always)
    private static func imitates(_ name: HeadSlice, in bytes: RawSpan) -> Bool {
        // The shortest and the longest of the names below.
        guard name.count >= 14, name.count <= 17 else { return false }
        for index in name.range where bytes[index] == UInt8(ascii: "_") { return imitatesSlowly(name, in: bytes) }
        return false
    }

    private static func imitatesSlowly(_ name: HeadSlice, in bytes: RawSpan) -> Bool {
        names: for imitated in imitatedNames where imitated.utf8CodeUnitCount == Int(name.count) {
            let letters = RawSpan(imitated)
            for (place, index) in name.range.enumerated() {
                let byte = bytes[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : bytes[index] | 0x20
                if byte != letters[place] { continue names }
            }
            return true
        }
        return false
    }

    private static let imitatedNames: [StaticString] = [
        "content-length", "transfer-encoding", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    ]

    static func fault(at byte: UInt8, otherwise error: HeadError) -> HeadError {
        switch byte {
        case .carriageReturn: .bareCarriageReturn
        case .lineFeed: .bareLineFeed
        default: error
        }
    }

    // MARK: - Meaning

    private mutating func interpret(_ field: HeadField, in bytes: RawSpan) -> HeadError? {
        switch field.known {
        case .contentLength: return readContentLength(field.value, in: bytes)
        case .transferEncoding: return readTransferEncoding(field.value, in: bytes)
        case .connection: return readConnection(field.value, in: bytes)
        case .host where isRequest:
            guard !hasHost else { return .duplicateHost }
            hasHost = true
            host = field.value
        case .upgrade: readUpgrade(field.value, in: bytes)
        case .expect where isRequest:
            guard bytes.equals(field.value, ignoringCase: "100-continue") else { return .unknownExpectation }
            expectsContinue = true
        case .envoy: hasEnvoyFields = true
        case .te where isRequest:
            var list = ListElements(field.value)
            while let element = list.next(in: bytes) {
                if bytes.equals(element, ignoringCase: "trailers") { acceptsTrailers = true }
            }
        default: break
        }
        return nil
    }

    /// RFC 9112 section 6.3. A list of equal numbers, which a recipient may accept, is refused too.
    private mutating func readContentLength(_ value: HeadSlice, in bytes: RawSpan) -> HeadError? {
        guard contentLength == nil else { return .duplicateContentLength }
        // 18 digits are below 2^63, whatever they are.
        guard value.count > 0, value.count <= 18 else { return .invalidContentLength }
        var length: UInt64 = 0
        for index in value.range {
            guard bytes[index].isDigit else { return .invalidContentLength }
            length = length * 10 + UInt64(bytes[index] - UInt8(ascii: "0"))
        }
        contentLength = length
        return nil
    }

    /// RFC 9112 section 6.1: `chunked` alone is what Weft takes, and once. All else is refused, because who forwards a
    /// coding that it does not understand does not know where the message ends.
    private mutating func readTransferEncoding(_ value: HeadSlice, in bytes: RawSpan) -> HeadError? {
        guard !isChunked else { return .duplicateTransferEncoding }
        if bytes.equals(value, ignoringCase: "chunked") {
            isChunked = true
            return nil
        }
        guard !value.isEmpty else { return .invalidTransferEncoding }
        var list = ListElements(value)
        var sawChunked = false
        while let element = list.next(in: bytes) {
            let isToken =
                bytes.endOfRun(of: .token, from: element.range.lowerBound, end: element.range.upperBound)
                == element.range.upperBound
            guard !element.isEmpty, isToken, !sawChunked else { return .invalidTransferEncoding }
            sawChunked = bytes.equals(element, ignoringCase: "chunked")
        }
        return .unsupportedTransferEncoding
    }

    /// RFC 9110 section 7.6.1.
    private mutating func readConnection(_ value: HeadSlice, in bytes: RawSpan) -> HeadError? {
        var list = ListElements(value)
        while let element = list.next(in: bytes) {
            if element.isEmpty { continue }
            let range = element.range
            guard bytes.endOfRun(of: .token, from: range.lowerBound, end: range.upperBound) == range.upperBound else {
                return .invalidConnectionOption
            }
            if bytes.equals(element, ignoringCase: "close") {
                isClosing = true
            } else if bytes.equals(element, ignoringCase: "keep-alive") {
                isKeepAlive = true
            } else {
                let known = KnownField(element, in: bytes)
                guard known.mayBeConnectionOption else { return .invalidConnectionOption }
                if known == .upgrade { namesUpgrade = true }
                if known == .other || known == .envoy { hasConnectionOptions = true }
            }
        }
        return nil
    }

    /// RFC 9110 section 7.8. What would carry further requests past the proxy's rules is not passed on: HTTP/2 in clear
    /// text, another HTTP, TLS.
    private mutating func readUpgrade(_ value: HeadSlice, in bytes: RawSpan) {
        if !hasUpgrade { upgrade = value }
        hasUpgrade = true
        var list = ListElements(value)
        while let element = list.next(in: bytes) {
            let name = HeadSlice(
                from: element.range.lowerBound,
                to: bytes.endOfRun(of: .token, from: element.range.lowerBound, end: element.range.upperBound))
            if bytes.equals(name, ignoringCase: "h2c") || bytes.equals(name, ignoringCase: "http")
                || bytes.equals(name, ignoringCase: "tls")
            {
                upgradeEvades = true
            }
        }
    }

    /// RFC 9112 section 9.3.
    func isPersistent(minorVersion: UInt8) -> Bool {
        !isClosing && (minorVersion == 1 || isKeepAlive)
    }

    func wantsUpgrade(minorVersion: UInt8) -> Bool {
        minorVersion == 1 && namesUpgrade && hasUpgrade && !upgrade.isEmpty && !upgradeEvades
    }
}

/// The elements of a comma-separated list without the white space around them; empty ones too. Quoted strings are not
/// understood: no list that is read here has them.
struct ListElements {
    private var position: Int
    private let end: Int
    private var isDone = false

    init(_ list: HeadSlice) {
        position = list.range.lowerBound
        end = list.range.upperBound
    }

    mutating func next(in bytes: RawSpan) -> HeadSlice? {
        guard !isDone else { return nil }
        while position < end, bytes[position].isWhiteSpace { position += 1 }
        let start = position
        while position < end, bytes[position] != UInt8(ascii: ",") { position += 1 }
        var last = position
        while last > start, bytes[last - 1].isWhiteSpace { last -= 1 }
        if position == end {
            isDone = true
        } else {
            position += 1
        }
        return HeadSlice(from: start, to: last)
    }
}

extension HeadSlice {
    /// Both are at most `HeadLimits.head`.
    @inline(__always)
    init(from start: Int, to end: Int) {
        self.init(start: UInt16(truncatingIfNeeded: start), count: UInt16(truncatingIfNeeded: end - start))
    }
}
