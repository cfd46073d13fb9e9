/// The `x-request-id` of a request that came without one: a random UUID (RFC 9562 section 5.4), as Envoy makes them.
public struct RequestID: BitwiseCopyable, Sendable, Equatable {
    private let high: UInt64
    private let low: UInt64

    /// Of 128 random bits.
    public init(random high: UInt64, _ low: UInt64) {
        self.high = high & ~0xf000 | 0x4000
        self.low = low & ~(3 << 62) | 1 << 63
    }

    /// `8c2bdb2c-3f75-4a2c-9f8e-0a5f0c3f7d11`.
    var text: InlineArray<36, UInt8> {
        var text = InlineArray<36, UInt8>(repeating: UInt8(ascii: "-"))
        var place = 0
        for digit in 0..<32 {
            if digit == 8 || digit == 12 || digit == 16 || digit == 20 { place += 1 }
            let half = digit < 16 ? high : low
            text[place] = Hexadecimal.digit(half >> UInt64(60 - (digit & 15) * 4))
            place += 1
        }
        return text
    }
}

enum Hexadecimal {
    /// Of the lowest four bits, in lower case.
    @inline(__always)
    static func digit(_ value: UInt64) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value & 15)
        return value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "a") &- 10 &+ value
    }

    /// nil: it is no digit in lower case.
    @inline(__always)
    static func value(_ digit: UInt8) -> UInt64? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(digit &- UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(digit &- UInt8(ascii: "a") &+ 10)
        default: nil
        }
    }

    /// Up to 16 digits; nil: they are none.
    static func number(_ text: RawSpan, _ range: Range<Int>) -> UInt64? {
        var number: UInt64 = 0
        for place in range {
            guard let value = value(text[place]) else { return nil }
            number = number << 4 | value
        }
        return number
    }
}
