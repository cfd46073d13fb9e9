import CLinux
import Glibc
import Synchronization

/// Entries of the access log on their way from one worker to the thread that writes them.
///
/// The worker takes a slot when it has read a request's head, copies what the log may say of it, keeps the slot's number
/// with the request, and hands it over when the request has ended; the writer gives it back. Nobody waits: a request that
/// finds no slot is counted as lost, and the writer is woken by a system call only when half of the slots are waiting.
///
/// The memory is of a fixed size and lives as long as the process: there is one for each worker.
@safe
public struct AccessLogQueue: @unchecked Sendable {
    // Safe: the memory is never freed, slot numbers are compared with the capacity before they are used, and a slot belongs
    // to whoever holds its number: the rings hand it over with release and acquire.
    private let slots: UnsafeMutableRawPointer
    private let ended: Ring
    private let returned: Ring
    /// Free slots that the worker has, the most recently used on top.
    private let spare: UnsafeMutablePointer<UInt32>
    private let state: UnsafeMutablePointer<Atomic<UInt64>>
    private let capacity: Int
    /// An eventfd that becomes readable when the writer should look soon.
    public let wakeup: CInt

    private enum State {
        static let sample = 0  // thousandths of requests that get a slot
        static let onlyErrors = 1
        static let accumulated = 2
        static let lost = 3
        static let spareCount = 4
        static let size = 5
    }

    /// A request's place in the log.
    public struct Ticket: BitwiseCopyable, Sendable {
        fileprivate var slot: UInt32

        /// Nothing is known about the request yet.
        public static let none = Ticket(slot: .max)
        /// It was decided that the request is not logged.
        static let unsampled = Ticket(slot: .max - 1)
    }

    /// Which requests are logged.
    public enum Policy: Sendable, Equatable {
        case off
        /// Answers of 400 and more, and everything with a response flag.
        case errors
        /// So many of a thousand.
        case sampled(UInt16)
        case all
    }

    /// - Parameter capacity: requests in progress and entries not yet written, at the same time; each takes 2 KiB once it
    ///   is used.
    public init(capacity: Int = 2048, policy: Policy = .off) {
        precondition(MemoryLayout<AccessLogSlot>.size <= Self.textOffset)
        self.capacity = min(max(capacity, 2), 1 << 20)
        unsafe slots = .allocate(byteCount: self.capacity * Self.stride, alignment: 64)
        ended = Ring(capacity: self.capacity)
        returned = Ring(capacity: self.capacity)
        unsafe spare = .allocate(capacity: self.capacity)
        for slot in 0..<self.capacity { unsafe (spare + slot).initialize(to: UInt32(slot)) }
        unsafe state = .allocate(capacity: State.size)
        for word in 0..<State.size { unsafe (state + word).initialize(to: Atomic(0)) }
        wakeup = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        set(State.spareCount, UInt64(self.capacity))
        set(policy)
    }

    /// Changes which requests are logged, from any thread.
    public func set(_ policy: Policy) {
        let sample: UInt64
        switch policy {
        case .off: sample = 0
        case .errors, .all: sample = 1000
        case .sampled(let thousandths): sample = UInt64(min(thousandths, 1000))
        }
        unsafe state[State.onlyErrors].store(policy == .errors ? 1 : 0, ordering: .relaxed)
        unsafe state[State.sample].store(sample, ordering: .relaxed)
    }

    /// Entries that were not written because the writer was too slow.
    public var lost: UInt64 { load(State.lost) }

    // MARK: The worker's side

    /// Whether anything is logged at all.
    public var isOn: Bool { load(State.sample) > 0 }

    /// Keeps what the log may say of a request whose head was read.
    public func open(_ view: borrowing RequestView, local: ClientAddress) -> Ticket {
        guard isOn else { return .unsampled }
        guard let number = take() else { return .unsampled }
        var slot = AccessLogSlot()
        slot.hasFacts = true
        slot.method = view.head.method
        slot.minorVersion = view.head.minorVersion
        slot.addresses.client = view.client
        slot.addresses.local = local
        copy(view, to: number, &slot)
        unsafe pointer(number).initialize(to: slot)
        return Ticket(slot: number)
    }

    /// Says where the request went; the last one counts.
    public func upstream(_ ticket: Ticket, address: ClientAddress, local: ClientAddress) {
        guard ticket.slot < capacity else { return }
        let slot = unsafe pointer(ticket.slot)
        unsafe slot.pointee.addresses.upstream = address
        unsafe slot.pointee.addresses.upstreamLocal = local
    }

