/// What a request says of the trace that it belongs to. Whatever is not exactly as its specification says counts as not
/// said.
struct IncomingTrace: BitwiseCopyable {
    enum Sampling: UInt8, BitwiseCopyable {
        /// Whoever comes next decides.
        case undecided
        case unsampled, sampled
        /// B3's: sampled by everybody.
        case debug
    }

    /// All zero: none.
    var traceHigh: UInt64 = 0
    var traceLow: UInt64 = 0
    var span: UInt64 = 0
    var sampling = Sampling.undecided
    /// Those that said something valid.
    var formats: TraceFormats = []
    /// Its `tracestate` is well-formed and belongs to the trace.
    var keepsState = false

    init() {}

    /// - Parameter view: of a request whose fields are all there.
    init(_ view: borrowing RequestView) {
        var found = TraceFields()
        for index in view.fields.indices {
            let field = view.fields[index]
            switch field.known {
            case .traceparent: found.traceparent.take(field.value)
            case .tracestate: found.hasState = true
            case .b3: found.b3.take(field.value)
            case .xB3Traceid: found.trace.take(field.value)
            case .xB3Spanid: found.span.take(field.value)
            case .xB3Sampled: found.sampled.take(field.value)
            case .xB3Flags: found.flags.take(field.value)
            case .grpcTraceBin: found.openCensus.take(field.value)
            default: continue
            }
        }
        guard found.isAny else { return }
        // The first of them that has a trace says which.
        if let slice = found.traceparent.only { take(Self.w3c(view.bytes[slice]), .w3c) }
        if found.hasState, formats.contains(.w3c) { keepsState = TraceState.isValid(view) }
        if let slice = found.b3.only { take(Self.b3(view.bytes[slice]), .b3) }
        take(Self.b3(found, view.bytes), .b3Multi)
        if let slice = found.openCensus.only { take(OpenCensusTrace.read(view.bytes[slice]), .openCensus) }
    }

    var hasTrace: Bool { traceHigh | traceLow != 0 }

    private mutating func take(_ other: IncomingTrace?, _ format: TraceFormats) {
        guard let other else { return }
        let formats = formats.union(format)
        if !hasTrace, other.hasTrace || sampling == .undecided {
            let keepsState = keepsState
            self = other
            self.keepsState = keepsState
        }
        self.formats = formats
    }

