import CLinux
import CNGHTTP2
import Glibc

/// What nghttp2 calls: see `HTTP2Port`. One of the few files with unsafe code; the user data is always a port's state.
enum HTTP2Callbacks {
    typealias State = HTTP2Port.State

    static let frameHeader = 9
    /// With less room than this no further frame is begun; every frame that is not DATA fits.
    static let leastRoom = 8 << 10

    private static let callbackFailure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    private static let flagEndStream = UInt8(truncatingIfNeeded: NGHTTP2_FLAG_END_STREAM.rawValue)
    private static let flagAcknowledgement = UInt8(truncatingIfNeeded: NGHTTP2_FLAG_ACK.rawValue)

    /// Calls that every session of a port has in common.
    @unsafe static func make() -> OpaquePointer {
        var callbacks: OpaquePointer?
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0, let callbacks = unsafe callbacks else {
            preconditionFailure("no memory for HTTP/2")
        }
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, header, user in
            guard let header = unsafe header, let state = unsafe HTTP2Callbacks.state(user) else { return 0 }
            let tick = unsafe state.pointee.tick
            let violation = unsafe state.pointee.limits.frame(
                type: header.pointee.type, flags: header.pointee.flags, length: header.pointee.length, tick: tick)
            return unsafe HTTP2Callbacks.refuse(state, violation)
        }
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            guard let state = unsafe HTTP2Callbacks.state(user), let frame = unsafe frame else { return 0 }
            unsafe state.pointee.block = HTTP2Head()
            unsafe state.pointee.isInBlock = true
            if unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST { unsafe state.pointee.limits.streams += 1 }
            if unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_HEADERS { unsafe state.pointee.block.isLater = true }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, _, name, nameCount, value, valueCount, _, user in
            guard let state = unsafe HTTP2Callbacks.state(user) else { return 0 }
            let limit = unsafe state.pointee.headerLimit
            guard unsafe state.pointee.block.count(nameCount + valueCount, limit: limit) else {
                // The rest still has to be decoded, since later blocks depend on it; nobody looks at it.
                unsafe state.pointee.block.isTooLarge = true
                return 0
            }
            guard let name = unsafe name, let value = unsafe value else { return 0 }
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(value), byteCount: valueCount)
            unsafe HTTP2Callbacks.take(
                UnsafeRawBufferPointer(start: name, count: nameCount), span, into: &state.pointee.block)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { session, frame, user in
            return unsafe HTTP2Callbacks.received(session, frame, user)
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            session, _, stream, bytes, count, user in
            guard let state = unsafe HTTP2Callbacks.state(user), let bytes = unsafe bytes else { return 0 }
            var event = HTTP2Event(kind: .data, stream: stream)
            event.place = unsafe HTTP2Callbacks.place(session, stream)
            event.offset = unsafe UInt32(UnsafeRawPointer(bytes) - UnsafeRawPointer(state.pointee.input))
            event.count = UInt32(count)
            return unsafe HTTP2Callbacks.push(state, event)
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { session, stream, code, user in
            guard let state = unsafe HTTP2Callbacks.state(user) else { return 0 }
            var event = HTTP2Event(kind: .closed, stream: stream)
            event.place = unsafe HTTP2Callbacks.place(session, stream)
            event.code = code
            return unsafe HTTP2Callbacks.push(state, event)
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, _, user in
            guard let state = unsafe HTTP2Callbacks.state(user) else { return 0 }
            let tick = unsafe state.pointee.tick
            return unsafe HTTP2Callbacks.refuse(state, state.pointee.limits.wastedStream(tick: tick))
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, user in
            return unsafe HTTP2Callbacks.sent(session, frame, user)
        }
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, user in
            guard let state = unsafe HTTP2Callbacks.state(user), let frame = unsafe frame,
                unsafe frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue)
            else { return 0 }
            return unsafe HTTP2Callbacks.push(state, HTTP2Event(kind: .notSent, stream: frame.pointee.hd.stream_id))
        }
        unsafe nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks) {
            _, _, _, connectionWindow, streamWindow, maximumFrame, user in
            guard let state = unsafe HTTP2Callbacks.state(user) else { return 0 }
            let room = unsafe state.pointee.outputCapacity - state.pointee.outputCount - HTTP2Callbacks.frameHeader
            let frame = HTTP2Callbacks.payloadLimit(Int(maximumFrame))
            // Two at a time: more are an array.
            return max(1, min(min(room, frame), min(Int(connectionWindow), Int(streamWindow))))
        }
        unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, _, header, count, _, user in
            guard let state = unsafe HTTP2Callbacks.state(user), let header = unsafe header,
                let output = unsafe state.pointee.output
            else { return HTTP2Callbacks.callbackFailure }
            // The payload has been read to its place already.
            unsafe (output + state.pointee.outputCount).copyMemory(
                from: header, byteCount: HTTP2Callbacks.frameHeader)
            unsafe state.pointee.outputCount += HTTP2Callbacks.frameHeader + count
            unsafe state.pointee.limits.dataSent += 1 + UInt64(count >> 14)
            let room = unsafe state.pointee.outputCapacity - state.pointee.outputCount
            return room < HTTP2Callbacks.leastRoom ? NGHTTP2_ERR_PAUSE.rawValue : 0
        }
        return unsafe callbacks
    }

    /// What a peer may make nghttp2 hold or do.
    @unsafe static func makeOptions() -> OpaquePointer {
        var option: OpaquePointer?
        guard unsafe nghttp2_option_new(&option) == 0, let option = unsafe option else {
            preconditionFailure("no memory for HTTP/2")
        }
        unsafe nghttp2_option_set_no_auto_window_update(option, 1)
        unsafe nghttp2_option_set_no_closed_streams(option, 1)
        unsafe nghttp2_option_set_peer_max_concurrent_streams(option, HTTP2Session.streamsPerClient)
        unsafe nghttp2_option_set_max_outbound_ack(option, 200)
        unsafe nghttp2_option_set_max_settings(option, 32)
        unsafe nghttp2_option_set_max_continuations(option, 8)
        unsafe nghttp2_option_set_stream_reset_rate_limit(option, 1_000, 100)
        return unsafe option
    }

    /// Frames that end with a TLS record if the peer takes no larger ones, and otherwise what one read of a socket gives.
    private static func payloadLimit(_ maximumFrame: Int) -> Int {
        maximumFrame <= 16 << 10 ? min(maximumFrame, 16 << 10 - frameHeader) : maximumFrame
    }

    /// Gives nghttp2 bytes of a source: they are in the output already when this returns.
    static let read: nghttp2_data_source_read_callback = { _, stream, _, length, flags, source, user in
        guard let state = unsafe HTTP2Callbacks.state(user), let source = unsafe source, let flags = unsafe flags,
            let output = unsafe state.pointee.output
        else { return Int(HTTP2Callbacks.callbackFailure) }
        let index = unsafe UInt32(bitPattern: source.pointee.fd)
        precondition(unsafe index < state.pointee.sourceCapacity)
        let place = unsafe state.pointee.sources + Int(index)
        guard unsafe place.pointee.isOpen, unsafe place.pointee.isReadable else {
            unsafe place.pointee.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        let start = unsafe state.pointee.outputCount + HTTP2Callbacks.frameHeader
        let room = unsafe min(length, state.pointee.outputCapacity - start)
        guard room > 0 else { return Int(NGHTTP2_ERR_PAUSE.rawValue) }
        let count = unsafe recv(place.pointee.descriptor, output + start, room, CInt(MSG_DONTWAIT))
        if count > 0 {
            if count < room, unsafe !place.pointee.hasEnding { unsafe place.pointee.isReadable = false }
            unsafe place.pointee.byteCount += UInt64(count)
            unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
            guard unsafe place.pointee.isFollowed else { return count }
            var event = HTTP2Event(kind: .sourceRead, stream: stream)
            event.place = index
            event.offset = UInt32(start)
            event.count = UInt32(count)
            return unsafe HTTP2Callbacks.push(state, event) == 0 ? count : Int(callbackFailure)
        }
        if count == 0 {
            unsafe place.pointee.hasEnded = true
            unsafe place.pointee.isReadable = false
            unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            var event = HTTP2Event(kind: .sourceEnded, stream: stream)
            event.place = index
            return unsafe Int(HTTP2Callbacks.push(state, event))
        }
        let error = weft_errno()
        unsafe place.pointee.isReadable = false
        unsafe place.pointee.isDeferred = true
        if error != EAGAIN, error != EINTR {
            var event = HTTP2Event(kind: .sourceFailed, stream: stream)
            event.place = index
            event.code = UInt32(bitPattern: error)
            _ = unsafe HTTP2Callbacks.push(state, event)
        }
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }

    // MARK: Events

    private static func state(_ user: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<State>? {
        unsafe user?.assumingMemoryBound(to: State.self)
    }

    private static func place(_ session: OpaquePointer?, _ stream: Int32) -> UInt32 {
        // Places are stored plus one: a stream without one has a null pointer.
        let pointer = unsafe nghttp2_session_get_stream_user_data(session, stream)
        return UInt32(truncatingIfNeeded: UInt(bitPattern: pointer)) &- 1
    }

    private static func push(_ state: UnsafeMutablePointer<State>, _ event: HTTP2Event) -> CInt {
        let count = unsafe state.pointee.eventCount
        guard count < HTTP2Port.eventCapacity else {
            unsafe state.pointee.violation = .protocolError
            return callbackFailure
        }
        unsafe state.pointee.events[count] = event
        unsafe state.pointee.eventCount = count + 1
        return 0
    }

    private static func refuse(_ state: UnsafeMutablePointer<State>, _ violation: HTTP2Violation?) -> CInt {
        guard let violation else { return 0 }
        unsafe state.pointee.violation = violation
        return callbackFailure
    }

    private static func take(_ name: UnsafeRawBufferPointer, _ value: RawSpan, into head: inout HTTP2Head) {
        if unsafe equal(name, ":method") {
            head.isConnect = value.byteCount == 7 && matches(value, "CONNECT")
        } else if unsafe equal(name, ":authority") {
            head.authority.set(value)
        } else if unsafe equal(name, "forwarded") {
            head.forwarded.set(value)
        } else if unsafe equal(name, "weft-probe") {
            head.isProbe = true
        } else if unsafe equal(name, ":status"), value.byteCount == 3 {
            var status: UInt16 = 0
            for index in 0..<3 { status = status &* 10 &+ UInt16(value[index] &- UInt8(ascii: "0")) }
            head.status = status
        }
    }

    private static func equal(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard let base = name.baseAddress, name.count == text.utf8CodeUnitCount else { return false }
        return unsafe memcmp(base, text.utf8Start, name.count) == 0
    }

    private static func matches(_ value: RawSpan, _ text: StaticString) -> Bool {
        for index in 0..<value.byteCount where unsafe value[index] != text.utf8Start[index] { return false }
        return true
    }

    private static func received(
        _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
    ) -> CInt {
        guard let state = unsafe state(user), let frame = unsafe frame else { return 0 }
        let header = unsafe frame.pointee.hd
        switch nghttp2_frame_type(UInt32(header.type)) {
        case NGHTTP2_HEADERS:
            let ends = header.flags & flagEndStream != 0
            if unsafe state.pointee.block.isTooLarge {
                let tick = unsafe state.pointee.tick
                let violation = unsafe state.pointee.limits.oversizedHeaders(tick: tick)
                if violation != nil { return unsafe refuse(state, violation) }
            }
            let count = unsafe state.pointee.headCount
            guard count < HTTP2Port.headCapacity else { return unsafe refuse(state, .protocolError) }
            unsafe state.pointee.block.endsStream = ends
            unsafe state.pointee.heads[count] = state.pointee.block
            unsafe state.pointee.isInBlock = false
            unsafe state.pointee.headCount = count + 1
            var event = HTTP2Event(kind: .head, stream: header.stream_id)
            event.place = unsafe place(session, header.stream_id)
            event.block = UInt32(count)
            return unsafe push(state, event)
        case NGHTTP2_DATA:
            guard header.flags & flagEndStream != 0 else { return 0 }
            var event = HTTP2Event(kind: .end, stream: header.stream_id)
            event.place = unsafe place(session, header.stream_id)
            return unsafe push(state, event)
        case NGHTTP2_PING:
            guard header.flags & flagAcknowledgement != 0 else { return 0 }
            return unsafe push(state, HTTP2Event(kind: .pong))
        case NGHTTP2_GOAWAY:
            var event = HTTP2Event(kind: .goAway)
            event.code = unsafe frame.pointee.goaway.error_code
            return unsafe push(state, event)
        default: return 0
        }
    }

    private static func sent(
        _ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ user: UnsafeMutableRawPointer?
    ) -> CInt {
        guard let state = unsafe state(user), let frame = unsafe frame else { return 0 }
        let header = unsafe frame.pointee.hd
        switch nghttp2_frame_type(UInt32(header.type)) {
        case NGHTTP2_HEADERS:
            if unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST { unsafe state.pointee.limits.streams += 1 }
            // A refusal is the whole answer: what the client still sends is of no use (RFC 9113 §8.1).
            if header.flags & flagEndStream != 0, unsafe frame.pointee.headers.cat != NGHTTP2_HCAT_REQUEST {
                return unsafe nghttp2_submit_rst_stream(
                    session, UInt8(NGHTTP2_FLAG_NONE.rawValue), header.stream_id, NGHTTP2_NO_ERROR.rawValue)
            }
        case NGHTTP2_GOAWAY: unsafe state.pointee.goAwayCode = frame.pointee.goaway.error_code
        default: break
        }
        return 0
    }
}
