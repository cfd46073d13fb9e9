/// Brings a request's path to its normal form, in which it is matched, logged and forwarded: what a rule decides about is
/// what the backend gets (RFC 3986 section 6.2.2, and Istio's MERGE_SLASHES).
///
/// Escapes of unreserved characters are decoded, once; other escapes get upper-case digits; what may not stand in a path
/// (such as `|`) is escaped, so that it has one spelling; `\` becomes `/`; dot segments are removed; repeated slashes are
/// merged. The normal form of a normal form is itself.
public enum PathNormalizer {
    public enum Result: BitwiseCopyable, Sendable, Equatable {
        /// How many bytes of the output are the path.
        case normalized(count: Int)
        case rejected(PathError)
    }

    /// Writes the normal form of `path`, which starts with `/` and has no query, into `output`, which must not overlap it.
    /// It is as long as `path` at most, unless something has to be escaped: then up to three times as long. With
    /// `rejectsEncodedSlashes`, which every path rule needs, `%2F` and `%5C` are refused, because backends differ in
    /// whether they are separators; otherwise they stay as they are.
    public static func normalize(
        _ path: RawSpan, rejectsEncodedSlashes: Bool, into output: inout MutableSpan<UInt8>
    ) -> Result {
        var count = 0
        var index = 0
        while index < path.byteCount {
            var byte = path[index]
            index += 1
            if byte == UInt8(ascii: "%") {
                guard index + 1 < path.byteCount, let high = path[index].hexValue, let low = path[index + 1].hexValue
                else { return .rejected(.invalidEscape) }
                index += 2
                let decoded = high << 4 | low
                switch decoded {
                case 0: return .rejected(.encodedNUL)
                case UInt8(ascii: "/"), UInt8(ascii: "\\"):
                    if rejectsEncodedSlashes { return .rejected(.encodedSlash) }
                default: break
                }
                guard ByteClass.unreserved.contains(decoded) else {
                    guard escape(decoded, &output, &count) else { return .rejected(.tooLong) }
                    continue
                }
                byte = decoded
            } else if byte == UInt8(ascii: "\\") {
                byte = UInt8(ascii: "/")
            } else if ByteClass.escaped.contains(byte) {
                guard escape(byte, &output, &count) else { return .rejected(.tooLong) }
                continue
            }
            if byte == UInt8(ascii: "/") {
                if let error = endSegment(&output, &count, isLast: false) { return .rejected(error) }
            }
            guard count < output.count else { return .rejected(.tooLong) }
            output[count] = byte
            count += 1
        }
        if let error = endSegment(&output, &count, isLast: true) { return .rejected(error) }
        return .normalized(count: mergeSlashes(&output, count: count))
    }

    /// Removes the segment that ends at `count` if it is a dot segment, with the segment before it if it is `..`. Above the
    /// root there is only the root (RFC 3986 section 5.2.4). If more segments follow, the slash before the removed segment
    /// goes too, as the one behind it is about to be written.
    private static func endSegment(
        _ output: inout MutableSpan<UInt8>, _ count: inout Int, isLast: Bool
    ) -> PathError? {
        var start = count
        while start > 0, output[start - 1] != UInt8(ascii: "/") { start -= 1 }
        guard start > 0, start < count, output[start] == UInt8(ascii: ".") else { return nil }
        let isParent = start + 1 < count && output[start + 1] == UInt8(ascii: ".")
        let dotsEnd = start + (isParent ? 2 : 1)
        guard dotsEnd == count else {
            // Some servers strip what follows the semicolon before they look for dot segments.
            return output[dotsEnd] == UInt8(ascii: ";") ? .dotSegmentWithParameter : nil
        }
        // `start` is behind a slash.
        count = start
        if isParent, count > 1 {
            count -= 1
            while count > 0, output[count - 1] != UInt8(ascii: "/") { count -= 1 }
        }
        if !isLast { count -= 1 }
        return nil
    }

    private static func mergeSlashes(_ output: inout MutableSpan<UInt8>, count: Int) -> Int {
        var written = 0
        for index in 0..<count {
            if output[index] == UInt8(ascii: "/"), written > 0, output[written - 1] == UInt8(ascii: "/") { continue }
            output[written] = output[index]
            written += 1
        }
        return written
    }

    /// False: there is no room.
    private static func escape(_ byte: UInt8, _ output: inout MutableSpan<UInt8>, _ count: inout Int) -> Bool {
        guard count + 3 <= output.count else { return false }
        output[count] = UInt8(ascii: "%")
        output[count + 1] = upperHex(byte >> 4)
        output[count + 2] = upperHex(byte & 15)
        count += 3
        return true
    }

    private static func upperHex(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") + digit - 10
    }
}

/// Why a path is refused, with 400.
public enum PathError: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case invalidEscape, encodedNUL, encodedSlash, dotSegmentWithParameter, tooLong

    /// The precise reason, for people.
    public var text: StaticString {
        switch self {
        case .invalidEscape: "the path has a % that two hexadecimal digits do not follow"
        case .encodedNUL: "the path has an encoded NUL"
        case .encodedSlash: "the path has an encoded slash or backslash"
        case .dotSegmentWithParameter: "the path has a dot segment with a parameter"
        case .tooLong: "the path is too long"
        }
    }
}
