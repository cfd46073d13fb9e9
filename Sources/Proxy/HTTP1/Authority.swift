/// Host and port of an authority (RFC 3986 section 3.2, without user information), strictly: a name of letters, digits,
/// `-`, `.`, `_` and `~`, an IPv4 address, or an IPv6 address in brackets.
struct Authority {
    /// Without a trailing dot, in the case that it was written in.
    var host: HeadSlice
    var hasUppercase: Bool
    /// 0: none.
    var port: UInt16

    /// Nil for what is not one: no host, a port of no digits or beyond 1 to 65535, any other character.
    init?(_ text: HeadSlice, in bytes: RawSpan) {
        let start = text.range.lowerBound
        let end = text.range.upperBound
        guard start < end else { return nil }
        hasUppercase = false
        var hostEnd = start
        if bytes[start] == UInt8(ascii: "[") {
            hostEnd += 1
            while hostEnd < end, Self.isIPv6(bytes[hostEnd]) { hostEnd += 1 }
            guard hostEnd < end, bytes[hostEnd] == UInt8(ascii: "]"), hostEnd - start >= 3 else { return nil }
            hostEnd += 1
        } else {
            hostEnd = bytes.endOfRun(of: .host, from: start, end: end)
        }
        for index in start..<hostEnd where bytes[index].isUppercase {
            hasUppercase = true
            break
        }
        port = 0
        if hostEnd < end {
            guard bytes[hostEnd] == UInt8(ascii: ":"), let number = Self.port(bytes, from: hostEnd + 1, to: end) else {
                return nil
            }
            port = number
        }
        if hostEnd > start, bytes[hostEnd - 1] == UInt8(ascii: ".") { hostEnd -= 1 }
        guard hostEnd > start else { return nil }
        host = HeadSlice(from: start, to: hostEnd)
    }

    private static func isIPv6(_ byte: UInt8) -> Bool {
        byte.hexValue != nil || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }

    private static func port(_ bytes: RawSpan, from start: Int, to end: Int) -> UInt16? {
        guard start < end, end - start <= 5 else { return nil }
        var number: UInt32 = 0
        for index in start..<end {
            guard bytes[index].isDigit else { return nil }
            number = number * 10 + UInt32(bytes[index] - UInt8(ascii: "0"))
        }
        return number == 0 ? nil : UInt16(exactly: number)
    }
}

extension RawSpan {
    /// Writes `slice` with lower-case letters into `output`, and returns how many bytes it wrote: the whole slice, or as
    /// much of it as fits. For `RequestHead.host` when `hostHasUppercase`.
    public func lowercase(_ slice: HeadSlice, into output: inout MutableSpan<UInt8>) -> Int {
        let count = Swift.min(Int(slice.count), output.count)
        for index in 0..<count {
            let byte = self[Int(slice.start) + index]
            output[index] = byte.isUppercase ? byte | 0x20 : byte
        }
        return count
    }
}