    /// Says which rule has refused the request.
    public func policy(_ ticket: Ticket, _ rule: RawSpan) {
        guard ticket.slot < capacity else { return }
        let slot = unsafe pointer(ticket.slot)
        let start = unsafe Int(slot.pointee.ends[AccessLogText.policy.rawValue - 1])
        let count = unsafe copy(rule, limit: AccessLogText.policy.limit, to: text(ticket.slot) + start)
        unsafe slot.pointee.ends[AccessLogText.policy.rawValue] = UInt16(start + count)
    }

    /// Hands the entry over to the writer. The ticket is void afterwards.
    ///
    /// - Parameters:
    ///   - ticket: `none` for a request of which nothing was understood; `client` and `local` are needed then.
    ///   - principal: the SPIFFE id without its scheme that a certificate has proved of the client; empty: none.
    public func close(
        _ ticket: Ticket, _ record: RequestRecord, client: ClientAddress, local: ClientAddress, principal: RawSpan
    ) {
        var number = ticket.slot
        if number == Ticket.none.slot {
            guard isOn, let taken = take() else { return }
            number = taken
            var slot = AccessLogSlot()
            slot.addresses.client = client
            slot.addresses.local = local
            slot.minorVersion = record.minorVersion
            unsafe pointer(number).initialize(to: slot)
        }
        guard number < capacity else { return }
        if load(State.onlyErrors) != 0, record.status < 400, record.status > 0, record.flags.isEmpty {
            keep(number)
            return
        }
        unsafe pointer(number).pointee.record = record
        let start = unsafe Int(pointer(number).pointee.ends[AccessLogText.policy.rawValue])
        let count = unsafe copy(principal, limit: AccessLogText.principal.limit, to: text(number) + start)
        unsafe pointer(number).pointee.ends[AccessLogText.principal.rawValue] = UInt16(start + count)
        ended.push(number)
        if ended.count == capacity / 2 { wake() }
    }

    /// Gives a ticket back without an entry.
    public func cancel(_ ticket: Ticket) {
        guard ticket.slot < capacity else { return }
        keep(ticket.slot)
    }

    /// The next free slot if this request is one to log.
    private func take() -> UInt32? {
        let accumulated = load(State.accumulated) + load(State.sample)
        guard accumulated >= 1000 else {
            set(State.accumulated, accumulated)
            return nil
        }
        set(State.accumulated, accumulated - 1000)
        var count = load(State.spareCount)
        if count == 0 {
            while let number = returned.pop() {
                unsafe spare[Int(count)] = number
                count += 1
            }
        }
        guard count > 0 else {
            set(State.lost, load(State.lost) &+ 1)
            return nil
        }
        set(State.spareCount, count - 1)
        return unsafe spare[Int(count - 1)]
    }

    private func keep(_ number: UInt32) {
        let count = load(State.spareCount)
        unsafe spare[Int(count)] = number
        set(State.spareCount, count + 1)
    }

    private func wake() {
        var one: UInt64 = 1
        _ = unsafe write(wakeup, &one, 8)
    }

    // MARK: Slots

    private func pointer(_ number: UInt32) -> UnsafeMutablePointer<AccessLogSlot> {
        unsafe (slots + Int(number) * Self.stride).assumingMemoryBound(to: AccessLogSlot.self)
    }

    /// The slot's texts.
    private func text(_ number: UInt32) -> UnsafeMutableRawPointer {
        unsafe slots + Int(number) * Self.stride + Self.textOffset
    }

    private static let stride = 2176
    private static let textOffset = stride - AccessLogText.room

    private func copy(_ view: borrowing RequestView, to number: UInt32, _ slot: inout AccessLogSlot) {
        let fields = AccessLogFields(view)
        var end = 0
        add(.method, view, view.head.methodText, &slot, &end, number)
        end += unsafe copy(view.path, limit: AccessLogText.path.limit, to: text(number) + end)
        if view.head.hasQuery, end + 1 < AccessLogText.path.limit + AccessLogText.method.limit {
            unsafe (text(number) + end).storeBytes(of: UInt8(ascii: "?"), as: UInt8.self)
            end += 1
            let room = AccessLogText.path.limit + AccessLogText.method.limit - end
            end += unsafe copy(view.bytes(view.head.query), limit: room, to: text(number) + end)
        }
        slot.ends[AccessLogText.path.rawValue] = UInt16(end)
        add(.authority, view, view.head.authority, &slot, &end, number)
        add(.userAgent, view, fields.userAgent, &slot, &end, number)
        add(.requestID, view, fields.requestID, &slot, &end, number)
        add(.forwardedFor, view, fields.forwardedFor, &slot, &end, number)
        add(.upgrade, view, view.head.upgrade, &slot, &end, number)
        add(.referer, view, fields.referer, &slot, &end, number)
        slot.ends[AccessLogText.policy.rawValue] = UInt16(end)
    }

