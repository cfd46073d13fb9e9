/// Finds the parts and the end of a chunked body (RFC 9112 section 7.1), strictly. It copies nothing and keeps no bytes: it
/// reports ranges of what it is given. Who forwards a body as it is passes on everything up to `end`.
///
/// Trailer fields are checked as they pass. Those that would change the framing, the routing or the meaning of a message
/// that has been forwarded already (RFC 9110 section 6.5.1) are refused.
public struct ChunkedDecoder: BitwiseCopyable, Sendable {
    /// What came next.
    public enum Event: Sendable, Equatable {
        /// Bytes of the content.
        case data(Range<Int>)
        /// All bytes are taken; the message is not complete.
        case needMore
        /// The message is complete. What follows belongs to the next one.
        case end
        case failed(ChunkError)
    }

    /// Of all chunk extensions of a message, and of its trailer section, in bytes.
    static let extensionLimit = 4 * 1024
    static let trailerLimit = 8 * 1024
    /// Of a chunk's size; more would not fit into 64 bits.
    static let sizeDigits = 16

    private enum State: UInt8 {
        case sizeStart, size, extensions, sizeLineFeed
        case data, dataCarriageReturn, dataLineFeed
        case trailerStart, trailerName, trailerValue, trailerLineFeed
        case lastLineFeed, done
    }

    private var state = State.sizeStart
    private var digits: UInt8 = 0
    private var extensionBytes: UInt16 = 0
    private var trailerBytes: UInt16 = 0
    /// Of the chunk that is being read.
    private var remaining: UInt64 = 0
    /// Of the trailer field's name so far.
    private var name = NameHash()

    public init() {}

    /// Whether the message is complete.
    public var isComplete: Bool { state == .done }

    /// Reads on at `position`, and moves it behind what it has read. Call again until it says something other than `data`.
    public mutating func next(in bytes: RawSpan, at position: inout Int) -> Event {
        let end = bytes.byteCount
        while state != .done {
            guard position < end else { return .needMore }
            if state == .data {
                let count = Int(min(UInt64(end - position), remaining))
                let range = position..<(position + count)
                remaining -= UInt64(count)
                position += count
                if remaining == 0 { state = .dataCarriageReturn }
                return .data(range)
            }
            if let error = take(bytes[position]) { return .failed(error) }
            position += 1
        }
        return .end
    }

    /// One byte of what is not content.
    private mutating func take(_ byte: UInt8) -> ChunkError? {
        switch state {
        case .sizeStart, .size: return takeSize(byte)
        case .extensions:
            if byte == .carriageReturn {
                state = .sizeLineFeed
                return nil
            }
            return countExtension(byte)
        case .sizeLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = remaining == 0 ? .trailerStart : .data
        case .dataCarriageReturn:
            guard byte == .carriageReturn else { return .missingLineEnd }
            state = .dataLineFeed
        case .dataLineFeed:
            guard byte == .lineFeed else { return .missingLineEnd }
            state = .sizeStart
            digits = 0
        case .trailerStart, .trailerName, .trailerValue, .trailerLineFeed: return takeTrailer(byte)
        case .lastLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = .done
        case .data, .done: break
        }
        return nil
    }

    private mutating func takeSize(_ byte: UInt8) -> ChunkError? {
        if let digit = byte.hexValue {
            guard digits < Self.sizeDigits else { return .sizeTooLarge }
            if digits == 0 { remaining = 0 }
            remaining = remaining << 4 | UInt64(digit)
            digits += 1
            state = .size
            return nil
        }
        guard state == .size else { return .invalidSize }
        // Nobody sends that much; and half of what 64 bits hold is what recipients with signed numbers understand.
        guard remaining <= UInt64(Int64.max) else { return .sizeTooLarge }
        switch byte {
        case .carriageReturn: state = .sizeLineFeed
        case UInt8(ascii: ";"):
            state = .extensions
            return countExtension(byte)
        case .lineFeed: return .bareLineFeed
        default: return .invalidSize
        }
        return nil
    }

