// The reader's end of a BPF_MAP_TYPE_RINGBUF.
//
// Unsafe code of this file: the kernel's memory, mapped. Layout (Documentation/bpf/ringbuf.rst): one page with the
// reader's position, which we write; one page with the writer's position and the data, mapped twice in a row so that a
// record that wraps is contiguous. Both are read-only. Records have a header of 8 bytes and are padded to 8 bytes.

import CLibbpf
import CLinux
import Glibc

/// Reads records that programs reserve and submit. One reader at a time.
@safe public struct RingBuffer: ~Copyable, @unchecked Sendable {
    // Sendable: the mapping is not bound to a thread, and `consume` is mutating, so there is one reader at a time.
    private let raw: RawMap
    private let pageSize: Int
    private let consumer: UnsafeMutableRawPointer
    private let producer: UnsafeMutableRawPointer
    private let losses: PerCPUMap<UInt32, UInt64>?
    private let lossIndex: UInt32

    /// The map's name in errors.
    public var name: String { raw.name }

    /// The descriptor's number; epoll(7) reports it readable when there are records.
    public var fd: CInt { raw.fd }

    /// Bytes that the ring holds.
    public var size: Int { raw.info.maxEntries }

    /// Takes over the descriptor of a ring buffer.
    ///
    /// - Parameters:
    ///   - losses: the array in which the programs count records that found no room.
    ///   - lossIndex: the index of that counter.
    /// - Throws: `BPFError` with EINVAL when the map is of another type, or the errno of mmap(2).
    public init(
        descriptor: consuming FileDescriptor, name: String, losses: consuming PerCPUMap<UInt32, UInt64>? = nil,
        lossIndex: UInt32 = 0
    ) throws(BPFError) {
        try self.init(raw: RawMap(descriptor: descriptor, name: name), losses: losses, lossIndex: lossIndex)
    }

    /// The ring buffer that is pinned at `path`.
    public static func openPinned(
        _ path: String, name: String, losses: consuming PerCPUMap<UInt32, UInt64>? = nil, lossIndex: UInt32 = 0
    ) throws(BPFError) -> RingBuffer {
        try RingBuffer(raw: RawMap(pinnedAt: path, name: name), losses: losses, lossIndex: lossIndex)
    }

    private init(
        raw: consuming RawMap, losses: consuming PerCPUMap<UInt32, UInt64>?, lossIndex: UInt32
    ) throws(BPFError) {
        guard raw.info.type == .ringBuffer else {
            throw BPFError(
                operation: "open the ring buffer", subject: raw.name, errno: EINVAL, detail: "it is a \(raw.info.type)")
        }
        let pageSize = Int(sysconf(CInt(_SC_PAGESIZE)))
        let length = pageSize + 2 * raw.info.maxEntries
        guard let consumer = unsafe mmap(nil, pageSize, PROT_READ | PROT_WRITE, MAP_SHARED, raw.fd, 0),
            unsafe consumer != MAP_FAILED
        else { throw BPFError(operation: "map the ring buffer", subject: raw.name, errno: weft_errno()) }
        guard let producer = unsafe mmap(nil, length, PROT_READ, MAP_SHARED, raw.fd, pageSize),
            unsafe producer != MAP_FAILED
        else {
            let code = weft_errno()
            unsafe munmap(consumer, pageSize)
            throw BPFError(operation: "map the ring buffer", subject: raw.name, errno: code)
        }
        unsafe self.consumer = consumer
        unsafe self.producer = producer
        self.pageSize = pageSize
        self.raw = raw
        self.losses = losses
        self.lossIndex = lossIndex
    }

    deinit {
        unsafe munmap(consumer, pageSize)
        unsafe munmap(producer, pageSize + 2 * raw.info.maxEntries)
    }

    /// Bytes that are written and not read yet, headers and padding included.
    public var available: Int {
        let unread = unsafe weft_load_acquire(producer) &- weft_load_acquire(consumer)
        return Int(clamping: unread)
    }

    /// Records that found no room since the map was made, as the programs counted them; 0 without a counter.
    ///
    /// - Throws: `BPFError` when the counter cannot be read.
    public func lost() throws(BPFError) -> UInt64 {
        guard losses != nil else { return 0 }
        return try losses?.summedCounters(lossIndex) ?? 0
    }

    /// Hands the records that are complete to `handler`, oldest first, and returns how many there were. Never waits.
    ///
    /// - Parameter limit: stop after so many, to do something else in between.
    @discardableResult
    public mutating func consume(limit: Int = .max, _ handler: (RawSpan) -> Void) -> Int {
        read(limit: limit, isTaking: true, handler)
    }

    /// Hands the records that are complete to `handler` and leaves them where they are, for the next reader.
    public mutating func peek(_ handler: (RawSpan) -> Void) {
        read(limit: .max, isTaking: false, handler)
    }

    @discardableResult
    private mutating func read(limit: Int, isTaking: Bool, _ handler: (RawSpan) -> Void) -> Int {
        let mask = UInt(raw.info.maxEntries - 1)
        let data = unsafe producer + pageSize
        var position = unsafe weft_load_acquire(consumer)
        var count = 0
        while count < limit, unsafe position != weft_load_acquire(producer) {
            let record = unsafe data + Int(position & mask)
            let header = unsafe weft_load_acquire_32(record)
            // Reserved and not submitted yet: everything behind it waits, so that the order is kept.
            if header & UInt32(BPF_RINGBUF_BUSY_BIT) != 0 { break }
            let length = Int(header & ~UInt32(BPF_RINGBUF_DISCARD_BIT))
            if header & UInt32(BPF_RINGBUF_DISCARD_BIT) == 0 {
                let bytes = unsafe UnsafeRawBufferPointer(start: record + Int(BPF_RINGBUF_HDR_SZ), count: length)
                handler(unsafe bytes.bytes)
                count += 1
            }
            position &+= UInt((length + Int(BPF_RINGBUF_HDR_SZ) + 7) / 8 * 8)
            if isTaking { unsafe weft_store_release(consumer, position) }
        }
        return count
    }
}
