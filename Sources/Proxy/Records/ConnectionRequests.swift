import Synchronization

/// What a worker has seen of the requests on each captured connection, for the connection's flow record, which the kernel
/// writes when the client's end closes: the worker writes a connection's place after each request, the agent reads it.
///
/// A place is found by the moment of the client's connect() and is taken over by whoever has the same one: of a
/// connection that has lost its place nothing is known. The memory is of a fixed size, lives as long as the process and
/// takes none before it is used.
@safe
public struct ConnectionRequests: @unchecked Sendable {
    // Safe: the memory is never freed, and every access is an atomic one within it.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    private static let places = 32_768

    /// Of one connection.
    public struct Summary: BitwiseCopyable, Equatable, Sendable {
        /// First digit of the status of the first response; 0: there was none.
        public var firstClass: UInt8
        public var count: UInt32
    }

    public init() {
        let memory = unsafe Pages.reserve(Self.places * 16)
        unsafe words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Self.places * 2)
    }

    private static func place(_ started: UInt64) -> Int {
        // Fibonacci hashing: moments that are near to each other go far apart.
        2 * Int((started &* 0x9e37_79b9_7f4a_7c15) >> 49)
    }

    /// What tells apart which connection's the second word is.
    private static func tag(_ started: UInt64) -> UInt64 { (started ^ started >> 24) & 0xff_ffff }

    /// - Parameter started: when the client called connect(), CLOCK_MONOTONIC nanoseconds; 0: not known.
    func set(_ summary: Summary, started: UInt64) {
        guard started != 0 else { return }
        let place = Self.place(started)
        let word = UInt64(summary.count) << 32 | UInt64(summary.firstClass) << 24 | Self.tag(started)
        unsafe words[place + 1].store(word, ordering: .relaxed)
        unsafe words[place].store(started, ordering: .releasing)
    }

    /// nil: nothing is known.
    public func find(started: UInt64) -> Summary? {
        let place = Self.place(started)
        guard started != 0, unsafe words[place].load(ordering: .acquiring) == started else { return nil }
        let word = unsafe words[place + 1].load(ordering: .relaxed)
        guard word & 0xff_ffff == Self.tag(started) else { return nil }
        return Summary(firstClass: UInt8(truncatingIfNeeded: word >> 24), count: UInt32(truncatingIfNeeded: word >> 32))
    }
}
