/// How a field's value is written: the low three bits of its tag.
/// Source: https://protobuf.dev/programming-guides/encoding/#structure
public enum ProtobufWireType: UInt8, Sendable {
    /// int32, int64, uint32, uint64, sint32, sint64, bool and enumerations.
    case varint = 0
    /// fixed64, sfixed64 and double.
    case fixed64 = 1
    /// string, bytes, messages, maps' entries and packed numbers.
    case lengthDelimited = 2
    /// Only in messages of proto2; they are skipped.
    case startGroup = 3
    case endGroup = 4
    /// fixed32, sfixed32 and float.
    case fixed32 = 5
}

/// Why bytes are not a message of the expected type.
public enum ProtobufError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A value goes on beyond the end of its message.
    case truncated
    /// A number of more than ten bytes, or of more than 64 bits.
    case varintTooLong
    /// A tag whose field number is 0 or above 2^29 - 1, or whose wire type does not exist.
    case invalidTag(UInt64)
    /// A known field is not written in the way of its type.
    case wrongWireType(field: Int)
    /// A string is not UTF-8.
    case invalidUTF8(field: Int)
    /// A group ends that has not begun, or the other way about.
    case unbalancedGroup(field: Int)
    /// Groups within groups beyond `ProtobufReader.maxGroupDepth`.
    case groupsTooDeep

    public var description: String {
        switch self {
        case .truncated: "a value goes on beyond the end of its message"
        case .varintTooLong: "a number has more than 64 bits"
        case .invalidTag(let tag): "\(tag) is not the tag of a field"
        case .wrongWireType(let field): "field \(field) is not written as its type is"
        case .invalidUTF8(let field): "field \(field) is not UTF-8"
        case .unbalancedGroup(let field): "group \(field) has no beginning or no end"
        case .groupsTooDeep: "groups are nested deeper than \(ProtobufReader.maxGroupDepth)"
        }
    }
}
