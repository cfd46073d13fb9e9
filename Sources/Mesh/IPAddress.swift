/// An IP address in the one normal form that the whole data plane uses: 16 bytes in network order, IPv4 as IPv4-mapped
/// IPv6 (RFC 4291 §2.5.5.2).
///
/// `high` and `low` hold bytes 0...7 and 8...15 as they lie in memory, so the value can be copied into a map key as is.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The 16 bytes in network order.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == 16, "an IP address has 16 bytes in normal form")
        func word(_ slice: ArraySlice<UInt8>) -> UInt64 {
            UInt64(bigEndian: slice.reduce(0) { $0 << 8 | UInt64($1) })
        }
        self.init(high: word(bytes[0..<8]), low: word(bytes[8..<16]))
    }

    /// The 16 bytes in network order.
    public var bytes: [UInt8] {
        [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word.bigEndian >> (56 - 8 * $0)) } }
    }

    /// Whether this is an IPv4 address in mapped form.
    public var isIPv4: Bool { high == 0 && UInt32(truncatingIfNeeded: UInt64(bigEndian: low) >> 32) == 0x0000_ffff }

    /// Whether this is in 127.0.0.0/8 or is ::1.
    public var isLoopback: Bool {
        isIPv4 ? bytes[12] == 127 : high == 0 && UInt64(bigEndian: low) == 1
    }

    /// Whether this is 0.0.0.0 or ::.
    public var isUnspecified: Bool { isIPv4 ? UInt64(bigEndian: low) & 0xffff_ffff == 0 : high == 0 && low == 0 }
}
