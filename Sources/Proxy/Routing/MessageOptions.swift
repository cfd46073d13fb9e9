/// What the connection to the next hop needs of a head, besides what the message itself says.
public struct MessageOptions: BitwiseCopyable, Sendable {
    public enum Connection: UInt8, BitwiseCopyable, Sendable {
        /// No field: HTTP/1.1 connections persist.
        case persistent
        /// For clients of HTTP/1.0.
        case keepAlive
        case close
        /// With the message's own `Upgrade`.
        case upgrade
    }

    /// How the body is sent. Framing fields that already say so stay where they are.
    public var framing: BodyFraming
    public var connection: Connection
    /// What is left of the request's time is among the extra lines, in place of its own fields.
    public var replacesDeadline = false
    /// The request's trace is among the extra lines, in place of its own fields; and so far as it has a `tracestate`, that
    /// is left out too.
    var replacesTrace = false
    var dropsTraceState = false
    /// The destination's node verifies tokens itself, and takes them out.
    var isTunnelled = false

    public init(framing: BodyFraming, connection: Connection = .persistent) {
        self.framing = framing
        self.connection = connection
    }
}

/// Copies the lines of a head, those that stay next to each other at once.
struct LineCopy: BitwiseCopyable {
    private var start = 0
    private var end = 0

    @inline(__always)
    mutating func keep(_ line: HeadSlice, of bytes: RawSpan, into scratch: inout Scratch) {
        let range = line.range
        if range.lowerBound != end {
            flush(bytes, into: &scratch)
            start = range.lowerBound
        }
        end = range.upperBound
    }

    mutating func flush(_ bytes: RawSpan, into scratch: inout Scratch) {
        if start < end { scratch.append(bytes.extracting(start..<end)) }
        start = 0
        end = 0
    }
}

extension RouteTable {
    /// Whether an edit drops the fields of this name.
    @inline(__always)
    func drops(_ edit: RouteHeaderEdit, _ name: HeadSlice, of bytes: RawSpan) -> Bool {
        isNamed(bytes[name], in: edit.dropped)
    }

    /// Whether a field's name is one of a run of `names`.
    @inline(__always)
    func isNamed(_ name: RawSpan, in run: RouteRun) -> Bool {
        for index in run.indices {
            let one = names[index]
            if one.count == UInt32(name.byteCount), ByteText.equalIgnoringCase(name, text(one)) { return true }
        }
        return false
    }
}

/// Whether a field is named in `Connection` (RFC 9110 section 7.6.1).
func isConnectionOption(_ name: HeadSlice, _ fields: Span<HeadField>, of bytes: RawSpan) -> Bool {
    let name = bytes[name]
    for index in fields.indices where fields[index].known == .connection {
        let value = bytes[fields[index].value]
        var start = 0
        while start < value.byteCount {
            let end = ByteText.index(of: UInt8(ascii: ","), in: value, from: start) ?? value.byteCount
            if ByteText.equalInAnyCase(value.extracting(start..<end).trimmed, name) { return true }
            start = end + 1
        }
    }
    return false
}

extension RawSpan {
    /// Without spaces and tabs at both ends.
    fileprivate var trimmed: RawSpan {
        @_lifetime(copy self)
        get {
            func isBlank(_ index: Int) -> Bool {
                let byte = self[index]
                return byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
            }
            var start = 0
            var end = byteCount
            while start < end, isBlank(start) { start += 1 }
            while end > start, isBlank(end - 1) { end -= 1 }
            return extracting(start..<end)
        }
    }
}
