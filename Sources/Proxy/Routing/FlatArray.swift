/// Immutable elements in memory of their own: reading one is a bounds check and a load, without reference counts.
@safe
public struct FlatArray<Element: BitwiseCopyable & Sendable>: ~Copyable, @unchecked Sendable {
    // Never written after init, so threads may share it.
    private let base: UnsafeMutablePointer<Element>
    public let count: Int

    init(_ elements: [Element]) {
        count = elements.count
        unsafe base = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        unsafe elements.withUnsafeBufferPointer { source in
            if let start = source.baseAddress { unsafe base.initialize(from: start, count: source.count) }
        }
    }

    deinit { unsafe base.deallocate() }

    @inline(__always)
    public subscript(_ index: Int) -> Element {
        precondition(index >= 0 && index < count)
        return unsafe base[index]
    }

    @inline(__always)
    subscript(_ index: UInt32) -> Element { self[Int(index)] }

    /// The memory; the caller keeps the array alive as long as it uses it.
    @unsafe var memory: UnsafeRawPointer { unsafe UnsafeRawPointer(base) }
}

/// Consecutive elements of a flat array.
public struct RouteRun: BitwiseCopyable, Sendable, Equatable {
    var start: UInt32
    public var count: UInt32

    static let empty = RouteRun(start: 0, count: 0)

    var isEmpty: Bool { count == 0 }
    public var indices: Range<Int> { Int(start)..<(Int(start) + Int(count)) }
}

/// Bytes in a route table's arena.
public struct RouteText: BitwiseCopyable, Sendable, Equatable {
    var start: UInt32
    public var count: UInt32

    static let empty = RouteText(start: 0, count: 0)

    public var isEmpty: Bool { count == 0 }
}
