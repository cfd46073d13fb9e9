/// Puts messages of Protocol Buffers into bytes, field by field.
///
/// Nothing is left out: a caller that wants proto3's canonical form does not write fields that have their default value.
/// Repeated fields are written by writing the field again, maps by `entry`.
///
/// Source: https://protobuf.dev/programming-guides/encoding/
public struct ProtobufWriter: Sendable {
    /// What was written.
    public private(set) var bytes: [UInt8] = []

    public init() {}

    /// int32, int64, uint32, uint64, and enumerations; negative numbers take ten bytes.
    public mutating func integer(_ field: Int, _ value: some FixedWidthInteger) {
        tag(field, .varint)
        varint(value < 0 ? UInt64(bitPattern: Int64(truncatingIfNeeded: value)) : UInt64(truncatingIfNeeded: value))
    }

    /// sint32 and sint64 (zigzag).
    public mutating func signed(_ field: Int, _ value: Int64) {
        tag(field, .varint)
        varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
    }

    public mutating func bool(_ field: Int, _ value: Bool) {
        tag(field, .varint)
        bytes.append(value ? 1 : 0)
    }

    /// fixed32; sfixed32 by its bit pattern.
    public mutating func fixed32(_ field: Int, _ value: UInt32) {
        tag(field, .fixed32)
        littleEndian(value)
    }

    /// fixed64; sfixed64 by its bit pattern.
    public mutating func fixed64(_ field: Int, _ value: UInt64) {
        tag(field, .fixed64)
        littleEndian(value)
    }

    public mutating func float(_ field: Int, _ value: Float) { fixed32(field, value.bitPattern) }

    public mutating func double(_ field: Int, _ value: Double) { fixed64(field, value.bitPattern) }

    public mutating func string(_ field: Int, _ value: some StringProtocol) {
        tag(field, .lengthDelimited)
        varint(UInt64(value.utf8.count))
        bytes.append(contentsOf: value.utf8)
    }

    /// `bytes`, and messages that are in bytes already.
    public mutating func bytes(_ field: Int, _ value: some Collection<UInt8>) {
        tag(field, .lengthDelimited)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    /// Numbers in the packed form of repeated integers and enumerations.
    public mutating func packed(_ field: Int, _ values: some Collection<UInt64>) {
        message(field) { for value in values { $0.varint(value) } }
    }

    /// A message within this one; `body` writes its fields.
    public mutating func message(_ field: Int, _ body: (inout ProtobufWriter) -> Void) {
        tag(field, .lengthDelimited)
        // Most messages are shorter than 128 bytes: their length fits the one byte that is kept for it.
        let start = bytes.count
        bytes.append(0)
        body(&self)
        let length = bytes.count - start - 1
        if length < 0x80 {
            bytes[start] = UInt8(length)
        } else {
            var prefix = ProtobufWriter()
            prefix.varint(UInt64(length))
            bytes.replaceSubrange(start...start, with: prefix.bytes)
        }
    }

    /// One entry of a map<string, string>: a message with the key as field 1 and the value as field 2.
    public mutating func entry(_ field: Int, key: some StringProtocol, value: some StringProtocol) {
        message(field) {
            $0.string(1, key)
            $0.string(2, value)
        }
    }

    /// One entry of a map<string, bytes>.
    public mutating func entry(_ field: Int, key: some StringProtocol, value: some Collection<UInt8>) {
        message(field) {
            $0.string(1, key)
            $0.bytes(2, value)
        }
    }

    private mutating func tag(_ field: Int, _ type: ProtobufWireType) {
        precondition(ProtobufReader.fieldNumbers.contains(field), "no field of a message has this number")
        varint(UInt64(field) << 3 | UInt64(type.rawValue))
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func littleEndian(_ value: some FixedWidthInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }
}
