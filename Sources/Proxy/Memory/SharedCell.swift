/// One value that several threads use at once, at an address and in a cache line of its own: a group of atomics. It is
/// freed with the last reference to the cell.
public final class SharedCell<Value: ~Copyable & Sendable>: Sendable {
    /// Usable as long as this cell lives.
    public let reference: SharedReference<Value>

    public init(_ value: consuming Value) {
        let line = 64
        let size = (MemoryLayout<Value>.size + line - 1) / line * line
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: line)
        let pointer = unsafe memory.bindMemory(to: Value.self, capacity: 1)
        unsafe pointer.initialize(to: value)
        unsafe reference = SharedReference(pointer)
    }

    deinit {
        unsafe reference.pointer.deinitialize(count: 1)
        unsafe UnsafeMutableRawPointer(reference.pointer).deallocate()
    }
}

/// A view of a `SharedCell` without a reference count. Whoever keeps one keeps the cell too: workers keep the whole
/// generation of the configuration that their references come from.
@safe
public struct SharedReference<Value: ~Copyable & Sendable>: BitwiseCopyable, @unchecked Sendable {
    fileprivate let pointer: UnsafeMutablePointer<Value>

    fileprivate init(_ pointer: UnsafeMutablePointer<Value>) {
        unsafe self.pointer = unsafe pointer
    }

    public var value: Value {
        unsafeAddress { unsafe UnsafePointer(pointer) }
    }
}
