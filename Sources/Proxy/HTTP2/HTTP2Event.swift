/// What a session has received, in the order in which it came. Offsets are of the bytes that were given to it.
struct HTTP2Event: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// A header block is complete: `head` of the buffer has it.
        case head
        /// `offset` and `count` say where its bytes are.
        case data
        /// END_STREAM.
        case end
        /// The stream is over; `code` is the error of RFC 9113 §7.
        case closed
        /// The request was never sent, and will not be.
        case notSent
        /// The peer takes no further streams.
        case goAway
        /// A PING of ours has come back.
        case pong
        /// A source that is followed has bytes in the output: `offset` and `count` say where.
        case sourceRead
        /// The bytes to send have come to their end.
        case sourceEnded
        /// Reading the bytes to send has failed; `code` is the errno.
        case sourceFailed
    }

    var kind: Kind
    /// HTTP/2's number of the stream.
    var stream: Int32 = 0
    /// What `HTTP2Session.setPlace` said about the stream; `.max`: nothing.
    var place = UInt32.max
    var offset: UInt32 = 0
    var count: UInt32 = 0
    var code: UInt32 = 0
    /// Of `head`: the index of the block.
    var block: UInt32 = 0
}

/// The fields of a header block that tunnels know.
struct HTTP2Head: BitwiseCopyable {
    var isConnect = false
    /// Of a response; 0: there was none.
    var status: UInt16 = 0
    var authority = HTTP2Text()
    var forwarded = HTTP2Text()
    /// See `TunnelStream.isProbe`.
    var isProbe = false
    /// It ends the stream as well.
    var endsStream = false
    /// Trailers, or an informational response.
    var isLater = false
    /// It was larger than is read, and the stream is refused.
    var isTooLarge = false
    private(set) var fields: UInt32 = 0
    private(set) var bytes: UInt32 = 0

    /// What RFC 9113 §6.5.2 counts for SETTINGS_MAX_HEADER_LIST_SIZE.
    static let fieldOverhead: UInt32 = 32
    static let fieldLimit: UInt32 = 100

    /// Counts a field. False: beyond the limits.
    mutating func count(_ size: Int, limit: UInt32) -> Bool {
        fields &+= 1
        bytes = UInt32(clamping: Int(bytes) + size + Int(Self.fieldOverhead))
        return fields <= Self.fieldLimit && bytes <= limit
    }
}

/// A short text of a header block, which is copied; a longer one counts as not readable.
struct HTTP2Text: BitwiseCopyable {
    /// An address, a name of 253 bytes and what is around them.
    static let capacity = 336

    private var storage = InlineArray<336, UInt8>(repeating: 0)
    private(set) var count = 0
    private(set) var isPresent = false
    private(set) var isTooLong = false

    mutating func set(_ bytes: RawSpan) {
        isPresent = true
        guard bytes.byteCount <= Self.capacity else {
            isTooLong = true
            return
        }
        count = bytes.byteCount
        for index in 0..<count { storage[index] = bytes[index] }
    }

    subscript(index: Int) -> UInt8 { storage[index] }
}
