import Glibc

/// Storage for the connections of one worker: elements are named by an index, and a token tells a live element from
/// one that had the same place before.
///
/// The memory is reserved at once and touched only where elements have been, so an element never moves and an idle
/// worker costs nothing. One of the few files with unsafe code: every index is checked against what was handed out.
@safe struct Slab<Element: BitwiseCopyable>: ~Copyable {
    /// Generation and, while the place is free, the next free place. Odd generations are live.
    struct Place {
        var generation: UInt32
        var next: UInt32
    }

    static var none: UInt32 { .max }

    let capacity: UInt32
    private(set) var count: UInt32 = 0
    private let elements: UnsafeMutablePointer<Element>
    private let places: UnsafeMutablePointer<Place>
    private var used: UInt32 = 0
    private var free = UInt32.max

    init(capacity: UInt32) {
        self.capacity = capacity
        unsafe elements = Pages.reserve(Int(capacity) * MemoryLayout<Element>.stride).assumingMemoryBound(
            to: Element.self)
        unsafe places = Pages.reserve(Int(capacity) * MemoryLayout<Place>.stride).assumingMemoryBound(to: Place.self)
    }

    deinit {
        unsafe Pages.release(elements, Int(capacity) * MemoryLayout<Element>.stride)
        unsafe Pages.release(places, Int(capacity) * MemoryLayout<Place>.stride)
    }

    /// nil when all places are taken.
    mutating func insert(_ element: Element) -> UInt32? {
        let index: UInt32
        if free != .max {
            index = free
            unsafe free = places[Int(index)].next
        } else if used < capacity {
            index = used
            used += 1
        } else {
            return nil
        }
        unsafe places[Int(index)].generation &+= 1
        unsafe elements[Int(index)] = element
        count += 1
        return index
    }

    mutating func remove(_ index: UInt32) {
        precondition(isLive(index), "an element is removed once")
        unsafe places[Int(index)].generation &+= 1
        unsafe places[Int(index)].next = free
        free = index
        count -= 1
    }

    func isLive(_ index: UInt32) -> Bool {
        unsafe index < used && places[Int(index)].generation & 1 == 1
    }

    /// The element's generation, of which `bits` are kept in event tokens.
    func generation(_ index: UInt32) -> UInt32 {
        precondition(index < used)
        return unsafe places[Int(index)].generation
    }

    /// One more than the highest index that was ever used.
    var limit: UInt32 { used }

    subscript(index: UInt32) -> Element {
        @inline(__always) _read {
            precondition(index < used)
            yield unsafe elements[Int(index)]
        }
        // Not a mutation of the slab: two elements may be changed at the same time.
        @inline(__always) nonmutating _modify {
            precondition(index < used)
            yield unsafe &elements[Int(index)]
        }
    }
}

/// Address space that is committed by touching it.
enum Pages {
    static func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let memory = unsafe mmap(nil, max(byteCount, 1), PROT_READ | PROT_WRITE, flags, -1, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            preconditionFailure("no address space for \(byteCount) bytes")
        }
        return unsafe memory
    }

    static func release(_ memory: UnsafeMutableRawPointer, _ byteCount: Int) {
        unsafe munmap(memory, max(byteCount, 1))
    }

    /// Gives the memory back to the system; it reads as zeroes afterwards.
    static func discard(_ memory: UnsafeMutableRawPointer, _ byteCount: Int) {
        unsafe madvise(memory, byteCount, MADV_DONTNEED)
    }
}
