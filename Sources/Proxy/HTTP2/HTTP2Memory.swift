import CNGHTTP2
import Glibc

/// Where nghttp2 has its memory from: blocks that were freed are kept by their size, so that frames in steady state cost
/// no allocation. Belongs to one worker. One of the few files with unsafe code.
@safe struct HTTP2Memory: ~Copyable {
    private static let smallest = 64
    private static let classes = 7
    /// Blocks of a size that are kept; what a burst needed beyond it is given back.
    private static let kept = 256
    /// In front of each block: its class. Keeps the alignment of malloc(3).
    private static let header = 16

    @safe struct FreeBlocks {
        var heads = unsafe InlineArray<7, UnsafeMutableRawPointer?>(repeating: nil)
        var counts = InlineArray<7, Int>(repeating: 0)
    }

    private let blocks: UnsafeMutablePointer<FreeBlocks>
    private let functions: UnsafeMutablePointer<nghttp2_mem>

    init() {
        unsafe blocks = .allocate(capacity: 1)
        unsafe blocks.initialize(to: FreeBlocks())
        unsafe functions = .allocate(capacity: 1)
        unsafe functions.initialize(
            to: nghttp2_mem(
                mem_user_data: blocks,
                malloc: { size, user in unsafe HTTP2Memory.allocate(size, user) },
                free: { block, user in unsafe HTTP2Memory.free(block, user) },
                calloc: { count, size, user in
                    let (total, overflow) = count.multipliedReportingOverflow(by: size)
                    guard !overflow, let block = unsafe HTTP2Memory.allocate(total, user) else { return nil }
                    unsafe memset(block, 0, total)
                    return unsafe block
                },
                realloc: { block, size, user in unsafe HTTP2Memory.reallocate(block, size, user) }))
    }

    /// All sessions that use it are gone.
    deinit {
        for size in 0..<Self.classes {
            while let block = unsafe blocks.pointee.heads[size] {
                unsafe blocks.pointee.heads[size] = block.load(as: UnsafeMutableRawPointer?.self)
                unsafe Glibc.free(block - Self.header)
            }
        }
        unsafe blocks.deallocate()
        unsafe functions.deallocate()
    }

    /// For nghttp2_session_client_new3 and its kin, which copy it.
    @unsafe var pointer: UnsafeMutablePointer<nghttp2_mem> { unsafe functions }

    private static func sizeClass(_ size: Int) -> Int {
        size <= smallest ? 0 : Int.bitWidth - (size - 1).leadingZeroBitCount - 6
    }

    private static func allocate(_ size: Int, _ user: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let user = unsafe user else { return nil }
        let blocks = unsafe user.assumingMemoryBound(to: FreeBlocks.self)
        let sizeClass = sizeClass(size)
        let isPooled = sizeClass < classes
        if isPooled, let block = unsafe blocks.pointee.heads[sizeClass] {
            unsafe blocks.pointee.heads[sizeClass] = block.load(as: UnsafeMutableRawPointer?.self)
            unsafe blocks.pointee.counts[sizeClass] -= 1
            return unsafe block
        }
        guard let base = unsafe malloc(header + (isPooled ? smallest << sizeClass : size)) else { return nil }
        unsafe base.storeBytes(of: isPooled ? sizeClass : size, as: Int.self)
        unsafe base.storeBytes(of: isPooled, toByteOffset: 8, as: Bool.self)
        return unsafe base + header
    }

    private static func free(_ block: UnsafeMutableRawPointer?, _ user: UnsafeMutableRawPointer?) {
        guard let block = unsafe block, let user = unsafe user else { return }
        let base = unsafe block - header
        guard unsafe base.load(fromByteOffset: 8, as: Bool.self) else {
            unsafe Glibc.free(base)
            return
        }
        let blocks = unsafe user.assumingMemoryBound(to: FreeBlocks.self)
        let sizeClass = unsafe base.load(as: Int.self)
        guard unsafe blocks.pointee.counts[sizeClass] < kept else {
            unsafe Glibc.free(base)
            return
        }
        unsafe block.storeBytes(of: blocks.pointee.heads[sizeClass], as: UnsafeMutableRawPointer?.self)
        unsafe blocks.pointee.heads[sizeClass] = block
        unsafe blocks.pointee.counts[sizeClass] += 1
    }

    private static func reallocate(
        _ block: UnsafeMutableRawPointer?, _ size: Int, _ user: UnsafeMutableRawPointer?
    ) -> UnsafeMutableRawPointer? {
        guard let block = unsafe block else { return unsafe allocate(size, user) }
        let base = unsafe block - header
        let stored = unsafe base.load(as: Int.self)
        let room = unsafe base.load(fromByteOffset: 8, as: Bool.self) ? smallest << stored : stored
        if size <= room { return unsafe block }
        guard let larger = unsafe allocate(size, user) else { return nil }
        unsafe larger.copyMemory(from: block, byteCount: room)
        unsafe free(block, user)
        return unsafe larger
    }
}
