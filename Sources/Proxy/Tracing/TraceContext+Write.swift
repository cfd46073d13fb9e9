extension TraceContext {
    /// Writes the lines that tell the next hop.
    func write(into scratch: inout Scratch) {
        if formats.contains(.w3c) {
            scratch.append("traceparent: 00-")
            scratch.append(hexadecimal: traceHigh)
            scratch.append(hexadecimal: traceLow)
            scratch.append("-")
            scratch.append(hexadecimal: span)
            scratch.append(isSampled ? "-01\r\n" : "-00\r\n")
        }
        if formats.contains(.b3) {
            scratch.append("b3: ")
            writeB3Trace(into: &scratch)
            scratch.append("-")
            scratch.append(hexadecimal: span)
            scratch.append(isDebug ? "-d\r\n" : isSampled ? "-1\r\n" : "-0\r\n")
        }
        if formats.contains(.b3Multi) {
            scratch.append("x-b3-traceid: ")
            writeB3Trace(into: &scratch)
            scratch.append("\r\nx-b3-spanid: ")
            scratch.append(hexadecimal: span)
            scratch.append(
                isDebug ? "\r\nx-b3-flags: 1\r\n" : isSampled ? "\r\nx-b3-sampled: 1\r\n" : "\r\nx-b3-sampled: 0\r\n")
        }
    }

    /// Those who came with 64 bits may know no longer ones.
    private func writeB3Trace(into scratch: inout Scratch) {
        if traceHigh != 0 { scratch.append(hexadecimal: traceHigh) }
        scratch.append(hexadecimal: traceLow)
    }
}

extension Scratch {
    /// Sixteen digits.
    fileprivate mutating func append(hexadecimal value: UInt64) {
        var digits = InlineArray<16, UInt8>(repeating: 0)
        for place in 0..<16 { digits[place] = Hexadecimal.digit(value >> UInt64(60 - place * 4)) }
        unsafe append(digits.span.bytes)
    }
}
