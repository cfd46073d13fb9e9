import CLinux
import Glibc

/// A chunk of a worker's buffer pool with the bytes in it. Positions are offsets in the chunk:
/// `start <= cursor <= ready <= end`.
struct Buffer: BitwiseCopyable {
    static let noChunk = UInt32.max

    /// The pool's name for the chunk; `noChunk`: no memory is held.
    var chunk = noChunk
    /// Where the message begins, whose bytes are kept.
    var start: UInt32 = 0
    /// What has been sent on.
    var cursor: UInt32 = 0
    /// What may be sent on.
    var ready: UInt32 = 0
    /// What has been received.
    var end: UInt32 = 0

    var hasChunk: Bool { chunk != Self.noChunk }
    /// Received and not sent on.
    var unsent: Int { Int(end - cursor) }
    /// May be sent now.
    var sendable: Int { Int(ready - cursor) }

    mutating func rewind(to position: UInt32) {
        start = position
        cursor = position
        ready = position
        end = position
    }
}

/// Fixed-size chunks for the bytes in flight of one worker. A connection holds chunks only while it has bytes.
///
/// One of the few files with unsafe code. Spans that it vends name memory that stays mapped as long as the worker
/// lives; who holds one across a change of the chunk sees other bytes, never other memory.
@safe struct BufferPool: ~Copyable {
    static let smallSize: UInt32 = 8 << 10
    static let largeSize: UInt32 = 64 << 10
    private static let largeBit: UInt32 = 1 << 31

    @safe struct Class {
        let base: UnsafeMutableRawPointer
        let size: Int
        let capacity: UInt32
        var used: UInt32 = 0
        /// Chunks that are free, the one freed last on top.
        let free: UnsafeMutablePointer<UInt32>
        var freeCount: UInt32 = 0
        /// Free chunks at the bottom whose memory has been given back.
        var discarded: UInt32 = 0

        init(size: UInt32, capacity: UInt32) {
            self.size = Int(size)
            self.capacity = capacity
            unsafe base = Pages.reserve(Int(size) * Int(capacity))
            unsafe free = Pages.reserve(Int(capacity) * 4).assumingMemoryBound(to: UInt32.self)
        }

        mutating func take() -> UInt32? {
            if freeCount > 0 {
                freeCount -= 1
                discarded = min(discarded, freeCount)
                return unsafe free[Int(freeCount)]
            }
            guard used < capacity else { return nil }
            used += 1
            return used - 1
        }

        mutating func give(_ index: UInt32) {
            precondition(index < used && freeCount < used)
            unsafe free[Int(freeCount)] = index
            freeCount += 1
        }

        /// Gives the memory of all but `keeping` free chunks back to the system.
        mutating func trim(keeping: UInt32) {
            let keep = freeCount > keeping ? freeCount - keeping : 0
            while discarded < keep {
                let chunk = unsafe free[Int(discarded)]
                unsafe Pages.discard(base + Int(chunk) * size, size)
                discarded += 1
            }
        }

        func release() {
            unsafe Pages.release(base, size * Int(capacity))
            unsafe Pages.release(free, Int(capacity) * 4)
        }
    }

    private var small: Class
    private var large: Class

    /// The ceiling of a worker's memory for bytes in flight.
    init(smallCount: UInt32, largeCount: UInt32) {
        small = Class(size: Self.smallSize, capacity: smallCount)
        large = Class(size: Self.largeSize, capacity: largeCount)
    }

    deinit {
        small.release()
        large.release()
    }

    /// Bytes in chunks that are held by connections.
    var bytesInUse: Int {
        Int(small.used - small.freeCount) * small.size + Int(large.used - large.freeCount) * large.size
    }

    /// A small chunk, or a large one when there is none. False at the ceiling.
    mutating func take(_ buffer: inout Buffer) -> Bool {
        if let chunk = small.take() {
            buffer = Buffer(chunk: chunk)
        } else if let chunk = large.take() {
            buffer = Buffer(chunk: chunk | Self.largeBit)
        } else {
            return false
        }
        return true
    }

    /// A large chunk. False: there is none left.
    mutating func takeLarge(_ buffer: inout Buffer) -> Bool {
        guard let chunk = large.take() else { return false }
        buffer = Buffer(chunk: chunk | Self.largeBit)
        return true
    }

