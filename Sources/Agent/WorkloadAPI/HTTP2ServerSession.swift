import CNGHTTP2

/// What a session tells of its streams. None of these may end the session; `frameBegan` may refuse the rest of the input.
protocol HTTP2ServerDelegate: AnyObject {
    /// Whether the peer may send this frame.
    func frameBegan() -> Bool
    func streamBegan(_ stream: Int32)
    func field(_ stream: Int32, _ name: String, _ value: String)
    func headEnded(_ stream: Int32)
    func data(_ stream: Int32, _ bytes: [UInt8])
    func requestEnded(_ stream: Int32)
    func streamClosed(_ stream: Int32)
    /// The next bytes of a response's body.
    func body(_ stream: Int32, limit: Int) -> HTTP2Body
}

/// What there is of a response's body.
enum HTTP2Body {
    /// At most as many as were asked for.
    case bytes(ArraySlice<UInt8>)
    /// None now; `resume` says when there are.
    case later
    /// The body has ended, and the trailers follow.
    case end(trailers: [(name: String, value: String)])
}

/// The server's end of one HTTP/2 connection (RFC 9113) on libnghttp2: bytes in, bytes out, no socket.
///
/// Everything that libnghttp2 needs pointers for is here.
@safe final class HTTP2ServerSession {
    private let session: OpaquePointer
    private unowned let delegate: any HTTP2ServerDelegate

