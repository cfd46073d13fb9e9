import CNGHTTP2
import Glibc

/// The fields of a header block that is to be sent. One of the few files with unsafe code.
@safe struct HTTP2Fields: ~Copyable {
    private static let capacity = 8
    /// Of all values together.
    private static let room = 4 << 10

    private let entries: UnsafeMutablePointer<nghttp2_nv>
    private let values: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var used = 0

    init() {
        unsafe entries = .allocate(capacity: Self.capacity)
        unsafe values = .allocate(capacity: Self.room)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe values.deallocate()
    }

    @unsafe var pointer: UnsafePointer<nghttp2_nv> { unsafe UnsafePointer(entries) }

    mutating func removeAll() {
        count = 0
        used = 0
    }

    /// Adds a field; one that does not fit is left out.
    ///
    /// - Parameter isUnique: the value is not worth a place in the peer's table (RFC 7541 §6.2.2).
    mutating func add(_ name: StaticString, _ value: RawSpan, isUnique: Bool = false) {
        guard count < Self.capacity, value.byteCount <= Self.room - used else { return }
        let place = unsafe values + used
        unsafe value.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { unsafe memcpy(place, base, bytes.count) }
        }
        used += value.byteCount
        let flags = isUnique ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE
        unsafe entries[count] = nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start), value: place, namelen: name.utf8CodeUnitCount,
            valuelen: value.byteCount, flags: UInt8(truncatingIfNeeded: flags.rawValue))
        count += 1
    }

    mutating func add(_ name: StaticString, _ value: StaticString) {
        let span = unsafe RawSpan(_unsafeStart: value.utf8Start, byteCount: value.utf8CodeUnitCount)
        add(name, span)
    }
}
