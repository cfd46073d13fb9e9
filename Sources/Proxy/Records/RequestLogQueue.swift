import CLinux
import Glibc
import Synchronization

/// Entries about requests on their way from one worker to the thread that gives them to its consumers: the access log, traces,
/// and whoever looks at live requests.
///
/// The worker takes a slot when it has read a request's head that some consumer may want, copies what may be said of it,
/// keeps the slot's number with the request, and hands it over when the request has ended and somebody still wants it; the
/// reader gives it back. Nobody waits: a request that finds no slot is counted as lost for each consumer that would have
/// got it, and the reader is woken by a system call only when half of the slots are waiting. Without any consumer a request
/// costs one load.
///
/// The memory is of a fixed size and lives as long as the process: there is one for each worker.
@safe
public struct RequestLogQueue: @unchecked Sendable {
    // Safe: the memory is never freed, slot numbers are compared with the capacity before they are used, and a slot belongs
    // to whoever holds its number: the rings hand it over with release and acquire.
    private let slots: UnsafeMutableRawPointer
    private let ended: Ring
    private let returned: Ring
    /// Free slots that the worker has, the most recently used on top.
    private let spare: UnsafeMutablePointer<UInt32>
    private let state: UnsafeMutablePointer<Atomic<UInt64>>
    private let capacity: Int
    /// An eventfd that becomes readable when the reader should look soon.
    public let wakeup: CInt
    /// The number of the worker whose it is.
    public let worker: Int

    private enum State {
        static let consumers = 0  // RequestConsumers
        static let sample = 1  // thousandths of requests that the access log gets
        static let onlyErrors = 2
        static let accumulated = 3
        static let spareCount = 4
        static let lost = 5  // for each consumer
        static let size = 5 + RequestConsumers.count
    }

    /// A request's place in the log.
    public struct Ticket: BitwiseCopyable, Sendable {
        fileprivate var slot: UInt32
        fileprivate var consumers: RequestConsumers
        /// Its spans are kept whatever becomes of it.
        fileprivate var isSampled = false

        /// Nothing is known about the request yet.
        public static let none = Ticket(slot: .max, consumers: [])
        /// Whether there is something to be handed over or given back.
        var isOpen: Bool { slot < Self.noSlot }

        /// Nobody wants the request, or there was no slot for it.
        fileprivate static let noSlot = UInt32.max - 1
    }

    /// Which requests the access log gets.
    public enum Policy: Sendable, Equatable {
        case off
        /// Answers of 400 and more, and everything with a response flag.
        case errors
        /// So many of a thousand.
        case sampled(UInt16)
        case all
    }

