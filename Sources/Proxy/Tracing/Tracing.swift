/// Gives requests their identifiers and their places in traces. One for each worker.
struct Tracing: ~Copyable {
    private var identifiers = TraceIdentifiers()
    private let generatesRequestIDs: Bool
    /// Whether requests are traced.
    let isOn: Bool
    private let threshold: UInt64
    private let forcingField: FixedArray<UInt8>
    private let formats: TraceFormats

    init(_ options: ProxyOptions) {
        generatesRequestIDs = options.generatesRequestIDs
        isOn = options.tracing != nil
        let tracing = options.tracing ?? TracingOptions()
        let ratio = min(max(tracing.ratio, 0), 1)
        threshold = ratio == 1 ? .max : UInt64(ratio * 0x1p64)
        let name = Array(tracing.forcingField.utf8)
        forcingField = FixedArray(count: name.count) { name[$0] }
        formats = tracing.formats
    }

    /// nil: the request has one, or gets none.
    mutating func requestID(for view: borrowing RequestView) -> RequestID? {
        guard generatesRequestIDs, view.slice(of: .xRequestID) == nil else { return nil }
        return RequestID(random: identifiers.next(), identifiers.next())
    }

    /// Its place in the trace that it came with, or in a new one; empty if nothing is traced.
    mutating func trace(of view: borrowing RequestView) -> TraceContext {
        guard isOn else { return TraceContext() }
        let incoming = IncomingTrace(view)
        var context = TraceContext()
        if incoming.hasTrace {
            context.traceHigh = incoming.traceHigh
            context.traceLow = incoming.traceLow
            context.parent = incoming.span
        } else {
            context.traceHigh = identifiers.next()
            context.traceLow = identifiers.nextNonzero()
        }
        context.span = identifiers.nextNonzero()
        context.clientSpan = identifiers.nextNonzero()
        switch incoming.sampling {
        case .sampled: context.isSampled = true
        case .debug:
            context.isSampled = true
            context.isDebug = true
        case .unsampled: break
        case .undecided:
            context.isSampled = identifiers.next() < threshold || threshold == .max || isForced(view)
        }
        context.formats = incoming.formats.union(formats)
        if context.formats.isEmpty { context.formats = .w3c }
        context.dropsState = !incoming.keepsState
        return context
    }

    /// Another one of the same trace, with spans of its own: nothing is told two requests that are the same span's.
    mutating func sibling(of context: TraceContext) -> TraceContext {
        guard context.isPresent else { return context }
        var next = context
        next.span = identifiers.nextNonzero()
        next.clientSpan = identifiers.nextNonzero()
        return next
    }

    private func isForced(_ view: borrowing RequestView) -> Bool {
        guard forcingField.count > 0 else { return false }
        for index in view.fields.indices where Int(view.fields[index].name.count) == forcingField.count {
            let name = view.bytes[view.fields[index].name]
            var isEqual = true
            for place in 0..<name.byteCount where isEqual {
                isEqual = (name[place].isUppercase ? name[place] | 0x20 : name[place]) == forcingField[place]
            }
            if isEqual { return true }
        }
        return false
    }
}

/// Random identifiers without system calls: xoshiro256++, seeded by the kernel. They are not secret, and two workers never
/// make the same ones.
/// Source: https://prng.di.unimi.it/xoshiro256plusplus.c
struct TraceIdentifiers: BitwiseCopyable {
    private var a, b, c, d: UInt64

    init() {
        a = .random(in: 1 ... .max)
        b = .random(in: .min ... .max)
        c = .random(in: .min ... .max)
        d = .random(in: .min ... .max)
    }

    @inline(__always)
    mutating func next() -> UInt64 {
        func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }
        let result = rotated(a &+ d, 23) &+ a
        let shifted = b << 17
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= shifted
        d = rotated(d, 45)
        return result
    }

    mutating func nextNonzero() -> UInt64 {
        let value = next()
        return value == 0 ? 1 : value
    }
}
