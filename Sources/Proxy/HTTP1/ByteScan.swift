internal import CLinux

/// Bytes of a message by index, and the fast scans over them. All unsafe code of the HTTP/1 parser is in this file; every
/// function clamps its range to the span.
extension RawSpan {
    @inline(__always)
    subscript(index: Int) -> UInt8 {
        unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }

    @inline(__always)
    subscript(slice: HeadSlice) -> RawSpan {
        @_lifetime(copy self)
        get { extracting(slice.range) }
    }

    /// The index of the first byte at or after `from` that may not stand in a field's value, or `end`.
    @inline(__always)
    func endOfValue(from: Int, end: Int) -> Int {
        unsafe scan(from: from, end: end) { unsafe weft_scan_value($0, $1, $2) }
    }

    /// The index of the first line feed at or after `from`, or `end`.
    @inline(__always)
    func lineFeed(from: Int, end: Int) -> Int {
        unsafe scan(from: from, end: end) { unsafe weft_scan_line_feed($0, $1, $2) }
    }

    /// The index of the first byte at or after `from` that is not in `class`, or `end`.
    @inline(__always)
    func endOfRun(of class: ByteClass, from: Int, end: Int) -> Int {
        unsafe scan(from: from, end: end) { unsafe weft_scan_class($0, $1, $2, `class`.rawValue) }
    }

    /// The end of the path that starts at `from`, and whether the path may not be its own normal form.
    @inline(__always)
    func endOfPath(from: Int, end: Int) -> (end: Int, isSuspicious: Bool) {
        var isSuspicious = false
        let end = unsafe scan(from: from, end: end) {
            let found = unsafe weft_scan_path($0, $1, $2)
            isSuspicious = found.suspicious != 0
            return found.end
        }
        return (end, isSuspicious)
    }

    @inline(__always)
    private func scan(from: Int, end: Int, _ body: (UnsafePointer<UInt8>, Int, Int) -> Int) -> Int {
        let end = Swift.min(end, byteCount)
        guard from >= 0, from < end else { return end }
        return unsafe withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return end }
            return unsafe body(base.assumingMemoryBound(to: UInt8.self), from, end)
        }
    }

    /// Whether the bytes of `slice` are `text`, which must be lower-case ASCII letters, digits and "-" for it to be
    /// exact. Letters of the bytes may have either case.
    @inline(__always)
    func equals(_ slice: HeadSlice, ignoringCase text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard Int(slice.count) == count, Int(slice.start) + count <= byteCount else { return false }
        return unsafe withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return false }
            return unsafe weft_equals_lower(
                base.assumingMemoryBound(to: UInt8.self) + Int(slice.start), text.utf8Start, count) != 0
        }
    }
}

extension RawSpan {
    /// The bytes of a literal, which live as long as the program.
    @_lifetime(immortal)
    init(_ text: StaticString) {
        let span = unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        self = unsafe _overrideLifetime(span, copying: ())
    }
}

/// Sets of bytes, as tables of CLinux have them.
struct ByteClass {
    let rawValue: UInt8

    /// tchar (RFC 9110 section 5.6.2).
    static let token = ByteClass(rawValue: UInt8(WEFT_BYTE_TOKEN))
    /// tchar without lower-case letters.
    static let method = ByteClass(rawValue: UInt8(WEFT_BYTE_METHOD))
    /// Visible ASCII without `#`.
    static let target = ByteClass(rawValue: UInt8(WEFT_BYTE_TARGET))
    /// Visible ASCII that may not stand in a path as it is, and `%` (RFC 3986 section 3.3).
    static let escaped = ByteClass(rawValue: UInt8(WEFT_BYTE_ESCAPE))
    /// unreserved (RFC 3986 section 2.3).
    static let unreserved = host
    /// Letters, digits, `-`, `.`, `_` and `~`.
    static let host = ByteClass(rawValue: UInt8(WEFT_BYTE_HOST))
}

extension ByteClass {
    @inline(__always)
    func contains(_ byte: UInt8) -> Bool { weft_byte_is(byte, rawValue) != 0 }
}
