// Unsafe code of this file: reading bytes as a value.

extension RawSpan {
    /// The bytes from `offset` on as a `Value`: a C structure or an integer, for which every bit pattern is valid.
    /// No alignment is needed. Traps when the span is too short.
    public func value<Value: BitwiseCopyable>(at offset: Int = 0, as type: Value.Type = Value.self) -> Value {
        unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self)
    }

    /// One byte.
    func byte(at offset: Int) -> UInt8 {
        unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }
}

extension Array where Element: BitwiseCopyable {
    var rawBytes: RawSpan {
        @_lifetime(borrow self)
        get { unsafe span.bytes }
    }
}