    private mutating func countExtension(_ byte: UInt8) -> ChunkError? {
        guard byte != .lineFeed else { return .bareLineFeed }
        guard byte >= 0x20 || byte == .tab, byte != 0x7f else { return .invalidExtension }
        extensionBytes += 1
        return extensionBytes > Self.extensionLimit ? .extensionsTooLarge : nil
    }

    private mutating func takeTrailer(_ byte: UInt8) -> ChunkError? {
        trailerBytes += 1
        guard trailerBytes <= Self.trailerLimit else { return .trailersTooLarge }
        switch state {
        case .trailerStart where byte == .carriageReturn: state = .lastLineFeed
        case .trailerStart, .trailerName:
            if byte == UInt8(ascii: ":"), state == .trailerName {
                guard !name.isForbiddenInTrailers else { return .forbiddenTrailer }
                state = .trailerValue
                return nil
            }
            guard byte != .lineFeed else { return .bareLineFeed }
            guard ByteClass.token.contains(byte) else { return .invalidTrailer }
            if state == .trailerStart { name = NameHash() }
            name.add(byte)
            state = .trailerName
        case .trailerValue:
            guard byte != .lineFeed else { return .bareLineFeed }
            if byte == .carriageReturn {
                state = .trailerLineFeed
                return nil
            }
            guard byte >= 0x20 || byte == .tab, byte != 0x7f else { return .invalidTrailer }
        default:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = .trailerStart
        }
        return nil
    }
}

/// Why a chunked body is refused. Its connection is closed: nobody knows where the next message would start.
public enum ChunkError: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case invalidSize, sizeTooLarge, invalidExtension, extensionsTooLarge, missingLineEnd
    case bareCarriageReturn, bareLineFeed
    case invalidTrailer, forbiddenTrailer, trailersTooLarge

    /// The precise reason, for people.
    public var text: StaticString {
        switch self {
        case .invalidSize: "a chunk's size is not a hexadecimal number"
        case .sizeTooLarge: "a chunk's size is too large"
        case .invalidExtension: "a chunk extension has a control character"
        case .extensionsTooLarge: "the chunk extensions are too large"
        case .missingLineEnd: "a chunk's content does not end where its size says"
        case .bareCarriageReturn: "a carriage return is not followed by a line feed"
        case .bareLineFeed: "a line feed is not preceded by a carriage return"
        case .invalidTrailer: "a trailer field is malformed"
        case .forbiddenTrailer: "a trailer field may only stand in the head"
        case .trailersTooLarge: "the trailer section is too large"
        }
    }
}

/// FNV-1a of a field name's lower-case form. Equal names have equal hashes, so a name of the list is always found; that
/// another one is taken for it is its sender's misfortune.
struct NameHash: BitwiseCopyable, Sendable {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    init() {}

    init(_ name: StaticString) {
        self.init()
        name.withUTF8Buffer { unsafe $0.forEach { add($0) } }
    }

    @inline(__always)
    mutating func add(_ byte: UInt8) {
        value = (value ^ UInt64(byte.isUppercase ? byte | 0x20 : byte)) &* 0x100_0000_01b3
    }

    /// RFC 9110 section 6.5.1: framing, routing, request modifiers, authentication, response control, and how to read the
    /// content; and what a proxy adds for its recipient to trust.
    static let forbiddenNames: [StaticString] = [
        "transfer-encoding", "content-length", "trailer", "te", "connection", "keep-alive", "proxy-connection",
        "upgrade",
        "host", "expect", "max-forwards", "cache-control", "pragma", "range",
        "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
        "authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "set-cookie",
        "age", "expires", "date", "location", "retry-after", "vary", "warning",
        "content-encoding", "content-type", "content-range", "content-location",
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-client-cert",
        "x-request-id", "traceparent", "tracestate",
    ]
    private static let forbidden = Set(forbiddenNames.map { NameHash($0).value })

    var isForbiddenInTrailers: Bool { Self.forbidden.contains(value) }
}
