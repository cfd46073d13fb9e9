/// As `Slab`, for elements that own something. One of the few files with unsafe code: every index is checked against what
/// is live.
@safe struct Slots<Element: ~Copyable>: ~Copyable {
    private let elements: UnsafeMutablePointer<Element>
    private var places: Slab<Bool>

    init(capacity: UInt32) {
        unsafe elements = Pages.reserve(Int(capacity) * MemoryLayout<Element>.stride).assumingMemoryBound(
            to: Element.self)
        places = Slab(capacity: capacity)
    }

    deinit {
        for index in 0..<places.limit where places.isLive(index) {
            unsafe (elements + Int(index)).deinitialize(count: 1)
        }
        unsafe Pages.release(elements, Int(places.capacity) * MemoryLayout<Element>.stride)
    }

    var count: UInt32 { places.count }
    var capacity: UInt32 { places.capacity }
    /// One more than the highest index that was ever used.
    var limit: UInt32 { places.limit }
    var hasRoom: Bool { places.count < places.capacity }

    /// There has to be room.
    mutating func insert(_ element: consuming Element) -> UInt32 {
        guard let index = places.insert(true) else { preconditionFailure("no place is left") }
        unsafe (elements + Int(index)).initialize(to: element)
        return index
    }

    mutating func remove(_ index: UInt32) {
        places.remove(index)
        unsafe (elements + Int(index)).deinitialize(count: 1)
    }

    func isLive(_ index: UInt32) -> Bool { places.isLive(index) }
    func generation(_ index: UInt32) -> UInt32 { places.generation(index) }

    subscript(index: UInt32) -> Element {
        @inline(__always) unsafeAddress {
            precondition(places.isLive(index), "there is no such element")
            return unsafe UnsafePointer(elements + Int(index))
        }
        // Not a change of which elements there are.
        @inline(__always) nonmutating unsafeMutableAddress {
            precondition(places.isLive(index), "there is no such element")
            return unsafe elements + Int(index)
        }
    }
}
