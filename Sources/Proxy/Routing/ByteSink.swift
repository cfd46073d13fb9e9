/// Bytes written one after the other into memory that the caller owns. What does not fit is not written, and the sink
/// says so.
@safe
struct ByteSink: ~Copyable {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0
    /// Something did not fit.
    private(set) var isFull = false

    /// `memory` outlives the sink.
    @unsafe init(_ memory: UnsafeMutableRawBufferPointer) { unsafe self.memory = memory }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        guard unsafe count < memory.count else { return isFull = true }
        unsafe memory[count] = byte
        count &+= 1
    }

    @inline(__always)
    mutating func append(_ bytes: RawSpan) {
        let added = bytes.byteCount
        guard unsafe added <= memory.count &- count else { return isFull = true }
        unsafe bytes.withUnsafeBytes { source in
            if let start = source.baseAddress, let base = unsafe memory.baseAddress {
                unsafe (base + count).copyMemory(from: start, byteCount: added)
            }
        }
        count &+= added
    }

    @inline(__always)
    mutating func append(_ bytes: RawSpan, _ slice: HeadSlice) { append(bytes.extracting(slice.range)) }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        unsafe append(RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount))
    }

    mutating func append(_ text: String) {
        for byte in text.utf8 { append(byte) }
    }

    /// A path that was written from `start` on begins with a slash.
    mutating func ensureSlash(at start: Int) {
        if start < count, unsafe memory[start] == UInt8(ascii: "/") { return }
        append(UInt8(ascii: "/"))
        guard !isFull else { return }
        for index in stride(from: count - 1, to: start, by: -1) { unsafe memory[index] = memory[index - 1] }
        unsafe memory[start] = UInt8(ascii: "/")
    }

    /// In decimal.
    mutating func append<Number: FixedWidthInteger & UnsignedInteger>(number: Number) {
        var divisor: Number = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }

    /// Lets `body` write into the room that is left; it returns how many bytes it has, which may be more than fit, or a
    /// negative number if it could not. Returns false then, and nothing is written.
    @unsafe mutating func append(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool {
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[count...])
        let added = unsafe body(room)
        guard added >= 0 else { return false }
        if added > room.count { isFull = true } else { count += added }
        return true
    }

    /// The number of bytes, nil if not everything fitted.
    consuming func finish() -> Int? { isFull ? nil : count }
}
