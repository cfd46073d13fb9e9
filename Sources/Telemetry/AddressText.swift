public import WeftABI

/// Addresses of the kernel plane as text.
public enum AddressText {
    /// IPv4 in dotted form, IPv6 as RFC 5952 wants it.
    public static func text(_ address: weft_address) -> String {
        let high = UInt64(bigEndian: address.high)
        let low = UInt64(bigEndian: address.low)
        if high == 0, low >> 32 == 0xffff {
            return (0..<4).map { String(low >> (24 - 8 * $0) & 0xff) }.joined(separator: ".")
        }
        let groups = [high, low].flatMap { half in (0..<4).map { half >> (48 - 16 * $0) & 0xffff } }
        let zeros = longestZeros(groups)
        guard zeros.count >= 2 else { return hex(groups[...]) }
        return hex(groups[..<zeros.lowerBound]) + "::" + hex(groups[zeros.upperBound...])
    }

    /// With a port in network order: `10.0.0.1:80`, `[2001:db8::1]:80`.
    public static func text(_ address: weft_address, port: UInt16) -> String {
        let address = text(address)
        return address.contains(":")
            ? "[\(address)]:\(UInt16(bigEndian: port))" : "\(address):\(UInt16(bigEndian: port))"
    }

    private static func hex(_ groups: ArraySlice<UInt64>) -> String {
        groups.map { String($0, radix: 16) }.joined(separator: ":")
    }

    /// The longest run of zero groups, the first of equals.
    private static func longestZeros(_ groups: [UInt64]) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for index in 0...groups.count where index == groups.count || groups[index] != 0 {
            if index - start > longest.count { longest = start..<index }
            start = index + 1
        }
        return longest
    }
}
