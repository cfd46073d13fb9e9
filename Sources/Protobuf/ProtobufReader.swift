/// Reads a message of Protocol Buffers, field by field, from bytes that anybody may have sent.
///
///     var reader = ProtobufReader(bytes.span)
///     while let field = try reader.next() {
///         switch field {
///         case 1: name = try reader.string()
///         case 2: items.append(try Item(reader.message()))
///         default: break  // unknown fields are skipped
///         }
///     }
///
/// It copies nothing: messages within the message and `bytes` are views. It never recurses; a caller that reads messages
/// of a recursive type has to bound their depth itself. After an error the reader is of no further use.
///
/// Source: https://protobuf.dev/programming-guides/encoding/
public struct ProtobufReader: ~Escapable {
    /// Groups within groups that are skipped; deeper ones are an error.
    public static let maxGroupDepth = 100
    static let fieldNumbers = 1...((1 << 29) - 1)

    private let input: Span<UInt8>
    private var offset = 0
    private var field = 0
    /// How the current field is written.
    public private(set) var wireType = ProtobufWireType.varint
    private var isPending = false

    /// - Parameter bytes: exactly one message.
    @_lifetime(copy bytes)
    public init(_ bytes: Span<UInt8>) { input = bytes }

    /// The number of the next field, or nil at the end of the message. If nobody asked for the value of the field before
    /// it is skipped.
    @_lifetime(self: copy self)
    public mutating func next() throws(ProtobufError) -> Int? {
        if isPending { try skip() }
        guard offset < input.count else { return nil }
        (field, wireType) = try tag()
        guard wireType != .endGroup else { throw .unbalancedGroup(field: field) }
        isPending = true
        return field
    }

    // MARK: Values of the current field

    /// uint64, and every other varint before it is narrowed.
    @_lifetime(self: copy self)
    public mutating func uint64() throws(ProtobufError) -> UInt64 {
        try take(.varint)
        return try varint()
    }

    /// uint32; higher bits are cut off, as the format demands.
    @_lifetime(self: copy self)
    public mutating func uint32() throws(ProtobufError) -> UInt32 { UInt32(truncatingIfNeeded: try uint64()) }

    @_lifetime(self: copy self)
    public mutating func int64() throws(ProtobufError) -> Int64 { Int64(bitPattern: try uint64()) }

    /// int32 and enumerations; higher bits are cut off, as the format demands.
    @_lifetime(self: copy self)
    public mutating func int32() throws(ProtobufError) -> Int32 { Int32(truncatingIfNeeded: try uint64()) }

