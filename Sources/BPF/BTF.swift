// Type information of maps and objects (Documentation/bpf/btf.rst). It may come from anybody who can load maps: every
// offset is checked, and every walk over it has a limit.

import CLibbpf
import Glibc

/// A table of C types. Type 0 is void.
public struct BTF: Sendable {
    enum Kind: UInt32 {
        case int = 1
        case pointer
        case array
        case structure
        case union
        case enumeration
        case forward
        case typedef
        case volatile
        case const
        case restrict
        case function
        case prototype
        case variable
        case section
        case float
        case declarationTag
        case typeTag
        case enumeration64
    }

    /// The common part of a type; `payload` is the place of what follows it.
    struct Entry {
        let kind: Kind
        let nameOffset: UInt32
        let memberCount: Int
        let flag: Bool
        let sizeOrType: UInt32
        let payload: Int
    }

    /// Steps through typedefs, arrays and qualifiers that a walk may take.
    static let depthLimit = 32
    /// The kernel's own limit (BTF_MAX_SIZE).
    private static let sizeLimit = 16 << 20
    /// Bytes of a name that are read; the kernel's limit is 512.
    private static let nameLimit = 512

    private let bytes: [UInt8]
    private let entries: [Entry]
    private let strings: Range<Int>

    /// Parses raw BTF of this machine's byte order.
    ///
    /// - Throws: `BPFError` with EINVAL when it is malformed.
    public init(bytes: [UInt8]) throws(BPFError) {
        func malformed(_ what: String) -> BPFError {
            BPFError(operation: "read", subject: "BTF", errno: EINVAL, detail: what)
        }
        guard bytes.count >= 24, bytes.count <= Self.sizeLimit else { throw malformed("\(bytes.count) bytes") }
        let span = bytes.rawBytes
        guard span.value(as: UInt16.self) == 0xeb9f else { throw malformed("not BTF of this byte order") }
        let header = Int(span.value(at: 4, as: UInt32.self))
        func section(_ offset: Int) throws(BPFError) -> Range<Int> {
            let start = header + Int(span.value(at: offset, as: UInt32.self))
            let end = start + Int(span.value(at: offset + 4, as: UInt32.self))
            guard header >= 24, end <= bytes.count else { throw malformed("a section ends outside") }
            return start..<end
        }
        let types = try section(8)
        strings = try section(16)

        var entries: [Entry] = []
        var position = types.lowerBound
        while position < types.upperBound {
            guard position + 12 <= types.upperBound else { throw malformed("a type is cut off") }
            let info = span.value(at: position + 4, as: UInt32.self)
            guard let kind = Kind(rawValue: info >> 24 & 0x1f) else { throw malformed("kind \(info >> 24 & 0x1f)") }
            let entry = Entry(
                kind: kind, nameOffset: span.value(at: position), memberCount: Int(info & 0xffff),
                flag: info >> 31 == 1,
                sizeOrType: span.value(at: position + 8), payload: position + 12)
            entries.append(entry)
            position += 12 + Self.payloadSize(entry)
        }
        guard position == types.upperBound else { throw malformed("a type is cut off") }
        self.bytes = bytes
        self.entries = entries
    }

    /// The BTF that the kernel keeps under `id`.
    ///
    /// - Throws: `BPFError` with the kernel's errno, or EINVAL when it is not one that stands by itself.
    public static func load(id: UInt32) throws(BPFError) -> BTF {
        let result = bpf_btf_get_fd_by_id(id)
        guard result >= 0 else { throw BPFError(operation: "open", subject: "BTF \(id)", errno: -result) }
        let descriptor = FileDescriptor(owning: result)
        return try BTF(bytes: BTF.read(descriptor: descriptor.rawValue, id: id))
    }

    private static func payloadSize(_ entry: Entry) -> Int {
        switch entry.kind {
        case .int, .variable, .declarationTag: 4
        case .array: 12
        case .structure, .union, .section, .enumeration64: entry.memberCount * 12
        case .enumeration, .prototype: entry.memberCount * 8
        default: 0
        }
    }

    // MARK: reading

    func entry(_ id: UInt32) -> Entry? {
        id > 0 && id <= entries.count ? entries[Int(id) - 1] : nil
    }

    /// A word of a type's payload.
    func word(_ entry: Entry, _ index: Int) -> UInt32 {
        let offset = entry.payload + index * 4
        guard offset + 4 <= bytes.count else { return 0 }
        return bytes.rawBytes.value(at: offset)
    }

    func string(_ offset: UInt32) -> String {
        let start = strings.lowerBound + Int(offset)
        guard start < strings.upperBound else { return "" }
        return String(
            decoding: bytes[start..<strings.upperBound].prefix(Self.nameLimit).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// The type behind typedefs and qualifiers; nil for void, or when there is no end to them.
    func resolved(_ id: UInt32) -> Entry? {
        var id = id
        for _ in 0..<Self.depthLimit {
            guard let entry = entry(id) else { return nil }
            switch entry.kind {
            case .typedef, .volatile, .const, .restrict, .typeTag: id = entry.sizeOrType
            default: return entry
            }
        }
        return nil
    }

    /// Bytes of a value of the type; nil when it has no size.
    func size(of id: UInt32) -> Int? {
        var id = id
        var factor = 1
        for _ in 0..<Self.depthLimit {
            guard let entry = resolved(id) else { return nil }
            switch entry.kind {
            case .int, .structure, .union, .enumeration, .enumeration64, .float:
                let (size, overflow) = factor.multipliedReportingOverflow(by: Int(entry.sizeOrType))
                return overflow ? nil : size
            case .pointer:
                return factor.multipliedReportingOverflow(by: 8).overflow ? nil : factor * 8
            case .array:
                let (product, overflow) = factor.multipliedReportingOverflow(by: Int(word(entry, 2)))
                guard !overflow else { return nil }
                factor = product
                id = word(entry, 0)
            default:
                return nil
            }
        }
        return nil
    }

    /// The type as C writes it, for messages; nil when it has no name.
    func typeName(of id: UInt32) -> String? {
        guard let entry = entry(id) else { return nil }
        let name = string(entry.nameOffset)
        guard !name.isEmpty else { return nil }
        switch entry.kind {
        case .structure: return "struct \(name)"
        case .union: return "union \(name)"
        case .enumeration, .enumeration64: return "enum \(name)"
        default: return name
        }
    }

    /// Where a variable lies in a section.
    func variable(_ name: String, inSection section: String) -> (offset: Int, size: Int)? {
        for entry in entries where entry.kind == .section && string(entry.nameOffset) == section {
            for member in 0..<entry.memberCount {
                guard let variable = self.entry(word(entry, member * 3)), string(variable.nameOffset) == name else {
                    continue
                }
                return (offset: Int(word(entry, member * 3 + 1)), size: Int(word(entry, member * 3 + 2)))
            }
        }
        return nil
    }
}
