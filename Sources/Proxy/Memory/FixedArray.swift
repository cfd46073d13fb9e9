/// An array whose length never changes after it was made: no growth, no copy on write, no reference count. Every index is
/// checked.
@safe
public struct FixedArray<Element: ~Copyable>: ~Copyable {
    private let storage: UnsafeMutableBufferPointer<Element>

    /// - Parameter make: what element `i` is.
    public init(count: Int, _ make: (Int) -> Element) {
        unsafe storage = .allocate(capacity: count)
        for index in 0..<count {
            unsafe storage.initializeElement(at: index, to: make(index))
        }
    }

    deinit {
        unsafe storage.deinitialize()
        unsafe storage.deallocate()
    }

    public var count: Int { unsafe storage.count }
    public var indices: Range<Int> { 0..<count }

    /// Valid as long as the array is.
    @unsafe func address(_ index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < count, "index out of range")
        return unsafe storage.baseAddress.unsafelyUnwrapped + index
    }

    public subscript(index: Int) -> Element {
        unsafeAddress {
            precondition(index >= 0 && index < count, "index out of range")
            return unsafe UnsafePointer(storage.baseAddress.unsafelyUnwrapped + index)
        }
        unsafeMutableAddress {
            precondition(index >= 0 && index < count, "index out of range")
            return unsafe storage.baseAddress.unsafelyUnwrapped + index
        }
    }
}

extension FixedArray where Element: BitwiseCopyable {
    public init(repeating element: Element, count: Int) {
        self.init(count: count) { _ in element }
    }
}

extension FixedArray: @unchecked Sendable where Element: Sendable & ~Copyable {}
