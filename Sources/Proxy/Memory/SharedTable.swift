/// An immutable array that workers read without a reference count; freed with the last reference to the table.
final class SharedTable<Element: BitwiseCopyable & Sendable>: Sendable {
    /// Usable as long as this table lives.
    let view: SharedTableView<Element>

    init(_ elements: [Element]) {
        let storage = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
        _ = unsafe storage.initialize(fromContentsOf: elements)
        unsafe view = SharedTableView(UnsafeBufferPointer(storage))
    }

    deinit { unsafe view.storage.deallocate() }
}

@safe
struct SharedTableView<Element: BitwiseCopyable & Sendable>: BitwiseCopyable, @unchecked Sendable {
    fileprivate let storage: UnsafeBufferPointer<Element>

    fileprivate init(_ storage: UnsafeBufferPointer<Element>) {
        unsafe self.storage = unsafe storage
    }

    var count: Int { unsafe storage.count }

    subscript(index: Int) -> Element {
        precondition(index >= 0 && index < count, "index out of range")
        return unsafe storage[index]
    }

    /// The first index whose element does not come before `key`; `count` if all do. The elements are in order.
    func lowerBound<Key>(_ key: Key, by precedes: (Element, Key) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if precedes(self[middle], key) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension SharedTableView<UInt8> {
    var bytes: RawSpan {
        @_lifetime(immortal)
        get {
            let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(storage))
            // The table lives as long as the generation that the request began with.
            return unsafe _overrideLifetime(span, copying: ())
        }
    }
}