    private func add(
        _ text: AccessLogText, _ view: borrowing RequestView, _ slice: HeadSlice, _ slot: inout AccessLogSlot,
        _ end: inout Int, _ number: UInt32
    ) {
        end += unsafe copy(view.bytes(slice), limit: text.limit, to: self.text(number) + end)
        slot.ends[text.rawValue] = UInt16(end)
    }

    private func copy(_ bytes: RawSpan, limit: Int, to target: UnsafeMutableRawPointer) -> Int {
        let count = min(bytes.byteCount, limit)
        unsafe bytes.withUnsafeBytes { source in
            if let base = source.baseAddress, count > 0 { unsafe target.copyMemory(from: base, byteCount: count) }
        }
        return count
    }

    private func load(_ word: Int) -> UInt64 { unsafe state[word].load(ordering: .relaxed) }
    private func set(_ word: Int, _ value: UInt64) { unsafe state[word].store(value, ordering: .relaxed) }

    // MARK: The writer's side

    /// Gives entries to `body` in the order in which the requests have ended, at most `limit` of them.
    ///
    /// - Returns: how many there were.
    public func drain(limit: Int = 1024, _ body: (borrowing AccessLogEntry) -> Void) -> Int {
        var value: UInt64 = 0
        _ = unsafe read(wakeup, &value, 8)
        var count = 0
        while count < limit, let number = ended.pop() {
            let bytes = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(text(number)), byteCount: AccessLogText.room)
            body(AccessLogEntry(unsafe pointer(number).pointee, bytes: bytes))
            returned.push(number)
            count += 1
        }
        return count
    }
}

/// Where the fields are that the log shows.
private struct AccessLogFields {
    var userAgent = HeadSlice.empty
    var requestID = HeadSlice.empty
    var forwardedFor = HeadSlice.empty
    var referer = HeadSlice.empty

    init(_ view: borrowing RequestView) {
        for index in view.fields.indices {
            switch view.fields[index].known {
            case .userAgent: userAgent = view.fields[index].value
            case .xRequestID: requestID = view.fields[index].value
            case .xForwardedFor: forwardedFor = view.fields[index].value
            case .referer: referer = view.fields[index].value
            default: break
            }
        }
    }
}

extension RequestView {
    @_lifetime(copy self)
    fileprivate func bytes(_ slice: HeadSlice) -> RawSpan { bytes.extracting(slice.range) }
}

/// Numbers on their way from one thread to another. There are never more of them than it has room for.
@safe
private struct Ring: @unchecked Sendable {
    // Safe: the memory is never freed, places are masked, and each end is moved by one thread only.
    private let numbers: UnsafeMutablePointer<UInt32>
    /// Numbers pushed and popped so far, a cache line apart.
    private let pushed: UnsafeMutablePointer<Atomic<Int>>
    private let popped: UnsafeMutablePointer<Atomic<Int>>
    private let mask: Int

    init(capacity: Int) {
        var size = 2
        while size < capacity { size *= 2 }
        mask = size - 1
        unsafe numbers = .allocate(capacity: size)
        unsafe numbers.initialize(repeating: 0, count: size)
        unsafe pushed = .allocate(capacity: 16)
        unsafe popped = pushed + 8
        for word in 0..<16 { unsafe (pushed + word).initialize(to: Atomic(0)) }
    }

    var count: Int {
        unsafe pushed.pointee.load(ordering: .relaxed) &- popped.pointee.load(ordering: .relaxed)
    }

    func push(_ number: UInt32) {
        let place = unsafe pushed.pointee.load(ordering: .relaxed)
        unsafe numbers[place & mask] = number
        unsafe pushed.pointee.store(place &+ 1, ordering: .releasing)
    }

    func pop() -> UInt32? {
        let place = unsafe popped.pointee.load(ordering: .relaxed)
        guard unsafe place != pushed.pointee.load(ordering: .acquiring) else { return nil }
        let number = unsafe numbers[place & mask]
        unsafe popped.pointee.store(place &+ 1, ordering: .releasing)
        return number
    }
}
