// Unsafe code of this file: a position in memory that was reserved for the whole of a sample's or a histogram's text.
// Every write is compared with the end of that memory first; an error in what was reserved is a trap, not a write
// elsewhere.

/// Writes text into reserved memory. Most of an exposition is the labels of series, which are copied in one piece.
///
/// Safe: it cannot be copied, so it does not outlive the call that it was handed to, and it knows its memory's end.
@safe
struct TextCursor: ~Copyable {
    private let start: UnsafeMutableRawPointer
    private var next: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer

    /// The most bytes of a number.
    static let longestNumber = 20

    /// nil if there is no memory.
    init?(_ buffer: UnsafeMutableBufferPointer<UInt8>) {
        guard let base = UnsafeMutableRawBufferPointer(buffer).baseAddress else { return nil }
        unsafe start = base
        unsafe next = base
        unsafe end = base + buffer.count
    }

    /// Bytes written.
    var count: Int { unsafe next - start }

    mutating func byte(_ value: UInt8) {
        precondition(unsafe next < end)
        unsafe next.storeBytes(of: value, as: UInt8.self)
        unsafe next += 1
    }

    mutating func copy(_ piece: [UInt8]) {
        precondition(unsafe piece.count <= end - next)
        unsafe piece.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe next.copyMemory(from: base, byteCount: source.count)
        }
        unsafe next += piece.count
    }

    /// What was written between two counts, once more.
    mutating func again(from first: Int, to last: Int) {
        let length = last - first
        precondition(first >= 0 && length >= 0)
        precondition(last <= count)
        precondition(unsafe length <= end - next)
        unsafe next.copyMemory(from: start + first, byteCount: length)
        unsafe next += length
    }

    mutating func decimal(_ value: UInt64) {
        var rest = value
        var digits = 1
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        precondition(unsafe digits <= end - next)
        rest = value
        var place = digits
        while place > 0 {
            place -= 1
            let digit = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            unsafe next.storeBytes(of: digit, toByteOffset: place, as: UInt8.self)
            rest /= 10
        }
        unsafe next += digits
    }

    /// A part of the value, exactly: of 31007 thousandths `31.007`.
    ///
    /// - Parameter digits: of the fraction: 3 for thousandths, 6 for millionths.
    mutating func decimal(_ value: UInt64, fraction digits: Int) {
        var divisor: UInt64 = 1
        for _ in 0..<digits { divisor *= 10 }
        decimal(value / divisor)
        var rest = value % divisor
        guard rest > 0 else { return }
        byte(UInt8(ascii: "."))
        while rest > 0 {
            divisor /= 10
            byte(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest / divisor))
            rest %= divisor
        }
    }
}

extension [UInt8] {
    /// Appends at most `length` bytes that `body` writes.
    mutating func append(atMost length: Int, _ body: (inout TextCursor) -> Void) {
        if capacity - count < length { reserveCapacity(Swift.max(2 * capacity, count + length)) }
        append(addingCapacity: length) { span in
            unsafe span.withUnsafeMutableBufferPointer { buffer, used in
                guard var cursor = unsafe TextCursor(buffer) else { return }
                body(&cursor)
                used = cursor.count
            }
        }
    }
}
