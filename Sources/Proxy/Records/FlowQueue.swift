import CLinux
import Glibc
import Synchronization

/// Flow records on their way from one worker to the agent.
///
/// Nobody waits: a record that finds no room is counted as lost. The reader is woken for refusals, and when half of the
/// room is taken; it looks regularly besides.
///
/// The memory is of a fixed size and lives as long as the process: there is one for each worker.
@safe
public struct FlowQueue: @unchecked Sendable {
    // Safe: the memory is never freed, places are masked, and each end is moved by one thread only: a place belongs to the
    // worker from when the reader has moved past it to when the worker has, with release and acquire.
    private let slots: UnsafeMutableRawPointer
    /// Records pushed, popped and lost so far, a cache line apart.
    private let pushed: UnsafeMutablePointer<Atomic<UInt64>>
    private let popped: UnsafeMutablePointer<Atomic<UInt64>>
    private let missed: UnsafeMutablePointer<Atomic<UInt64>>
    private let capacity: UInt64
    /// An eventfd that becomes readable when the reader should look.
    public let wakeup: CInt

    private struct Slot: BitwiseCopyable {
        var flow: TunnelFlow
        var peerCount: UInt16
        var ruleCount: UInt16
    }

    private static let stride = 1024
    private static let textOffset = 160
    /// A principal has a trust domain of up to 255 bytes, a namespace of 63 and a service account of 253.
    private static let peerLimit = 608
    private static let ruleLimit = stride - textOffset - peerLimit

    /// - Parameter capacity: records that were not read yet, rounded up to a power of two; each takes 1 KiB once its room
    ///   is used.
    public init(capacity: Int = 2048) {
        precondition(MemoryLayout<Slot>.size <= Self.textOffset)
        var size = 2
        while size < min(capacity, 1 << 20) { size *= 2 }
        self.capacity = UInt64(size)
        unsafe slots = Pages.reserve(size * Self.stride)
        unsafe pushed = .allocate(capacity: 24)
        unsafe popped = pushed + 8
        unsafe missed = pushed + 16
        for word in 0..<24 { unsafe (pushed + word).initialize(to: Atomic(0)) }
        wakeup = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
    }

    /// Records that found no room.
    public var lost: UInt64 { unsafe missed.pointee.load(ordering: .relaxed) }

    private func slot(_ place: UInt64) -> UnsafeMutableRawPointer {
        unsafe slots + Int(place & (capacity - 1)) * Self.stride
    }

    // MARK: The worker's side

    /// Hands a record over; texts that are too long are cut.
    ///
    /// - Parameters:
    ///   - peer: the client's SPIFFE id without its scheme.
    ///   - rule: that has decided; empty: none.
    public func push(_ flow: TunnelFlow, peer: RawSpan, rule: RawSpan) {
        let place = unsafe pushed.pointee.load(ordering: .relaxed)
        let waiting = unsafe place &- popped.pointee.load(ordering: .acquiring)
        guard waiting < capacity else {
            unsafe missed.pointee.store(missed.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
            return
        }
        let memory = unsafe slot(place)
        let texts = unsafe memory + Self.textOffset
        let peerCount = unsafe Self.copy(peer, limit: Self.peerLimit, to: texts)
        let ruleCount = unsafe Self.copy(rule, limit: Self.ruleLimit, to: texts + peerCount)
        let slot = Slot(flow: flow, peerCount: UInt16(peerCount), ruleCount: UInt16(ruleCount))
        unsafe memory.initializeMemory(as: Slot.self, to: slot)
        unsafe pushed.pointee.store(place &+ 1, ordering: .releasing)
        if flow.event == .denied || waiting == capacity / 2 { wake() }
    }

    private static func copy(_ bytes: RawSpan, limit: Int, to target: UnsafeMutableRawPointer) -> Int {
        let count = min(bytes.byteCount, limit)
        unsafe bytes.withUnsafeBytes { source in
            if let base = source.baseAddress, count > 0 { unsafe target.copyMemory(from: base, byteCount: count) }
        }
        return count
    }

    private func wake() {
        var one: UInt64 = 1
        _ = unsafe write(wakeup, &one, 8)
    }

    // MARK: The reader's side

    /// Gives records to `body` in the order in which they were handed over, at most `limit` of them.
    ///
    /// - Returns: how many there were.
    public func drain(limit: Int = 1024, _ body: (borrowing TunnelFlowEntry) -> Void) -> Int {
        var value: UInt64 = 0
        _ = unsafe read(wakeup, &value, 8)
        var count = 0
        var place = unsafe popped.pointee.load(ordering: .relaxed)
        while count < limit, unsafe place != pushed.pointee.load(ordering: .acquiring) {
            let memory = unsafe slot(place)
            let slot = unsafe memory.load(as: Slot.self)
            let texts = unsafe UnsafeRawPointer(memory + Self.textOffset)
            let peer = unsafe RawSpan(_unsafeStart: texts, byteCount: Int(slot.peerCount))
            let rule = unsafe RawSpan(_unsafeStart: texts + Int(slot.peerCount), byteCount: Int(slot.ruleCount))
            body(TunnelFlowEntry(slot.flow, peer: peer, rule: rule))
            place &+= 1
            unsafe popped.pointee.store(place, ordering: .releasing)
            count += 1
        }
        return count
    }
}
