import CNGHTTP2
import Glibc

/// One connection's HTTP/2 (RFC 9113), for streams that carry bytes between sockets: framing, header compression, windows
/// and limits are nghttp2's. It does no I/O of its own but reading the sources of its streams. One of the few files with
/// unsafe code.
///
/// What it receives is left as events in the port that it was made with, which is the worker's and outlives it.
@safe struct HTTP2Session: ~Copyable {
    /// What a stream may have on its way, or waiting for a slow reader, in bytes.
    static let streamWindow: Int32 = 1 << 20
    /// All streams of a connection together: those of one client, so that readers that do not read never hold up others.
    static let connectionWindow: Int32 = 100 << 20
    static let largestFrame: UInt32 = 1 << 20
    static let clientHeaderLimit: UInt32 = 16 << 10
    static let serverHeaderLimit: UInt32 = 64 << 10
    /// A client opens another connection beyond it.
    static let streamsPerClient: UInt32 = 100
    static let streamsPerServer: UInt32 = 200
    /// Frames that wait to be sent, beyond which the peer takes part in a flood.
    static let outboundLimit = 10_000

    enum Receiving {
        case fine
        /// The peer is not worth talking to any more.
        case failed(HTTP2Violation)
    }

    enum Sending {
        /// There is no more to send now.
        case all
        /// The chunk is full.
        case full
        case failed
    }

    let isServer: Bool
    private let session: OpaquePointer
    private let state: UnsafeMutablePointer<HTTP2Port.State>
    private var limits = HTTP2Guard()
    /// A header block whose end has not come.
    private var block = HTTP2Head()
    private var isInBlock = false
    /// Of the GOAWAY that was sent; nil: none.
    private(set) var sentGoAway: UInt32?

