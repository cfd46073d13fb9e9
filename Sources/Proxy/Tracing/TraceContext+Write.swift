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
        if formats.contains(.openCensus) {
            scratch.append("grpc-trace-bin: ")
            OpenCensusTrace.write(self, into: &scratch)
            scratch.append("\r\n")
        }
    }

    /// The same as names and values.
    func fields(by scratch: inout Scratch) -> [(String, [UInt8])] {
        guard isPresent else { return [] }
        scratch.removeAll()
        write(into: &scratch)
        let text = unsafe scratch.bytes.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
        return text.utf8.split(separator: UInt8(ascii: "\n")).compactMap { line in
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), line.last == UInt8(ascii: "\r") else {
                return nil
            }
            let value = line[colon...].dropFirst(2).dropLast()
            return (String(decoding: line[..<colon], as: UTF8.self), Array(value))
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
