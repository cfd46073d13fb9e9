/// How long the caller of a request still waits for it, as it says itself: gRPC's `grpc-timeout` and Envoy's
/// `x-envoy-expected-rq-timeout-ms`. A deadline only ever becomes shorter on its way, so nobody has to be trusted for it.
enum RequestDeadline {
    /// Milliseconds; nil: it does not say. The shorter one where there are both.
    static func milliseconds(_ view: borrowing RequestView) -> UInt64? {
        var shortest: UInt64?
        for index in view.fields.indices {
            let field = view.fields[index]
            let value: UInt64?
            if field.known == .grpcTimeout {
                value = grpc(view.bytes[field.value])
            } else if isField(field.name, of: view.bytes) {
                value = number(view.bytes[field.value], 0..<Int(field.value.count))
            } else {
                continue
            }
            if let value { shortest = min(shortest ?? .max, value) }
        }
        return shortest
    }

    static func isField(_ name: HeadSlice, of bytes: RawSpan) -> Bool {
        name.count == 30 && ByteText.equalIgnoringCase(bytes[name], "x-envoy-expected-rq-timeout-ms")
    }

    /// At most eight digits and a unit, rounded up.
    /// Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
    static func grpc(_ text: RawSpan) -> UInt64? {
        guard text.byteCount >= 2, text.byteCount <= 9, let value = number(text, 0..<text.byteCount - 1) else {
            return nil
        }
        switch text[text.byteCount - 1] {
        case UInt8(ascii: "H"): return value * 3_600_000
        case UInt8(ascii: "M"): return value * 60_000
        case UInt8(ascii: "S"): return value * 1000
        case UInt8(ascii: "m"): return value
        case UInt8(ascii: "u"): return (value + 999) / 1000
        case UInt8(ascii: "n"): return (value + 999_999) / 1_000_000
        default: return nil
        }
    }

    /// nil for anything but one to twelve digits.
    private static func number(_ text: RawSpan, _ range: Range<Int>) -> UInt64? {
        guard !range.isEmpty, range.count <= 12 else { return nil }
        var value: UInt64 = 0
        for index in range {
            guard text[index].isDigit else { return nil }
            value = value * 10 + UInt64(text[index] - UInt8(ascii: "0"))
        }
        return value
    }

    /// Writes what is left for the next hop.
    static func write(milliseconds: UInt64, isGRPC: Bool, into scratch: inout Scratch) {
        scratch.append("x-envoy-expected-rq-timeout-ms: ")
        scratch.append(decimal: milliseconds)
        scratch.append("\r\n")
        guard isGRPC else { return }
        scratch.append("grpc-timeout: ")
        let isLong = milliseconds > 99_999_999
        scratch.append(decimal: isLong ? min(milliseconds / 1000, 99_999_999) : milliseconds)
        scratch.append(isLong ? "S\r\n" : "m\r\n")
    }
}
