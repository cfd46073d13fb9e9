import CNGHTTP2
import Glibc

/// What nghttp2's callbacks of one worker work on. They change nothing else: what a session receives becomes events,
/// which are looked at after nghttp2 has returned, and what it sends is written behind each other into one chunk of
/// memory. One of the few files with unsafe code.
@safe struct HTTP2Port: ~Copyable {
    /// What is given to a session at once.
    static let inputCapacity = 256 << 10
    /// A frame's header has 9 bytes, and none that makes events is repeated without one; a frame makes two at most.
    static let eventCapacity = 2 * (inputCapacity / 9 + 1) + 64
    static let headCapacity = inputCapacity / 9 + 2

    @safe struct State {
        let input: UnsafeMutableRawPointer
        let events: UnsafeMutablePointer<HTTP2Event>
        let heads: UnsafeMutablePointer<HTTP2Head>
        let sources: UnsafeMutablePointer<HTTP2Source>
        let sourceCapacity: UInt32
        var eventCount = 0
        var headCount = 0
        var output: UnsafeMutableRawPointer?
        var outputCount = 0
        var outputCapacity = 0
        /// Of the session that is at work.
        var block = HTTP2Head()
        /// Its end has not come.
        var isInBlock = false
        var limits = HTTP2Guard()
        var headerLimit: UInt32 = 0
        var violation: HTTP2Violation?
        /// Of the GOAWAY that was sent; `.max`: none.
        var goAwayCode = UInt32.max
        /// Milliseconds.
        var tick: UInt64 = 0
    }

    let state: UnsafeMutablePointer<State>
    let memory = HTTP2Memory()
    fileprivate let callbacks: OpaquePointer
    fileprivate let option: OpaquePointer

    /// - Parameter sources: how many streams there may be.
    init(sources: UInt32) {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(
            to: State(
                input: Pages.reserve(Self.inputCapacity),
                events: Pages.reserve(Self.eventCapacity * MemoryLayout<HTTP2Event>.stride).assumingMemoryBound(
                    to: HTTP2Event.self),
                heads: Pages.reserve(Self.headCapacity * MemoryLayout<HTTP2Head>.stride).assumingMemoryBound(
                    to: HTTP2Head.self),
                sources: Pages.reserve(Int(sources) * MemoryLayout<HTTP2Source>.stride).assumingMemoryBound(
                    to: HTTP2Source.self),
                sourceCapacity: sources))
        unsafe callbacks = HTTP2Callbacks.make()
        unsafe option = HTTP2Callbacks.makeOptions()
    }

    deinit {
        unsafe nghttp2_session_callbacks_del(callbacks)
        unsafe nghttp2_option_del(option)
        unsafe Pages.release(state.pointee.input, Self.inputCapacity)
        unsafe Pages.release(state.pointee.events, Self.eventCapacity * MemoryLayout<HTTP2Event>.stride)
        unsafe Pages.release(state.pointee.heads, Self.headCapacity * MemoryLayout<HTTP2Head>.stride)
        unsafe Pages.release(
            state.pointee.sources, Int(state.pointee.sourceCapacity) * MemoryLayout<HTTP2Source>.stride)
        unsafe state.deallocate()
    }

    /// nghttp2 gives up when there is no memory, and so does the process.
    @unsafe func makeSession(isServer: Bool) -> OpaquePointer {
        var session: OpaquePointer?
        let made = unsafe (isServer ? nghttp2_session_server_new3 : nghttp2_session_client_new3)(
            &session, callbacks, state, option, memory.pointer)
        guard made == 0, let session = unsafe session else { preconditionFailure("no memory for an HTTP/2 session") }
        return unsafe session
    }

    // MARK: What sessions have received

    var eventCount: Int { unsafe state.pointee.eventCount }

    func event(_ index: Int) -> HTTP2Event {
        precondition(unsafe index < state.pointee.eventCount)
        return unsafe state.pointee.events[index]
    }

    func head(_ event: HTTP2Event) -> HTTP2Head {
        precondition(unsafe Int(event.block) < state.pointee.headCount)
        return unsafe state.pointee.heads[Int(event.block)]
    }

    func removeEvents() {
        unsafe state.pointee.eventCount = 0
        unsafe state.pointee.headCount = 0
    }

    /// Where received bytes are put, from `start` on.
    @unsafe func input(from start: Int) -> UnsafeMutableRawBufferPointer {
        precondition(start >= 0 && start <= Self.inputCapacity)
        return unsafe UnsafeMutableRawBufferPointer(
            start: state.pointee.input + start, count: Self.inputCapacity - start)
    }

    /// Bytes of an event.
    @_lifetime(immortal)
    func bytes(_ event: HTTP2Event) -> RawSpan {
        precondition(Int(event.offset) + Int(event.count) <= Self.inputCapacity)
        let span = unsafe RawSpan(_unsafeStart: state.pointee.input + Int(event.offset), byteCount: Int(event.count))
        return unsafe _overrideLifetime(span, copying: ())
    }

    // MARK: What streams send

    subscript(source index: UInt32) -> HTTP2Source {
        @inline(__always) _read {
            precondition(unsafe index < state.pointee.sourceCapacity)
            yield unsafe state.pointee.sources[Int(index)]
        }
        @inline(__always) nonmutating _modify {
            precondition(unsafe index < state.pointee.sourceCapacity)
            yield unsafe &state.pointee.sources[Int(index)]
        }
    }
}