    /// The whole memory of a chunk, to be written to; valid until the chunk is given back.
    @unsafe func memory(_ buffer: Buffer) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: address(buffer), count: Int(size(buffer)))
    }

    mutating func give(_ buffer: inout Buffer) {
        guard buffer.hasChunk else { return }
        if buffer.chunk & Self.largeBit == 0 {
            small.give(buffer.chunk)
        } else {
            large.give(buffer.chunk & ~Self.largeBit)
        }
        buffer = Buffer()
    }

    func size(_ buffer: Buffer) -> UInt32 {
        buffer.chunk & Self.largeBit == 0 ? Self.smallSize : Self.largeSize
    }

    /// Moves what is kept into a large chunk. False if it is in one already, or at the ceiling.
    mutating func grow(_ buffer: inout Buffer) -> Bool {
        guard buffer.hasChunk, buffer.chunk & Self.largeBit == 0, let chunk = large.take() else { return false }
        let from = unsafe address(buffer) + Int(buffer.start)
        let to = unsafe large.base + Int(chunk) * large.size
        unsafe to.copyMemory(from: from, byteCount: Int(buffer.end - buffer.start))
        let old = buffer.chunk
        Self.shift(&buffer)
        buffer.chunk = chunk | Self.largeBit
        small.give(old)
        return true
    }

    /// Moves what is kept to the beginning of the chunk.
    func compact(_ buffer: inout Buffer) {
        guard buffer.hasChunk, buffer.start > 0 else { return }
        unsafe memmove(address(buffer), address(buffer) + Int(buffer.start), Int(buffer.end - buffer.start))
        Self.shift(&buffer)
    }

    private static func shift(_ buffer: inout Buffer) {
        let distance = buffer.start
        buffer.start = 0
        buffer.cursor -= distance
        buffer.ready -= distance
        buffer.end -= distance
    }

    /// Drops the bytes between `position` and the cursor, which have been sent, and keeps what is before them.
    func drop(_ buffer: inout Buffer, from position: UInt32) {
        precondition(position <= buffer.cursor)
        let distance = buffer.cursor - position
        guard distance > 0 else { return }
        let base = unsafe address(buffer)
        unsafe memmove(base + Int(position), base + Int(buffer.cursor), buffer.unsent)
        buffer.cursor -= distance
        buffer.ready -= distance
        buffer.end -= distance
    }

    /// Moves bytes within the chunk.
    func move(_ buffer: Buffer, from source: UInt32, to target: UInt32, _ count: UInt32) {
        let size = Int(size(buffer))
        precondition(Int(source) + Int(count) <= size && Int(target) + Int(count) <= size)
        guard source != target else { return }
        unsafe memmove(address(buffer) + Int(target), address(buffer) + Int(source), Int(count))
    }

    /// Room for more bytes behind the last.
    func room(_ buffer: Buffer) -> Int { buffer.hasChunk ? Int(size(buffer) - buffer.end) : 0 }

    /// The bytes of the chunk from `from` up to `to`.
    @_lifetime(immortal)
    func bytes(_ buffer: Buffer, _ from: UInt32, _ to: UInt32) -> RawSpan {
        precondition(buffer.hasChunk && from <= to && to <= size(buffer))
        let span = unsafe RawSpan(_unsafeStart: address(buffer) + Int(from), byteCount: Int(to - from))
        return unsafe _overrideLifetime(span, copying: ())
    }

    /// Appends up to as many bytes as there is room for; the number of those.
    mutating func append(_ bytes: RawSpan, to buffer: inout Buffer) -> Int {
        let count = min(room(buffer), bytes.byteCount)
        guard count > 0 else { return 0 }
        let target = unsafe address(buffer) + Int(buffer.end)
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe target.copyMemory(from: base, byteCount: count)
        }
        buffer.end += UInt32(count)
        return count
    }

    /// Receives from a socket behind the last byte.
    @inline(__always)
    func receive(_ descriptor: CInt, into buffer: inout Buffer) -> Transfer {
        let space = room(buffer)
        precondition(space > 0)
        let result = unsafe Transfer(
            weft_receive(descriptor, address(buffer) + Int(buffer.end), space, Sockets.receiveFlags))
        if case .bytes(let count) = result { buffer.end += UInt32(count) }
        return result
    }

    private func address(_ buffer: Buffer) -> UnsafeMutableRawPointer {
        if buffer.chunk & Self.largeBit == 0 {
            precondition(buffer.chunk < small.used)
            return unsafe small.base + Int(buffer.chunk) * small.size
        }
        let index = buffer.chunk & ~Self.largeBit
        precondition(index < large.used)
        return unsafe large.base + Int(index) * large.size
    }

    /// Gives the memory of free chunks back, keeping what a burst needs.
    mutating func trim() {
        small.trim(keeping: 64)
        large.trim(keeping: 8)
    }
}
