import WeftABI

/// What one worker follows of the HTTP/1 requests in tunnels whose bytes it only passes on: with bpf/lib/http1.h, as the
/// kernel's programs do for connections that no agent sees. One of the few files with unsafe code: the room to read in is
/// this value's own, and pieces are read within their bounds.
@safe struct TunnelRequests: ~Copyable {
    /// Places of streams that have none: nothing has been said yet; something else is spoken.
    static let undecided = UInt32.max - 1
    static let none = UInt32.max

    /// The requests of one stream.
    private struct Conversation: BitwiseCopyable {
        var exchange = weft_exchange()
        /// The server has ended it, before the client did.
        var hasServerLeft = false
    }

    /// What a piece has brought.
    enum Finding {
        /// A request's line has come, or the beginning of one that is too long.
        case request
        case answered(weft_http_answer)
        /// It cannot be followed any further; so many requests are left that were recognised.
        case lost(UInt32)
        /// The piece has been read.
        case end
    }

    /// What is left of a conversation that has ended.
    enum Rest {
        case complete(weft_http_answer)
        case brokenOff(weft_http_answer, byServer: Bool)
    }

    private var conversations: Slab<Conversation>
    private let scan: UnsafeMutablePointer<weft_http_scan>

    init(capacity: UInt32) {
        conversations = Slab(capacity: capacity)
        unsafe scan = .allocate(capacity: 1)
        unsafe scan.initialize(to: weft_http_scan())
    }

    deinit { unsafe scan.deallocate() }

    /// A place for the requests of a client that has begun with these bytes; `none` if they begin no request.
    ///
    /// - Parameter templates: see `RouteTemplateTable.table`.
    mutating func begin(_ bytes: RawSpan, templates: UInt64) -> UInt32 {
        guard startsRequest(bytes) else { return Self.none }
        var conversation = Conversation()
        conversation.exchange.templates = templates
        return conversations.insert(conversation) ?? Self.none
    }

    /// After `request`: notes which route template the request meets.
    func takeTemplate(_ place: UInt32, _ templates: RouteTemplateTable) {
        let (start, count) = unsafe (Int(scan.pointee.text), Int(scan.pointee.text_length))
        let table = conversations[place].exchange.templates
        guard table != 0, count > 0, start + count <= Int(WEFT_HTTP_ROOM) else { return }
        let template = unsafe withUnsafeBytes(of: &scan.pointee.window) { window in
            templates.match(line: unsafe RawSpan(_unsafeBytes: window[start..<start + count]), table)
        }
        unsafe withUnsafeMutablePointer(to: &conversations[place].exchange) { exchange in
            unsafe weft_http_take_route(exchange, template)
        }
    }

    private func startsRequest(_ bytes: RawSpan) -> Bool {
        let count = min(bytes.byteCount, Int(WEFT_HTTP_WINDOW))
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe withUnsafeMutableBytes(of: &scan.pointee.window) { window in
                unsafe window.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
        }
        return unsafe weft_http_method(scan, 0, UInt32(count)) != WEFT_HTTP_NO_METHOD.rawValue
    }

    /// Begins to read the next piece of one direction. False: nothing of it can be followed.
    ///
    /// - Parameter now: nanoseconds.
    func open(_ place: UInt32, isResponse: Bool, _ bytes: RawSpan, now: UInt64) -> Bool {
        guard resume(place, isResponse: isResponse, bytes) else { return false }
        unsafe withUnsafeMutablePointer(to: &conversations[place].exchange) { exchange in
            unsafe weft_http_open(exchange, scan, isResponse ? 1 : 0, UInt32(clamping: bytes.byteCount), now)
        }
        return true
    }

    /// After something that could not be followed: a client that has waited for the server starts with a new request, if
    /// with anything that looks like one.
    private func resume(_ place: UInt32, isResponse: Bool, _ bytes: RawSpan) -> Bool {
        switch weft_exchange_mode(UInt32(conversations[place].exchange.mode)) {
        case WEFT_EXCHANGE_FOLLOWED:
            if isResponse, conversations[place].exchange.restart != 0 {
                unsafe withUnsafeMutablePointer(to: &conversations[place].exchange) { exchange in
                    unsafe weft_http_resume_responses(exchange, 0)
                }
            }
            return true
        case WEFT_EXCHANGE_LOST:
            guard !isResponse else {
                conversations[place].exchange.turned = 1
                return false
            }
            guard conversations[place].exchange.turned != 0 else { return false }
            conversations[place].exchange.turned = 0
            guard startsRequest(bytes) else { return false }
            unsafe withUnsafeMutablePointer(to: &conversations[place].exchange) { unsafe weft_http_resume($0) }
            return true
        default: return false
        }
    }

    /// Reads on in the piece that was opened last.
    func next(_ place: UInt32, isResponse: Bool, _ bytes: RawSpan) -> Finding {
        let side: CInt = isResponse ? 1 : 0
        let event = unsafe bytes.withUnsafeBytes { bytes in
            unsafe withUnsafeMutablePointer(to: &conversations[place].exchange) { exchange in
                unsafe weft_http_read(exchange, scan, side, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
            }
        }
        switch weft_http_event(UInt32(bitPattern: event)) {
        case WEFT_HTTP_REQUEST, WEFT_HTTP_BEGINNING: return .request
        case WEFT_HTTP_ANSWERED: return unsafe .answered(scan.pointee.answer)
        case WEFT_HTTP_FAILED:
            return unsafe .lost(
                withUnsafeMutablePointer(to: &conversations[place].exchange) { unsafe weft_http_lose($0, side) })
        default: return .end
        }
    }

    /// Whether what comes next is no HTTP any more.
    func isOpaque(_ place: UInt32) -> Bool {
        UInt32(conversations[place].exchange.mode) == WEFT_EXCHANGE_OPAQUE.rawValue
    }

    /// The server has sent its last.
    func serverLeft(_ place: UInt32) { conversations[place].hasServerLeft = true }

    /// First digit of the first response's status, 0: there was none; and the number of requests.
    func summary(_ place: UInt32) -> ConnectionRequests.Summary {
        let exchange = conversations[place].exchange
        return ConnectionRequests.Summary(firstClass: exchange.http_class, count: exchange.recognised)
    }

    /// Takes what has not been answered when the connection ends; nil: nothing is left.
    ///
    /// - Parameter isClosed: the server has sent everything.
    func takeRest(_ place: UInt32, isClosed: Bool, now: UInt64) -> Rest? {
        var answer = weft_http_answer()
        let rest = unsafe withUnsafeMutablePointer(to: &conversations[place].exchange) { exchange in
            unsafe weft_http_left(exchange, &answer, now, isClosed ? 1 : 0)
        }
        switch weft_http_rest(UInt32(bitPattern: rest)) {
        case WEFT_HTTP_LEFT_COMPLETE: return .complete(answer)
        case WEFT_HTTP_LEFT: return .brokenOff(answer, byServer: conversations[place].hasServerLeft)
        default: return nil
        }
    }

    mutating func remove(_ place: UInt32) { conversations.remove(place) }
}