    // MARK: The formats

    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`; of later versions the part that this one has.
    static func w3c(_ text: RawSpan) -> IncomingTrace? {
        let dash = UInt8(ascii: "-")
        guard text.byteCount >= 55, text[2] == dash, text[35] == dash, text[52] == dash,
            let version = Hexadecimal.number(text, 0..<2), version != 0xff,
            text.byteCount == 55 || (version > 0 && text[55] == dash),
            let high = Hexadecimal.number(text, 3..<19), let low = Hexadecimal.number(text, 19..<35),
            let span = Hexadecimal.number(text, 36..<52), let flags = Hexadecimal.number(text, 53..<55),
            high | low != 0, span != 0
        else { return nil }
        var found = IncomingTrace()
        found.traceHigh = high
        found.traceLow = low
        found.span = span
        found.sampling = flags & 1 != 0 ? .sampled : .unsampled
        return found
    }

    /// `80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90`, where the trace may have 16 digits and what
    /// is behind the span is optional; or a sampling state alone.
    static func b3(_ text: RawSpan) -> IncomingTrace? {
        var found = IncomingTrace()
        if text.byteCount == 1 {
            guard let sampling = sampling(text, 0) else { return nil }
            found.sampling = sampling
            return found
        }
        let dash = UInt8(ascii: "-")
        guard text.byteCount >= 33 else { return nil }
        let end = text[16] == dash ? 16 : 32
        guard text[end] == dash, found.takeTrace(text, 0..<end), text.byteCount >= end + 17,
            found.takeSpan(text, end + 1..<end + 17)
        else { return nil }
        var place = end + 17
        guard place < text.byteCount else { return found }
        guard place + 1 < text.byteCount, text[place] == dash, let sampling = sampling(text, place + 1) else {
            return nil
        }
        found.sampling = sampling
        place += 2
        guard place < text.byteCount else { return found }
        guard text.byteCount == place + 17, text[place] == dash,
            Hexadecimal.number(text, place + 1..<place + 17) != nil
        else { return nil }
        return found
    }

    /// Of several fields.
    private static func b3(_ fields: TraceFields, _ bytes: RawSpan) -> IncomingTrace? {
        var found = IncomingTrace()
        guard !fields.trace.isRepeated, !fields.span.isRepeated else { return nil }
        let hasSampling = found.takeSampling(fields, bytes)
        switch (fields.trace.only, fields.span.only) {
        case (nil, nil): return hasSampling ? found : nil
        case (let trace?, let span?):
            let trace = bytes[trace]
            let span = bytes[span]
            guard trace.byteCount == 16 || trace.byteCount == 32, found.takeTrace(trace, 0..<trace.byteCount),
                span.byteCount == 16, found.takeSpan(span, 0..<16)
            else { return nil }
            return found
        default: return nil
        }
    }

    /// `0`, `1`, `d`.
    private static func sampling(_ text: RawSpan, _ place: Int) -> Sampling? {
        switch text[place] {
        case UInt8(ascii: "0"): .unsampled
        case UInt8(ascii: "1"): .sampled
        case UInt8(ascii: "d"): .debug
        default: nil
        }
    }

    private mutating func takeTrace(_ text: RawSpan, _ range: Range<Int>) -> Bool {
        let middle = range.upperBound - 16
        guard let high = Hexadecimal.number(text, range.lowerBound..<middle),
            let low = Hexadecimal.number(text, middle..<range.upperBound), high | low != 0
        else { return false }
        traceHigh = high
        traceLow = low
        return true
    }

    private mutating func takeSpan(_ text: RawSpan, _ range: Range<Int>) -> Bool {
        guard let span = Hexadecimal.number(text, range), span != 0 else { return false }
        self.span = span
        return true
    }

    /// `x-b3-flags: 1` is B3's debug flag; `true` and `false` are what old libraries say for 1 and 0.
    private mutating func takeSampling(_ fields: TraceFields, _ bytes: RawSpan) -> Bool {
        if let flags = fields.flags.only, ByteText.equalIgnoringCase(bytes[flags], "1") {
            sampling = .debug
            return true
        }
        guard let slice = fields.sampled.only else { return false }
        let text = bytes[slice]
        if ByteText.equalIgnoringCase(text, "1") || ByteText.equalIgnoringCase(text, "true") {
            sampling = .sampled
        } else if ByteText.equalIgnoringCase(text, "0") || ByteText.equalIgnoringCase(text, "false") {
            sampling = .unsampled
        } else {
            return false
        }
        return true
    }
}

/// Where the fields are that say something of a trace.
private struct TraceFields: BitwiseCopyable {
    struct Place: BitwiseCopyable {
        private var slice = HeadSlice.empty
        private var count: UInt8 = 0

        mutating func take(_ value: HeadSlice) {
            slice = value
            if count < 2 { count += 1 }
        }

        /// nil: there is none, or it is not clear which one counts.
        var only: HeadSlice? { count == 1 ? slice : nil }
        var isRepeated: Bool { count > 1 }
        var isThere: Bool { count > 0 }
    }

    var traceparent = Place()
    var hasState = false
    var b3 = Place()
    var trace = Place()
    var span = Place()
    var sampled = Place()
    var flags = Place()
    var openCensus = Place()

    var isAny: Bool {
        openCensus.isThere || traceparent.isThere || b3.isThere || trace.isThere || span.isThere || sampled.isThere
            || flags.isThere
    }
}