    /// sint64, and sint32 before it is narrowed (zigzag).
    @_lifetime(self: copy self)
    public mutating func signed() throws(ProtobufError) -> Int64 {
        let value = try uint64()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    @_lifetime(self: copy self)
    public mutating func bool() throws(ProtobufError) -> Bool { try uint64() != 0 }

    /// fixed32, and sfixed32 by its bit pattern.
    @_lifetime(self: copy self)
    public mutating func fixed32() throws(ProtobufError) -> UInt32 {
        try take(.fixed32)
        return UInt32(try littleEndian(4))
    }

    /// fixed64, and sfixed64 by its bit pattern.
    @_lifetime(self: copy self)
    public mutating func fixed64() throws(ProtobufError) -> UInt64 {
        try take(.fixed64)
        return try littleEndian(8)
    }

    @_lifetime(self: copy self)
    public mutating func float() throws(ProtobufError) -> Float { Float(bitPattern: try fixed32()) }

    @_lifetime(self: copy self)
    public mutating func double() throws(ProtobufError) -> Double { Double(bitPattern: try fixed64()) }

    /// `bytes`: a view of the input.
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    public mutating func bytes() throws(ProtobufError) -> Span<UInt8> {
        try take(.lengthDelimited)
        let length = try varint()
        guard length <= UInt64(input.count - offset) else { throw .truncated }
        let start = offset
        offset += Int(length)
        return input.extracting(start..<offset)
    }

    /// A copy of `bytes`.
    @_lifetime(self: copy self)
    public mutating func array() throws(ProtobufError) -> [UInt8] {
        let view = try bytes()
        var copy: [UInt8] = []
        copy.reserveCapacity(view.count)
        for index in view.indices { copy.append(view[index]) }
        return copy
    }

    @_lifetime(self: copy self)
    public mutating func string() throws(ProtobufError) -> String {
        let view = try bytes()
        do {
            return String(copying: try UTF8Span(validating: view))
        } catch {
            throw .invalidUTF8(field: field)
        }
    }

    /// A message within this one.
    @_lifetime(copy self)
    @_lifetime(self: copy self)
    public mutating func message() throws(ProtobufError) -> ProtobufReader { ProtobufReader(try bytes()) }

    /// Appends one repeated varint, or all of a packed run of them: readers have to take both.
    @_lifetime(self: copy self)
    public mutating func append(to values: inout [UInt64]) throws(ProtobufError) {
        guard wireType == .lengthDelimited else { return values.append(try uint64()) }
        var run = try message()
        while run.offset < run.input.count { values.append(try run.varint()) }
    }

    /// One entry of a map<string, string>. What is absent is empty.
    @_lifetime(self: copy self)
    public mutating func entry() throws(ProtobufError) -> (key: String, value: String) {
        var entry = try message()
        var key = ""
        var value = ""
        while let field = try entry.next() {
            switch field {
            case 1: key = try entry.string()
            case 2: value = try entry.string()
            default: break
            }
        }
        return (key, value)
    }

    // MARK: The format

    @_lifetime(self: copy self)
    private mutating func take(_ type: ProtobufWireType) throws(ProtobufError) {
        guard isPending, wireType == type else { throw .wrongWireType(field: field) }
        isPending = false
    }

    @_lifetime(self: copy self)
    private mutating func tag() throws(ProtobufError) -> (field: Int, type: ProtobufWireType) {
        let tag = try varint()
        let number = tag >> 3
        guard let type = ProtobufWireType(rawValue: UInt8(tag & 7)), number <= UInt64(Self.fieldNumbers.upperBound),
            number > 0
        else { throw .invalidTag(tag) }
        return (Int(number), type)
    }

    @_lifetime(self: copy self)
    private mutating func varint() throws(ProtobufError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < input.count {
            let byte = input[offset]
            offset += 1
            // The tenth byte has room for the highest bit alone.
            guard shift < 63 || byte <= 1 else { throw .varintTooLong }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw .truncated
    }

    @_lifetime(self: copy self)
    private mutating func littleEndian(_ size: Int) throws(ProtobufError) -> UInt64 {
        guard size <= input.count - offset else { throw .truncated }
        var value: UInt64 = 0
        for index in 0..<size { value |= UInt64(input[offset + index]) << UInt64(8 * index) }
        offset += size
        return value
    }

    /// Passes over the value of the current field.
    @_lifetime(self: copy self)
    private mutating func skip() throws(ProtobufError) {
        isPending = false
        guard wireType == .startGroup else { return try skipValue(wireType) }
        var open = [field]
        while let innermost = open.last {
            let (number, type) = try tag()
            switch type {
            case .startGroup:
                guard open.count < Self.maxGroupDepth else { throw .groupsTooDeep }
                open.append(number)
            case .endGroup:
                guard number == innermost else { throw .unbalancedGroup(field: number) }
                open.removeLast()
            case .varint, .fixed64, .lengthDelimited, .fixed32:
                try skipValue(type)
            }
        }
    }

    @_lifetime(self: copy self)
    private mutating func skipValue(_ type: ProtobufWireType) throws(ProtobufError) {
        switch type {
        case .varint: _ = try varint()
        case .fixed64: _ = try littleEndian(8)
        case .fixed32: _ = try littleEndian(4)
        case .lengthDelimited:
            let length = try varint()
            guard length <= UInt64(input.count - offset) else { throw .truncated }
            offset += Int(length)
        case .startGroup, .endGroup: break
        }
    }
}