    init(isServer: Bool, _ port: borrowing HTTP2Port) {
        self.isServer = isServer
        unsafe session = port.makeSession(isServer: isServer)
        unsafe state = port.state
        let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
            nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
        }
        let settings = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(Self.streamWindow)),
            entry(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, Self.largestFrame),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, isServer ? Self.serverHeaderLimit : Self.clientHeaderLimit),
            isServer
                ? entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, Self.streamsPerServer)
                : entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0),
        ]
        let submitted = unsafe nghttp2_submit_settings(session, none, settings, settings.count)
        let widened = unsafe nghttp2_session_set_local_window_size(session, none, 0, Self.connectionWindow)
        precondition(submitted == 0 && widened == 0, "settings are refused for lack of memory only")
    }

    deinit { unsafe nghttp2_session_del(session) }

    // MARK: Moving bytes

    /// Takes the first `count` bytes of the port's input in.
    mutating func receive(_ count: Int, tick: UInt64) -> Receiving {
        enter(tick)
        let taken = unsafe nghttp2_session_mem_recv(
            session, state.pointee.input.assumingMemoryBound(to: UInt8.self), count)
        leave()
        if let violation = unsafe state.pointee.violation { return .failed(violation) }
        if taken == Int(NGHTTP2_ERR_FLOODED.rawValue) { return .failed(.controlFrames) }
        if taken != count { return .failed(.protocolError) }
        if unsafe nghttp2_session_get_outbound_queue_size(session) > Self.outboundLimit { return .failed(.outbound) }
        return .fine
    }

    /// Writes what there is to send behind what `chunk` has, of which `used` bytes are in use.
    mutating func send(into chunk: UnsafeMutableRawBufferPointer, used: inout Int, tick: UInt64) -> Sending {
        enter(tick)
        unsafe state.pointee.output = chunk.baseAddress
        unsafe state.pointee.outputCount = used
        unsafe state.pointee.outputCapacity = chunk.count
        defer {
            used = unsafe state.pointee.outputCount
            unsafe state.pointee.output = nil
            leave()
        }
        while unsafe chunk.count - state.pointee.outputCount >= HTTP2Callbacks.leastRoom {
            var bytes: UnsafePointer<UInt8>?
            let before = unsafe state.pointee.outputCount
            let count = unsafe nghttp2_session_mem_send(session, &bytes)
            guard count >= 0 else { return .failed }
            if count == 0 {
                if unsafe state.pointee.outputCount == before { return .all }
                continue
            }
            guard let base = chunk.baseAddress, let bytes = unsafe bytes,
                unsafe count <= chunk.count - state.pointee.outputCount
            else { return .failed }
            unsafe (base + state.pointee.outputCount).copyMemory(from: bytes, byteCount: count)
            unsafe state.pointee.outputCount += count
        }
        return .full
    }

    private func enter(_ tick: UInt64) {
        unsafe state.pointee.tick = tick
        unsafe state.pointee.limits = limits
        if isInBlock { unsafe state.pointee.block = block }
        unsafe state.pointee.isInBlock = isInBlock
        unsafe state.pointee.headerLimit = isServer ? Self.serverHeaderLimit : Self.clientHeaderLimit
        unsafe state.pointee.violation = nil
        unsafe state.pointee.goAwayCode = .max
    }

    private mutating func leave() {
        limits = unsafe state.pointee.limits
        isInBlock = unsafe state.pointee.isInBlock
        if isInBlock { block = unsafe state.pointee.block }
        if unsafe state.pointee.goAwayCode != .max { sentGoAway = unsafe state.pointee.goAwayCode }
    }

    /// There is something to send, as far as windows allow.
    var wantsToSend: Bool { unsafe nghttp2_session_want_write(session) != 0 }
    /// Both sides have nothing to say to each other any more.
    var isFinished: Bool {
        unsafe nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
    }

    // MARK: Streams

    /// Opens a stream whose bytes come from a source of the port, by number, which is its place too. The number of the
    /// stream, nil: the session takes no more.
    mutating func request(_ fields: borrowing HTTP2Fields, source: UInt32) -> Int32? {
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.source.fd = Int32(bitPattern: source)
        unsafe provider.read_callback = HTTP2Callbacks.read
        let stream = unsafe nghttp2_submit_request(
            session, nil, fields.pointer, fields.count, &provider, Self.pointer(source))
        return stream > 0 ? stream : nil
    }

    /// Answers a stream, whose bytes then come from a source; without one the answer is its end.
    mutating func respond(_ stream: Int32, _ fields: borrowing HTTP2Fields, source: UInt32?) -> Bool {
        guard let source else {
            return unsafe nghttp2_submit_response(session, stream, fields.pointer, fields.count, nil) == 0
        }
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.source.fd = Int32(bitPattern: source)
        unsafe provider.read_callback = HTTP2Callbacks.read
        return unsafe nghttp2_submit_response(session, stream, fields.pointer, fields.count, &provider) == 0
    }

    /// Events of the stream name it by `place`; nil: they do no more.
    func setPlace(_ stream: Int32, _ place: UInt32?) {
        _ = unsafe nghttp2_session_set_stream_user_data(session, stream, place.flatMap { unsafe Self.pointer($0) })
    }

    private static func pointer(_ place: UInt32) -> UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: UInt(place) + 1)
    }

    /// The stream's source has bytes again. It was deferred.
    func resume(_ stream: Int32) { _ = unsafe nghttp2_session_resume_data(session, stream) }

    /// Bytes of the stream have been passed on, so that the peer may send as many again.
    func consume(_ stream: Int32, _ count: Int) { _ = unsafe nghttp2_session_consume(session, stream, count) }

    /// As `consume`, of a stream that is over.
    func consumeConnection(_ count: Int) { _ = unsafe nghttp2_session_consume_connection(session, count) }

    func reset(_ stream: Int32, _ code: HTTP2ErrorCode) {
        _ = unsafe nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code.rawValue)
    }

    /// Streams that the peer lets us open at a time.
    var streamLimit: Int {
        Int(
            min(
                unsafe nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
                Self.streamsPerClient))
    }

    /// Whether another stream may be opened, ever: numbers run out, and the peer may have said GOAWAY.
    var takesRequests: Bool { unsafe nghttp2_session_check_request_allowed(session) != 0 }

    // MARK: The connection

    func ping() { _ = unsafe nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil) }

    /// Takes no further streams of the peer; those in progress go on.
    func refuseFurther() {
        let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
        _ = unsafe nghttp2_submit_goaway(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
    }

    /// Ends the connection: GOAWAY is what is sent last.
    func terminate(_ code: HTTP2ErrorCode) { _ = unsafe nghttp2_session_terminate_session(session, code.rawValue) }

    /// A stream of the peer's was of no use to anybody.
    mutating func countWasted(tick: UInt64) -> HTTP2Violation? { limits.wastedStream(tick: tick) }
}

/// Error codes of RFC 9113 §7, as far as tunnels use them.
struct HTTP2ErrorCode: BitwiseCopyable, Equatable {
    let rawValue: UInt32

    static let noError = Self(rawValue: 0x0)
    static let protocolError = Self(rawValue: 0x1)
    static let refusedStream = Self(rawValue: 0x7)
    static let cancel = Self(rawValue: 0x8)
    /// The TCP connection of a CONNECT failed.
    static let connectError = Self(rawValue: 0xa)
    static let enhanceYourCalm = Self(rawValue: 0xb)
}
