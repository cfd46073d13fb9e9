import Glibc

/// Where a worker writes the heads and small messages that it sends: one piece of memory, used anew for each. One of the
/// few files with unsafe code.
@safe struct Scratch: ~Copyable {
    static let capacity = 128 << 10

    private let base: UnsafeMutableRawPointer
    private(set) var count = 0
    /// Something did not fit: what is there is not to be sent.
    private(set) var overflowed = false

    init() { unsafe base = Pages.reserve(Self.capacity) }

    deinit { unsafe Pages.release(base, Self.capacity) }

    mutating func removeAll() {
        count = 0
        overflowed = false
    }

    /// What was written; valid until the next `removeAll`.
    var bytes: RawSpan {
        @_lifetime(immortal)
        get {
            let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
            return unsafe _overrideLifetime(span, copying: ())
        }
    }

    @inline(__always)
    private mutating func append(from source: UnsafeRawPointer?, _ length: Int) {
        guard let source = unsafe source, length > 0 else { return }
        guard length <= Self.capacity - count else {
            overflowed = true
            return
        }
        unsafe memcpy(base + count, source, length)
        count &+= length
    }

    @inline(__always)
    mutating func append(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { (buffer: UnsafeRawBufferPointer) in
            unsafe append(from: buffer.baseAddress, buffer.count)
        }
    }

    /// ASCII only.
    @inline(__always)
    mutating func append(_ text: StaticString) {
        unsafe append(from: text.utf8Start, text.utf8CodeUnitCount)
    }

    mutating func append(_ bytes: [UInt8]) { unsafe append(bytes.span.bytes) }

    mutating func append(byte: UInt8) {
        guard count < Self.capacity else {
            overflowed = true
            return
        }
        unsafe base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    mutating func append(decimal value: UInt64) {
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var position = 20
        var rest = value
        repeat {
            position -= 1
            digits[position] = UInt8(48 + rest % 10)
            rest /= 10
        } while rest > 0
        for index in position..<20 { append(byte: digits[index]) }
    }

    /// Of the response that was written.
    var statusCode: UInt16 {
        let bytes = bytes
        guard bytes.byteCount >= 12 else { return 0 }
        var status: UInt16 = 0
        for index in 9..<12 { status = status * 10 + UInt16(bytes[index] &- UInt8(ascii: "0")) }
        return status
    }
}