    /// - Parameters:
    ///   - maxStreams: open at the same time; more are refused with REFUSED_STREAM.
    ///   - maxHead: bytes of a request's head, as SETTINGS_MAX_HEADER_LIST_SIZE counts them. The peer is told; the
    ///     delegate has to check.
    init?(delegate: any HTTP2ServerDelegate, maxStreams: Int, maxHead: Int) {
        var options: OpaquePointer?
        var callbacks: OpaquePointer?
        var session: OpaquePointer?
        guard unsafe nghttp2_option_new(&options) == 0 else { return nil }
        defer { unsafe nghttp2_option_del(options) }
        // Closed streams are only kept for priorities, which are not used here.
        unsafe nghttp2_option_set_no_closed_streams(options, 1)
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
        defer { unsafe nghttp2_session_callbacks_del(callbacks) }
        unsafe Self.set(callbacks)
        guard unsafe nghttp2_session_server_new2(&session, callbacks, nil, options) == 0, let session = unsafe session
        else { return nil }
        unsafe self.session = session
        self.delegate = delegate
        unsafe nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
        let settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: UInt32(maxStreams)),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(maxHead)),
        ]
        guard
            unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count) == 0
        else { return nil }
    }

    deinit { unsafe nghttp2_session_del(session) }

    // MARK: Bytes

    /// Takes what the peer has sent. Returns false if it is no HTTP/2, or the delegate refused it.
    func receive(_ bytes: ArraySlice<UInt8>) -> Bool {
        let taken = unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe nghttp2_session_mem_recv(session, buffer.baseAddress, buffer.count)
        }
        return taken == bytes.count
    }

    /// What has to be sent: about `limit` bytes, empty if nothing. Returns nil after an error that ends the connection.
    func output(limit: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < limit {
            var chunk: UnsafePointer<UInt8>?
            let count = unsafe nghttp2_session_mem_send(session, &chunk)
            guard count >= 0 else { return nil }
            guard count > 0 else { break }
            unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: chunk, count: count))
        }
        return bytes
    }

    /// Whether the connection still is of use: after GOAWAY it is until the last stream has ended.
    var isAlive: Bool {
        unsafe nghttp2_session_want_read(session) != 0 || nghttp2_session_want_write(session) != 0
    }

    /// Says that no stream is taken any more: ENHANCE_YOUR_CALM after a flood, NO_ERROR otherwise.
    func goAway(isFlood: Bool) {
        let code = isFlood ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR
        _ = unsafe nghttp2_session_terminate_session(session, code.rawValue)
    }

    // MARK: Responses

    /// Answers with a head and, if `hasBody`, with what the delegate's `body` gives.
    func respond(_ stream: Int32, _ fields: [(name: String, value: String)], hasBody: Bool) {
        _ = unsafe withFields(fields) { pointer, count in
            guard hasBody else { return unsafe nghttp2_submit_response(session, stream, pointer, count, nil) }
            var provider = unsafe nghttp2_data_provider()
            unsafe provider.read_callback = { _, stream, buffer, length, flags, _, context in
                unsafe HTTP2ServerSession.of(context).read(stream, buffer, length, flags)
            }
            return unsafe nghttp2_submit_response(session, stream, pointer, count, &provider)
        }
    }

    /// There are bytes of the body again.
    func resume(_ stream: Int32) { _ = unsafe nghttp2_session_resume_data(session, stream) }

    private func read(
        _ stream: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ length: Int, _ flags: UnsafeMutablePointer<UInt32>?
    ) -> Int {
        switch delegate.body(stream, limit: length) {
        case .bytes(let bytes):
            unsafe UnsafeMutableRawBufferPointer(start: buffer, count: length).copyBytes(from: bytes)
            return bytes.count
        case .later:
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        case .end(let trailers):
            unsafe flags?.pointee = NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            _ = unsafe withFields(trailers) { unsafe nghttp2_submit_trailer(session, stream, $0, $1) }
            return 0
        }
    }

    private func withFields(
        _ fields: [(name: String, value: String)], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> CInt
    ) -> CInt {
        var bytes = fields.flatMap { Array($0.name.utf8) + Array($0.value.utf8) }
        return unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            var offset = 0
            let pairs = unsafe fields.map { field in
                let name = unsafe buffer.baseAddress?.advanced(by: offset)
                let value = unsafe name?.advanced(by: field.name.utf8.count)
                offset += field.name.utf8.count + field.value.utf8.count
                return unsafe nghttp2_nv(
                    name: name, value: value, namelen: field.name.utf8.count, valuelen: field.value.utf8.count,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            // libnghttp2 copies names and values before it returns.
            return unsafe body(pairs, pairs.count)
        }
    }

    // MARK: Callbacks

    private static func of(_ context: UnsafeMutableRawPointer?) -> HTTP2ServerSession {
        guard let context = unsafe context else { preconditionFailure("a session without its context") }
        return unsafe Unmanaged<HTTP2ServerSession>.fromOpaque(context).takeUnretainedValue()
    }

    private static func set(_ callbacks: OpaquePointer?) {
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, _, context in
            unsafe HTTP2ServerSession.of(context).delegate.frameBegan()
                ? 0 : CInt(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
        }
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, context in
            guard let frame = unsafe frame?.pointee, unsafe frame.headers.cat == NGHTTP2_HCAT_REQUEST else { return 0 }
            unsafe HTTP2ServerSession.of(context).delegate.streamBegan(frame.hd.stream_id)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, valueLength, _, context in
            guard let stream = unsafe frame?.pointee.hd.stream_id else { return 0 }
            let name = unsafe String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
            let value = unsafe String(decoding: UnsafeBufferPointer(start: value, count: valueLength), as: UTF8.self)
            unsafe HTTP2ServerSession.of(context).delegate.field(stream, name, value)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, context in
            guard let frame = unsafe frame?.pointee else { return 0 }
            let type = unsafe UInt32(frame.hd.type)
            guard type == NGHTTP2_HEADERS.rawValue || type == NGHTTP2_DATA.rawValue else { return 0 }
            let delegate = unsafe HTTP2ServerSession.of(context).delegate
            if type == NGHTTP2_HEADERS.rawValue { unsafe delegate.headEnded(frame.hd.stream_id) }
            if unsafe UInt32(frame.hd.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0 {
                unsafe delegate.requestEnded(frame.hd.stream_id)
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, stream, data, length, context in
            unsafe HTTP2ServerSession.of(context).delegate.data(
                stream, Array(UnsafeBufferPointer(start: data, count: length)))
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, _ in
            guard let frame = unsafe frame?.pointee, unsafe UInt32(frame.hd.type) == NGHTTP2_HEADERS.rawValue,
                unsafe UInt32(frame.hd.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0,
                unsafe nghttp2_session_get_stream_remote_close(session, frame.hd.stream_id) == 0
            else { return 0 }
            // The answer is complete: what the peer would still send of the request is of no interest.
            _ = unsafe nghttp2_submit_rst_stream(session, 0, frame.hd.stream_id, NGHTTP2_NO_ERROR.rawValue)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, context in
            unsafe HTTP2ServerSession.of(context).delegate.streamClosed(stream)
            return 0
        }
    }
}
