/// Bytes for a socket that takes them more slowly than they come: chunks of the worker's pool, one behind the other.
struct Backlog: BitwiseCopyable {
    fileprivate var first = UInt32.max
    fileprivate var last = UInt32.max
    fileprivate(set) var byteCount = 0

    var isEmpty: Bool { byteCount == 0 }
}

/// The chunks of all backlogs of a worker.
struct BacklogChunks: ~Copyable {
    struct Chunk: BitwiseCopyable {
        var buffer: Buffer
        var next: UInt32
    }

    private var chunks: Slab<Chunk>

    init(capacity: UInt32) { chunks = Slab(capacity: capacity) }

    /// Puts bytes behind those of the backlog. False: at the ceiling of the memory, and some may have been added.
    mutating func append(_ bytes: RawSpan, to backlog: inout Backlog, _ buffers: inout BufferPool) -> Bool {
        var offset = 0
        while offset < bytes.byteCount {
            if backlog.last != .max {
                let rest = bytes.extracting(offset..<bytes.byteCount)
                let count = buffers.append(rest, to: &chunks[backlog.last].buffer)
                offset += count
                backlog.byteCount += count
                if offset == bytes.byteCount { break }
            }
            var buffer = Buffer()
            // Small ones for what is little; who gets far behind gets large ones.
            let isLittle = backlog.isEmpty && bytes.byteCount <= Int(BufferPool.smallSize)
            guard !isLittle && buffers.takeLarge(&buffer) || buffers.take(&buffer) else { return false }
            guard let chunk = chunks.insert(Chunk(buffer: buffer, next: .max)) else {
                buffers.give(&buffer)
                return false
            }
            if backlog.last == .max { backlog.first = chunk } else { chunks[backlog.last].next = chunk }
            backlog.last = chunk
        }
        return true
    }

    /// The first bytes that are in one piece. The backlog is not empty.
    @_lifetime(immortal)
    func front(_ backlog: Backlog, _ buffers: borrowing BufferPool) -> RawSpan {
        let buffer = chunks[backlog.first].buffer
        return buffers.bytes(buffer, buffer.cursor, buffer.end)
    }

    /// The first bytes have been passed on.
    mutating func drop(_ count: Int, of backlog: inout Backlog, _ buffers: inout BufferPool) {
        backlog.byteCount -= count
        chunks[backlog.first].buffer.cursor += UInt32(count)
        if chunks[backlog.first].buffer.unsent == 0 { removeFirst(of: &backlog, &buffers) }
    }

    mutating func removeAll(of backlog: inout Backlog, _ buffers: inout BufferPool) {
        while backlog.first != .max { removeFirst(of: &backlog, &buffers) }
        backlog.byteCount = 0
    }

    private mutating func removeFirst(of backlog: inout Backlog, _ buffers: inout BufferPool) {
        let chunk = backlog.first
        buffers.give(&chunks[chunk].buffer)
        backlog.first = chunks[chunk].next
        if backlog.first == .max { backlog.last = .max }
        chunks.remove(chunk)
    }
}
