/// One request and its response, between a client's connection and one to a backend.
struct Exchange: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable {
        /// An injected delay or a retry's back-off has to pass.
        case waiting
        /// Sent or being sent; the response's head has not come.
        case awaitingHead
        case relaying
        /// After 101 or CONNECT: bytes in both directions, each until its end.
        case tunnelling
        /// A reply of our own is in the client's output.
        case replying
    }

    var phase = Phase.awaitingHead
    let downstream: UInt32
    var upstream = UInt32.max
    var request: RequestHead
    var requestBody: MessageBody
    var responseBody = MessageBody(.none)
    /// The request's body is in the buffer from its first byte on: it can be sent again.
    var keepsBody = true
    /// The client's connection ends after this exchange.
    var closesDownstream: Bool
    /// The backend's connection may carry another request.
    var keepsUpstream = false
    /// The connection to the backend was in use before, and nothing has come back on it for this request.
    var isReusedUpstream = false
    var record = RequestRecord()
    /// Ticks; 0: none.
    var requestDeadline: UInt64 = 0
    var tryDeadline: UInt64 = 0
    /// When bytes moved last.
    var lastProgress: UInt64

    init(downstream: UInt32, request: RequestHead, tick: UInt64) {
        self.downstream = downstream
        self.request = request
        requestBody = MessageBody(request.framing)
        closesDownstream = !request.isPersistent
        lastProgress = tick
    }

    /// The whole request has been given to the backend's connection, as far as it has come.
    var isRequestReceived: Bool { requestBody.isComplete }
}

/// How much of a message's body has been received.
struct MessageBody: BitwiseCopyable {
    var framing: BodyFraming
    /// Of `length`.
    private var remaining: UInt64 = 0
    private var decoder = ChunkedDecoder()
    private(set) var isComplete: Bool
    /// Payload without chunk framing.
    private(set) var byteCount: UInt64 = 0

    init(_ framing: BodyFraming) {
        self.framing = framing
        switch framing {
        case .none: isComplete = true
        case .length(let count):
            remaining = count
            isComplete = count == 0
        case .chunked, .untilClose: isComplete = false
        }
    }

    /// More than `count` bytes are still to come, as far as is known.
    func exceeds(_ count: Int) -> Bool {
        switch framing {
        case .none: false
        case .length: remaining > UInt64(count)
        case .chunked, .untilClose: !isComplete && byteCount > UInt64(count)
        }
    }

    /// How many of the bytes that follow those taken before belong to the body; nil if it is malformed.
    mutating func take(_ bytes: RawSpan) -> Int? {
        guard !isComplete else { return 0 }
        switch framing {
        case .none: return 0
        case .length:
            let count = min(UInt64(bytes.byteCount), remaining)
            remaining -= count
            byteCount &+= count
            isComplete = remaining == 0
            return Int(count)
        case .untilClose:
            byteCount &+= UInt64(bytes.byteCount)
            return bytes.byteCount
        case .chunked:
            var position = 0
            while true {
                switch decoder.next(in: bytes, at: &position) {
                case .data(let range): byteCount &+= UInt64(range.count)
                case .needMore: return position
                case .end:
                    isComplete = true
                    return position
                case .failed: return nil
                }
            }
        }
    }

    /// The connection has ended: whether that completes the body.
    mutating func end() -> Bool {
        if framing == .untilClose { isComplete = true }
        return isComplete
    }
}