    /// - Parameters:
    ///   - capacity: requests in progress and entries not yet read, at the same time; each takes 2 KiB once it is used.
    ///   - policy: of the access log.
    ///   - worker: the worker's number.
    public init(capacity: Int = 2048, policy: Policy = .off, worker: Int = 0) {
        precondition(MemoryLayout<RequestLogSlot>.size <= Self.textOffset)
        self.capacity = min(max(capacity, 2), 1 << 20)
        self.worker = worker
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

    /// Changes which requests the access log gets, from any thread.
    public func set(_ policy: Policy) {
        let sample: UInt64
        switch policy {
        case .off: sample = 0
        case .errors, .all: sample = 1000
        case .sampled(let thousandths): sample = UInt64(min(thousandths, 1000))
        }
        set(State.onlyErrors, policy == .errors ? 1 : 0)
        set(State.sample, sample)
        set(.accessLog, isOn: sample > 0)
    }

    /// Says whether a consumer is there that wants entries, from any thread.
    public func set(_ consumer: RequestConsumers, isOn: Bool) {
        let bits = UInt64(consumer.rawValue)
        if isOn {
            unsafe state[State.consumers].bitwiseOr(bits, ordering: .relaxed)
        } else {
            unsafe state[State.consumers].bitwiseAnd(~bits, ordering: .relaxed)
        }
    }

    /// Entries that a consumer has not got because there was no slot for them: the reader was too slow.
    public func lost(_ consumer: RequestConsumers) -> UInt64 {
        (0..<RequestConsumers.count).reduce(0) { sum, place in
            consumer.rawValue & 1 << place == 0 ? sum : sum &+ load(State.lost + place)
        }
    }

    // MARK: The worker's side

    /// Whether anybody wants any entries at all.
    public var isOn: Bool { load(State.consumers) != 0 }

    private var consumers: RequestConsumers {
        RequestConsumers(rawValue: UInt8(truncatingIfNeeded: load(State.consumers)))
    }

    /// Keeps what may be said of a request whose head was read.
    ///
    /// - Parameters:
    ///   - trace: the request's place in its trace.
    ///   - requestID: what it gets in place of an `x-request-id` that it has not.
    public func open(
        _ view: borrowing RequestView, local: ClientAddress, trace: TraceContext = TraceContext(),
        requestID: RequestID? = nil
    ) -> Ticket {
        var ticket = Ticket(
            slot: Ticket.noSlot, consumers: wanting(isTraced: trace.isPresent), isSampled: trace.isSampled)
        guard !ticket.consumers.isEmpty, let number = take() else { return ticket }
        var slot = RequestLogSlot()
        slot.hasFacts = true
        slot.method = view.head.method
        slot.minorVersion = view.head.minorVersion
        slot.addresses.client = view.client
        slot.addresses.local = local
        slot.trace = trace
        copy(view, requestID, to: number, &slot)
        unsafe pointer(number).initialize(to: slot)
        ticket.slot = number
        return ticket
    }

    /// Says where the request went; the last one counts.
    ///
    /// - Parameter attemptStarted: when it did so, if that was not the first time; 0 otherwise.
    public func upstream(
        _ ticket: Ticket, address: ClientAddress, local: ClientAddress, attemptStarted: UInt64 = 0
    ) {
        guard ticket.slot < capacity else { return }
        let slot = unsafe pointer(ticket.slot)
        unsafe slot.pointee.attemptStarted = attemptStarted
        unsafe slot.pointee.addresses.upstream = address
        unsafe slot.pointee.addresses.upstreamLocal = local
    }

    /// Says which rule has refused the request.
    public func policy(_ ticket: Ticket, _ rule: RawSpan) {
        guard ticket.slot < capacity else { return }
        let slot = unsafe pointer(ticket.slot)
        let start = unsafe Int(slot.pointee.ends[RequestLogText.policy.rawValue - 1])
        let count = unsafe copy(rule, limit: RequestLogText.policy.limit, to: text(ticket.slot) + start)
        unsafe slot.pointee.ends[RequestLogText.policy.rawValue] = UInt16(start + count)
    }

    /// Hands over what became of an attempt that another one follows, if it is traced; the request goes on as another span.
    ///
    /// - Parameters:
    ///   - record: of the request, as it would be if the attempt were its last.
    ///   - next: the request's place in its trace from now on.
    public func attemptEnded(_ ticket: Ticket, _ record: RequestRecord, principal: RawSpan, next: TraceContext) {
        guard ticket.slot < capacity else { return }
        let attempt = copy(ticket, subject: .attempt)
        unsafe pointer(ticket.slot).pointee.trace = next
        if attempt.isOpen {
            let client = unsafe pointer(attempt.slot).pointee.addresses.client
            close(attempt, record, client: client, local: client, principal: principal)
        }
    }

    /// A ticket for a copy of a request that is sampled; `none` if nobody is told of it.
    func mirror(_ ticket: Ticket, trace: TraceContext) -> Ticket {
        let mirror = copy(ticket, subject: .mirror)
        guard mirror.isOpen else { return .none }
        unsafe pointer(mirror.slot).pointee.trace = trace
        unsafe pointer(mirror.slot).pointee.addresses.upstream = RequestLogAddresses().upstream
        unsafe pointer(mirror.slot).pointee.addresses.upstreamLocal = RequestLogAddresses().upstreamLocal
        return mirror
    }

    /// Another entry of the same request for traces alone, if it is sampled: what else is said of it goes with the request.
    private func copy(_ ticket: Ticket, subject: RequestLogSubject) -> Ticket {
        guard ticket.slot < capacity, ticket.isSampled, ticket.consumers.contains(.traces) else { return .none }
        guard let number = take() else {
            lose(.traces)
            return .none
        }
        var slot = unsafe pointer(ticket.slot).pointee
        slot.subject = subject
        unsafe pointer(number).initialize(to: slot)
        unsafe text(number).copyMemory(from: text(ticket.slot), byteCount: RequestLogText.room)
        return Ticket(slot: number, consumers: .traces, isSampled: true)
    }

    /// Hands the entry over to the reader. The ticket is void afterwards.
    ///
    /// - Parameters:
    ///   - ticket: `none` for a request of which nothing was understood; `client` and `local` are needed then.
    ///   - principal: the SPIFFE id without its scheme that a certificate has proved of the client; empty: none.
    public func close(
        _ ticket: Ticket, _ record: RequestRecord, client: ClientAddress, local: ClientAddress, principal: RawSpan
    ) {
        var ticket = ticket
        if ticket.slot == Ticket.none.slot {
            guard isOn else { return }
            ticket = openUnknown(record, client: client, local: local)
        }
        guard !ticket.consumers.isEmpty else { return }
        var consumers = ticket.consumers
        if consumers.contains(.accessLog), load(State.onlyErrors) != 0, record.status < 400, record.status > 0,
            record.flags.isEmpty
        {
            consumers.remove(.accessLog)
        }
        if !ticket.isSampled, !record.isFailure { consumers.remove(.traces) }
        guard ticket.slot < capacity else {
            lose(consumers)
            return
        }
        guard !consumers.isEmpty else {
            keep(ticket.slot)
            return
        }
        let slot = unsafe pointer(ticket.slot)
        unsafe slot.pointee.record = record
        unsafe slot.pointee.consumers = consumers
        let start = unsafe Int(slot.pointee.ends[RequestLogText.policy.rawValue])
        let count = unsafe copy(principal, limit: RequestLogText.principal.limit, to: text(ticket.slot) + start)
        unsafe slot.pointee.ends[RequestLogText.principal.rawValue] = UInt16(start + count)
        ended.push(ticket.slot)
        if ended.count == capacity / 2 { wake() }
    }

    /// A place for a request of which nothing was understood.
    private func openUnknown(_ record: RequestRecord, client: ClientAddress, local: ClientAddress) -> Ticket {
        var ticket = Ticket(slot: Ticket.noSlot, consumers: wanting(isTraced: false))
        guard !ticket.consumers.isEmpty, let number = take() else { return ticket }
        var slot = RequestLogSlot()
        slot.addresses.client = client
        slot.addresses.local = local
        slot.minorVersion = record.minorVersion
        unsafe pointer(number).initialize(to: slot)
        ticket.slot = number
        return ticket
    }

    /// Gives a ticket back without an entry.
    public func cancel(_ ticket: Ticket) {
        guard ticket.slot < capacity else { return }
        keep(ticket.slot)
    }

    /// Who may want the next request; the access log's sample is drawn.
    private func wanting(isTraced: Bool) -> RequestConsumers {
        var consumers = consumers
        if !isTraced { consumers.remove(.traces) }
        if consumers.contains(.accessLog) {
            let accumulated = load(State.accumulated) + load(State.sample)
            if accumulated >= 1000 {
                set(State.accumulated, accumulated - 1000)
            } else {
                set(State.accumulated, accumulated)
                consumers.remove(.accessLog)
            }
        }
        return consumers
    }

    /// The next free slot.
    private func take() -> UInt32? {
        var count = load(State.spareCount)
        if count == 0 {
            while let number = returned.pop() {
                unsafe spare[Int(count)] = number
                count += 1
            }
        }
        guard count > 0 else { return nil }
        set(State.spareCount, count - 1)
        return unsafe spare[Int(count - 1)]
    }

    private func lose(_ consumers: RequestConsumers) {
        for place in 0..<RequestConsumers.count where consumers.rawValue & 1 << place != 0 {
            set(State.lost + place, load(State.lost + place) &+ 1)
        }
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

    private func pointer(_ number: UInt32) -> UnsafeMutablePointer<RequestLogSlot> {
        unsafe (slots + Int(number) * Self.stride).assumingMemoryBound(to: RequestLogSlot.self)
    }

    /// The slot's texts.
    private func text(_ number: UInt32) -> UnsafeMutableRawPointer {
        unsafe slots + Int(number) * Self.stride + Self.textOffset
    }

    private static let stride = 2176
    private static let textOffset = stride - RequestLogText.room

    private func copy(
        _ view: borrowing RequestView, _ requestID: RequestID?, to number: UInt32, _ slot: inout RequestLogSlot
    ) {
        let fields = RequestLogFields(view)
        var end = 0
        add(.method, view, view.head.methodText, &slot, &end, number)
        end += unsafe copy(view.path, limit: RequestLogText.path.limit, to: text(number) + end)
        if view.head.hasQuery, end + 1 < RequestLogText.path.limit + RequestLogText.method.limit {
            unsafe (text(number) + end).storeBytes(of: UInt8(ascii: "?"), as: UInt8.self)
            end += 1
            let room = RequestLogText.path.limit + RequestLogText.method.limit - end
            end += unsafe copy(view.bytes(view.head.query), limit: room, to: text(number) + end)
        }
        slot.ends[RequestLogText.path.rawValue] = UInt16(end)
        add(.authority, view, view.head.authority, &slot, &end, number)
        add(.userAgent, view, fields.userAgent, &slot, &end, number)
        if let requestID {
            let made = requestID.text
            end += unsafe copy(made.span.bytes, limit: RequestLogText.requestID.limit, to: text(number) + end)
            slot.ends[RequestLogText.requestID.rawValue] = UInt16(end)
        } else {
            add(.requestID, view, fields.requestID, &slot, &end, number)
        }
        add(.forwardedFor, view, fields.forwardedFor, &slot, &end, number)
        add(.upgrade, view, view.head.upgrade, &slot, &end, number)
        add(.referer, view, fields.referer, &slot, &end, number)
        slot.ends[RequestLogText.policy.rawValue] = UInt16(end)
    }

    private func add(
        _ text: RequestLogText, _ view: borrowing RequestView, _ slice: HeadSlice, _ slot: inout RequestLogSlot,
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

    // MARK: The reader's side

    /// Gives entries to `body` in the order in which the requests have ended, at most `limit` of them.
    ///
    /// - Returns: how many there were.
    public func drain(limit: Int = 1024, _ body: (borrowing RequestLogEntry) -> Void) -> Int {
        var value: UInt64 = 0
        _ = unsafe read(wakeup, &value, 8)
        var count = 0
        while count < limit, let number = ended.pop() {
            let bytes = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(text(number)), byteCount: RequestLogText.room)
            body(RequestLogEntry(unsafe pointer(number).pointee, worker: worker, bytes: bytes))
            returned.push(number)
            count += 1
        }
        return count
    }
}

/// Where the fields are that are shown.
private struct RequestLogFields {
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
