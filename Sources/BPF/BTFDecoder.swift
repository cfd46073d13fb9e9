/// Reads the keys and values of any map by the map's own type information. Without it, or where it makes no sense, a
/// value is its bytes.
public struct BTFDecoder: Sendable {
    /// Members and elements of one value that are decoded; what is beyond stays bytes.
    private static let nodeLimit = 16384

    private let btf: BTF?
    private let keyType: UInt32
    private let valueType: UInt32

    /// A decoder for the map that `info` describes. Its BTF is read once, here.
    public init(_ info: AnyMapInfo) {
        btf = info.btfID == 0 ? nil : try? BTF.load(id: info.btfID)
        keyType = info.btfKeyTypeID
        valueType = info.btfValueTypeID
    }

    /// A decoder for types of `btf`.
    public init(_ btf: BTF, keyType: UInt32, valueType: UInt32) {
        self.btf = btf
        self.keyType = keyType
        self.valueType = valueType
    }

    /// The key's type as C writes it; nil when it has no name.
    public var keyTypeName: String? { btf?.typeName(of: keyType) }

    /// The value's type as C writes it; nil when it has no name.
    public var valueTypeName: String? { btf?.typeName(of: valueType) }

    /// The bytes of a key, decoded.
    public func key(_ bytes: [UInt8]) -> BTFValue {
        decode(keyType, bytes)
    }

    /// The bytes of a value (of one CPU's in per-CPU maps), decoded.
    public func value(_ bytes: [UInt8]) -> BTFValue {
        decode(valueType, bytes)
    }

    private func decode(_ type: UInt32, _ bytes: [UInt8]) -> BTFValue {
        guard let btf, let size = btf.size(of: type), size <= bytes.count else { return .bytes(hexadecimal(bytes)) }
        var walk = Walk(btf: btf, bytes: bytes, nodesLeft: Self.nodeLimit)
        return walk.value(type, at: 0, depth: 0)
    }
}

/// One value being decoded.
private struct Walk {
    let btf: BTF
    let bytes: [UInt8]
    var nodesLeft: Int

    mutating func value(_ id: UInt32, at offset: Int, depth: Int) -> BTFValue {
        guard let size = btf.size(of: id), size <= bytes.count - offset else { return .bytes("0x") }
        guard let entry = btf.resolved(id), depth < BTF.depthLimit, nodesLeft > 0 else { return raw(offset, size) }
        nodesLeft -= 1
        switch entry.kind {
        case .int:
            return integer(entry, bits: bits(at: offset, size), size: size, isNetworkOrder: isNetworkOrder(id))
                ?? raw(offset, size)
        case .enumeration, .enumeration64:
            nodesLeft -= entry.memberCount / 256
            return bits(at: offset, size).map { enumerator(entry, $0, width: size * 8) } ?? raw(offset, size)
        case .float:
            switch size {
            case 4: return .float(Double(bytes.rawBytes.value(at: offset, as: Float.self)))
            case 8: return .float(bytes.rawBytes.value(at: offset, as: Double.self))
            default: return raw(offset, size)
            }
        case .pointer:
            return .bytes("0x" + String(bits(at: offset, 8) ?? 0, radix: 16))
        case .structure, .union:
            return .structure(members(entry, at: offset, size: size, depth: depth))
        case .array:
            return array(entry, at: offset, size: size, depth: depth)
        default:
            return raw(offset, size)
        }
    }

    private mutating func members(_ entry: BTF.Entry, at offset: Int, size: Int, depth: Int) -> [BTFValue.Field] {
        var fields: [BTFValue.Field] = []
        for index in 0..<entry.memberCount {
            guard nodesLeft > 0 else { break }
            nodesLeft -= 1
            let name = btf.string(btf.word(entry, index * 3))
            let type = btf.word(entry, index * 3 + 1)
            let place = btf.word(entry, index * 3 + 2)
            let bitOffset = Int(entry.flag ? place & 0xff_ffff : place)
            var width = entry.flag ? Int(place >> 24) : 0
            // Before the flag existed the width of a bit-field was in its integer type.
            if !entry.flag, let member = btf.resolved(type), member.kind == .int {
                let described = Int(btf.word(member, 0) & 0xff)
                if described != Int(member.sizeOrType) * 8 { width = described }
            }
            if width > 0 {
                fields.append(.init(name: name, value: bitField(type, at: offset * 8 + bitOffset, width: width)))
            } else if bitOffset / 8 <= size {
                fields.append(.init(name: name, value: value(type, at: offset + bitOffset / 8, depth: depth + 1)))
            }
        }
        return fields
    }

