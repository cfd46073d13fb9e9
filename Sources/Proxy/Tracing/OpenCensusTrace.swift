/// `grpc-trace-bin`: a version, then fields with their numbers before them, all in base64 (gRPC's "-bin" of header names).
/// Source: https://github.com/census-instrumentation/opencensus-specs/blob/master/encodings/BinaryEncoding.md
enum OpenCensusTrace {
    /// Version 0, and the numbers of trace, span and options at their places.
    private static let trace = 2
    private static let span = 19
    private static let options = 28
    private static let size = 29

    /// Further fields, which later versions of the format may have behind these, are not read.
    static func read(_ text: RawSpan) -> IncomingTrace? {
        var bytes = InlineArray<30, UInt8>(repeating: 0)
        var count = 0
        var held: UInt32 = 0
        var bits = 0
        for place in 0..<min(text.byteCount, 40) {
            // Padding is optional (gRPC over HTTP/2, "Custom-Metadata").
            if text[place] == UInt8(ascii: "="), place + 2 >= text.byteCount { break }
            guard let digit = digit(text[place]) else { return nil }
            held = held << 6 | digit
            bits += 6
            guard bits >= 8 else { continue }
            bits -= 8
            bytes[count] = UInt8(truncatingIfNeeded: held >> UInt32(bits))
            count += 1
        }
        guard count >= options - 1, bytes[0] == 0, bytes[trace - 1] == 0, bytes[span - 1] == 1 else { return nil }
        func number(at start: Int) -> UInt64 {
            (start..<start + 8).reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
        }
        var found = IncomingTrace()
        found.traceHigh = number(at: trace)
        found.traceLow = number(at: trace + 8)
        found.span = number(at: span)
        guard found.hasTrace, found.span != 0 else { return nil }
        let isSampled = count >= size && bytes[options - 1] == 2 && bytes[options] & 1 != 0
        found.sampling = isSampled ? .sampled : .unsampled
        return found
    }

    static func write(_ context: TraceContext, into scratch: inout Scratch) {
        var bytes = InlineArray<30, UInt8>(repeating: 0)
        for place in 0..<8 {
            let shift = UInt64(56 - place * 8)
            bytes[trace + place] = UInt8(truncatingIfNeeded: context.traceHigh >> shift)
            bytes[trace + 8 + place] = UInt8(truncatingIfNeeded: context.traceLow >> shift)
            bytes[span + place] = UInt8(truncatingIfNeeded: context.span >> shift)
        }
        bytes[span - 1] = 1
        bytes[options - 1] = 2
        bytes[options] = context.isSampled ? 1 : 0
        // Without padding: what is behind the last byte is one digit less.
        for place in 0..<(size * 8 + 5) / 6 {
            let bit = place * 6
            let pair = UInt32(bytes[bit / 8]) << 8 | (bit / 8 + 1 < 30 ? UInt32(bytes[bit / 8 + 1]) : 0)
            scratch.append(byte: character(pair >> UInt32(10 - bit % 8) & 63))
        }
    }

    private static func digit(_ character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character) - 97 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character) - 48 + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    private static func character(_ digit: UInt32) -> UInt8 {
        switch digit {
        case 0..<26: UInt8(digit) + 65
        case 26..<52: UInt8(digit) - 26 + 97
        case 52..<62: UInt8(digit) - 52 + 48
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }
}
