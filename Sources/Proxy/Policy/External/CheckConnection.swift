import CLinux
import CNGHTTP2
import Glibc

/// A connection to an authorizer that speaks gRPC over HTTP/2 with prior knowledge (RFC 9113 section 3.3), for many calls
/// at once: in a tunnel where the endpoint takes one, without TLS elsewhere. It belongs to one thread. One of the few files with unsafe code.
@safe final class CheckConnection {
    /// As much of an answer is read.
    private static let limit = 60 << 10

    private final class Stream {
        let call: CheckCall
        var sent = 0
        var status: [UInt8] = []
        var grpcStatus: [UInt8] = []
        var body: [UInt8] = []

        init(_ call: CheckCall) { self.call = call }
    }

    let endpoint: weft_endpoint
    let descriptor: CInt
    private var session: OpaquePointer?
    private var streams: [Int32: Stream] = [:]
    private var output: [UInt8] = []
    private var scratch = Scratch()
    private(set) var hasFailed = false
    /// See `TunnelDialer.Connection`.
    private var awaitsTunnel: Bool
    /// CLOCK_MONOTONIC, nanoseconds.
    private(set) var lastUse: UInt64

    /// nil: the connection has failed at once.
    init?(_ endpoint: weft_endpoint, _ dialer: TunnelDialer, now: UInt64) {
        guard let connection = dialer.connect(to: endpoint) else { return nil }
        self.endpoint = endpoint
        descriptor = connection.descriptor
        awaitsTunnel = connection.awaitsTunnel
        lastUse = now
        var callbacks: OpaquePointer?
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
        defer { unsafe nghttp2_session_callbacks_del(callbacks) }
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameCount, value, valueCount, _, user in
            guard let frame = unsafe frame else { return 0 }
            let id = unsafe frame.pointee.hd.stream_id
            let name = unsafe Array(UnsafeBufferPointer(start: name, count: nameCount))
            let value = unsafe Array(UnsafeBufferPointer(start: value, count: valueCount))
            unsafe CheckConnection.from(user)?.header(id, name, value)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, bytes, count, user in
            let bytes = unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
            unsafe CheckConnection.from(user)?.data(id, bytes)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
            unsafe CheckConnection.from(user)?.closed(id, code)
            return 0
        }
        let user = unsafe Unmanaged.passUnretained(self).toOpaque()
        guard unsafe nghttp2_session_client_new(&session, callbacks, user) == 0 else { return nil }
        let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        let settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0)
        ]
        unsafe nghttp2_submit_settings(session, none, settings, settings.count)
    }

    deinit {
        unsafe nghttp2_session_del(session)
        if descriptor >= 0 { close(descriptor) }
    }

    private static func from(_ user: UnsafeMutableRawPointer?) -> CheckConnection? {
        guard let user = unsafe user else { return nil }
        return unsafe Unmanaged<CheckConnection>.fromOpaque(user).takeUnretainedValue()
    }

    var isIdle: Bool { streams.isEmpty }
    /// The first deadline of a call.
    var deadline: UInt64? { streams.values.map(\.call.deadline).min() }
    /// Of poll(2).
    var events: Int16 {
        let sends = unsafe !output.isEmpty || nghttp2_session_want_write(session) != 0
        return Int16(POLLIN) | (sends ? Int16(POLLOUT) : 0)
    }

    // MARK: Calls

    func start(_ call: CheckCall, now: UInt64) {
        lastUse = now
        let fields: [(String, [UInt8])] =
            [
                (":method", Array("POST".utf8)), (":scheme", Array("http".utf8)),
                (":path", Array("/envoy.service.auth.v3.Authorization/Check".utf8)), (":authority", call.authority),
                ("te", Array("trailers".utf8)), ("content-type", Array("application/grpc".utf8)),
                ("grpc-timeout", Array("\(max(1, (call.deadline - min(now, call.deadline)) / 1_000_000))m".utf8)),
                ("user-agent", Array("weft".utf8)),
            ] + call.trace.fields(by: &scratch)
        var texts: [UInt8] = []
        for (name, value) in fields { texts += Array(name.utf8) + value }
        let id = unsafe texts.withUnsafeMutableBufferPointer { texts -> Int32 in
            var list: [nghttp2_nv] = unsafe []
            var start = 0
            for (name, value) in fields {
                let base = unsafe texts.baseAddress.map { unsafe $0 + start }
                let text = unsafe texts.baseAddress.map { unsafe $0 + start + name.utf8.count }
                unsafe list.append(
                    nghttp2_nv(
                        name: base, value: text, namelen: name.utf8.count,
                        valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
                start += name.utf8.count + value.count
            }
            var provider = unsafe nghttp2_data_provider()
            unsafe provider.read_callback = { _, id, buffer, count, flags, _, user in
                guard let connection = unsafe CheckConnection.from(user), let buffer = unsafe buffer,
                    let flags = unsafe flags
                else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
                let part = connection.next(id, count)
                unsafe buffer.update(from: part.bytes, count: part.bytes.count)
                if part.isLast { unsafe flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue) }
                return part.bytes.count
            }
            return unsafe nghttp2_submit_request(session, nil, list, list.count, &provider, nil)
        }
        guard id > 0 else {
            finish(Stream(call))
            return
        }
        streams[id] = Stream(call)
        send()
    }

    private func next(_ id: Int32, _ count: Int) -> (bytes: [UInt8], isLast: Bool) {
        guard let stream = streams[id] else { return ([], true) }
        let part = Array(stream.call.message[stream.sent...].prefix(count))
        stream.sent += part.count
        return (part, stream.sent == stream.call.message.count)
    }

    private func header(_ id: Int32, _ name: [UInt8], _ value: [UInt8]) {
        if name.elementsEqual(":status".utf8) { streams[id]?.status = value }
        if name.elementsEqual("grpc-status".utf8) { streams[id]?.grpcStatus = value }
    }

    private func data(_ id: Int32, _ bytes: [UInt8]) {
        guard let stream = streams[id] else { return }
        stream.body += bytes
        guard stream.body.count > Self.limit else { return }
        cancel(id)
    }

    private func closed(_ id: Int32, _ code: UInt32) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        finish(stream, isWhole: code == 0)
    }

    /// Tells the worker.
    private func finish(_ stream: Stream, isWhole: Bool = false) {
        var reply = CheckReply(exchange: stream.call.exchange, generation: stream.call.generation)
        if isWhole, stream.status.elementsEqual("200".utf8), stream.grpcStatus == [UInt8(ascii: "0")] {
            reply.read(stream.body, &scratch)
        }
        stream.call.mailbox.post(.checked(reply))
    }

    private func cancel(_ id: Int32) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        unsafe nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, UInt32(NGHTTP2_CANCEL.rawValue))
        finish(stream)
    }

    /// Gives up the calls whose time is over.
    func expire(now: UInt64) {
        for (id, stream) in streams where now >= stream.call.deadline { cancel(id) }
        send()
    }

    // MARK: Bytes

    func advance(_ events: Int16, now: UInt64) {
        lastUse = now
        if events & Int16(POLLIN | POLLHUP | POLLERR) != 0 { receive() }
        send()
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while !hasFailed {
            let room = awaitsTunnel ? 1 : buffer.count
            let count = unsafe recv(descriptor, &buffer, room, CInt(MSG_DONTWAIT))
            switch Transfer(count) {
            case .bytes where awaitsTunnel: awaitsTunnel = false
            case .bytes(let count):
                if unsafe nghttp2_session_mem_recv(session, buffer, count) != count { fail() }
            case .wouldBlock: return
            case .end, .failed: fail()
            }
        }
    }

    private func send() {
        while !hasFailed {
            if output.isEmpty {
                var bytes: UnsafePointer<UInt8>?
                let count = unsafe nghttp2_session_mem_send(session, &bytes)
                guard count > 0 else {
                    if unsafe count < 0 || nghttp2_session_want_read(session) == 0 { fail() }
                    return
                }
                output = unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
            }
            switch unsafe Sockets.send(descriptor, output.span.bytes) {
            case .bytes(let count): output.removeFirst(count)
            // Not connected yet.
            case .wouldBlock: return
            case .failed(let error) where error == ENOTCONN: return
            case .end, .failed: fail()
            }
        }
    }

    /// Nothing of its calls will be answered.
    func fail() {
        hasFailed = true
        let lost = streams.values
        streams = [:]
        for stream in lost { finish(stream) }
    }
}