    private mutating func array(_ entry: BTF.Entry, at offset: Int, size: Int, depth: Int) -> BTFValue {
        let element = btf.word(entry, 0)
        let count = Int(btf.word(entry, 2))
        guard let elementSize = btf.size(of: element), elementSize > 0 else { return .array([]) }
        if elementSize == 1, let type = btf.resolved(element), type.kind == .int {
            let isText = btf.word(type, 0) >> 24 & 2 != 0 || btf.string(type.nameOffset) == "char"
            let content = bytes[offset..<offset + size]
            if isText, let text = String(validating: content.prefix { $0 != 0 }, as: UTF8.self) { return .string(text) }
            return .bytes(hexadecimal(content))
        }
        guard count <= nodesLeft else { return raw(offset, size) }
        return .array((0..<count).map { value(element, at: offset + $0 * elementSize, depth: depth + 1) })
    }

    private func bitField(_ type: UInt32, at bit: Int, width: Int) -> BTFValue {
        let first = bit / 8
        let last = (bit + width + 7) / 8
        guard width <= 64, last <= bytes.count, let entry = btf.resolved(type) else { return .bytes("0x") }
        var value: UInt64 = 0
        for position in 0..<width where bytes[(bit + position) / 8] >> UInt8((bit + position) % 8) & 1 == 1 {
            value |= 1 << UInt64(position)
        }
        if entry.kind == .enumeration || entry.kind == .enumeration64 { return enumerator(entry, value, width: width) }
        guard first < last, entry.kind == .int else { return .unsigned(value) }
        let encoding = btf.word(entry, 0) >> 24
        if encoding & 4 != 0 { return .bool(value != 0) }
        return encoding & 1 != 0 ? .integer(signed(value, width: width)) : .unsigned(value)
    }

    private func integer(_ entry: BTF.Entry, bits: UInt64?, size: Int, isNetworkOrder: Bool) -> BTFValue? {
        guard var bits else { return nil }
        if isNetworkOrder { bits = bits.byteSwapped >> UInt64(64 - size * 8) }
        let encoding = btf.word(entry, 0) >> 24
        if encoding & 4 != 0 { return .bool(bits != 0) }
        return encoding & 1 != 0 ? .integer(signed(bits, width: size * 8)) : .unsigned(bits)
    }

    private func enumerator(_ entry: BTF.Entry, _ bits: UInt64, width: Int) -> BTFValue {
        // The flag says that the enumerators are signed.
        let value = entry.flag ? signed(bits, width: width) : Int64(bitPattern: bits)
        let isLong = entry.kind == .enumeration64
        for index in 0..<entry.memberCount {
            let at = index * (isLong ? 3 : 2)
            let low = btf.word(entry, at + 1)
            let number =
                isLong
                ? Int64(bitPattern: UInt64(low) | UInt64(btf.word(entry, at + 2)) << 32)
                : entry.flag ? Int64(Int32(bitPattern: low)) : Int64(low)
            if number == value { return .enumerator(name: btf.string(btf.word(entry, at)), value: value) }
        }
        return .enumerator(name: nil, value: value)
    }

    /// Whether the type is one of the kernel's names for integers in network order.
    private func isNetworkOrder(_ id: UInt32) -> Bool {
        var id = id
        for _ in 0..<BTF.depthLimit {
            guard let entry = btf.entry(id), entry.kind != .int else { return false }
            if entry.kind == .typedef, ["__be16", "__be32", "__be64"].contains(btf.string(entry.nameOffset)) {
                return true
            }
            id = entry.sizeOrType
        }
        return false
    }

    private func bits(at offset: Int, _ size: Int) -> UInt64? {
        let span = bytes.rawBytes
        switch size {
        case 1: return UInt64(bytes[offset])
        case 2: return UInt64(span.value(at: offset, as: UInt16.self))
        case 4: return UInt64(span.value(at: offset, as: UInt32.self))
        case 8: return span.value(at: offset, as: UInt64.self)
        default: return nil
        }
    }

    private func signed(_ bits: UInt64, width: Int) -> Int64 {
        guard width > 0, width < 64 else { return Int64(bitPattern: bits) }
        return Int64(bitPattern: bits << UInt64(64 - width)) >> Int64(64 - width)
    }

    private func raw(_ offset: Int, _ size: Int) -> BTFValue {
        .bytes(hexadecimal(bytes[offset..<offset + size]))
    }
}
