/// A message taken apart (RFC 1035 §4): its header, its one question, and where its records are.
///
/// Everything that is not exactly a message is refused: counts that do not agree with what is there, bytes that are left
/// over, names that are too long or point forwards.
public struct DNSMessage: Sendable {
    public enum Section: Sendable { case answer, authority, additional }

    /// A record by its place in the message.
    public struct Record: Sendable {
        public var section: Section
        public var name: DNSName
        public var type: DNSType
        public var recordClass: UInt16
        public var ttl: UInt32
        /// Of the whole record, of its TTL, and of its data.
        public var start: Int
        public var ttlOffset: Int
        public var data: Range<Int>
    }

    /// The OPT record (RFC 6891 §6.1.2).
    public struct Extension: Sendable, Equatable {
        public var payloadSize: UInt16
        public var extendedCode: UInt8
        public var version: UInt8
        public var wantsSecurity: Bool
    }

    /// More records than this are not looked at: the largest real answers have some hundreds.
    static let maxRecords = 2000

    public let id: UInt16
    public let flags: DNSFlags
    /// Nil only for a response that repeats none.
    public let question: DNSQuestion?
    /// Where the records begin.
    public let questionEnd: Int
    /// Without OPT records.
    public private(set) var records: [Record] = []
    public private(set) var edns: Extension?
    /// Where the OPT record begins.
    public private(set) var ednsStart: Int?

    /// The response code, with the extended bits.
    public var code: DNSResponseCode {
        DNSResponseCode(rawValue: UInt16(edns?.extendedCode ?? 0) << 4 | flags.code)
    }

    public init(_ bytes: [UInt8]) throws(DNSFormatError) {
        var reader = DNSReader(bytes)
        id = try reader.word()
        flags = DNSFlags(rawValue: try reader.word())
        let questions = try reader.word()
        let counts: [(Section, Int)] = [
            (.answer, Int(try reader.word())), (.authority, Int(try reader.word())),
            (.additional, Int(try reader.word())),
        ]
        guard questions <= 1 else { throw DNSFormatError(description: "\(questions) questions") }
        if questions == 1 {
            let name = try reader.name()
            let type = DNSType(rawValue: try reader.word())
            question = DNSQuestion(name: name, type: type, recordClass: try reader.word())
        } else {
            question = nil
        }
        questionEnd = reader.position
        guard counts.reduce(0, { $0 + $1.1 }) <= Self.maxRecords else {
            throw DNSFormatError(description: "too many records")
        }
        for (section, count) in counts {
            for _ in 0..<count { try read(section, &reader) }
        }
        guard reader.position == bytes.count else { throw DNSFormatError(description: "bytes behind the message") }
    }

    private mutating func read(_ section: Section, _ reader: inout DNSReader) throws(DNSFormatError) {
        let start = reader.position
        let name = try reader.name()
        let type = DNSType(rawValue: try reader.word())
        let recordClass = try reader.word()
        let ttlOffset = reader.position
        let ttl = try reader.long()
        let length = Int(try reader.word())
        let data = try reader.skip(length)
        guard type == .opt else {
            records.append(
                Record(
                    section: section, name: name, type: type, recordClass: recordClass, ttl: ttl, start: start,
                    ttlOffset: ttlOffset, data: data))
            return
        }
        guard section == .additional, edns == nil, name == .root else {
            throw DNSFormatError(description: "an OPT record that does not belong where it is")
        }
        ednsStart = start
        edns = Extension(
            payloadSize: recordClass, extendedCode: UInt8(ttl >> 24), version: UInt8(truncatingIfNeeded: ttl >> 16),
            wantsSecurity: ttl >> 15 & 1 == 1)
    }
}

/// Reads a message from its beginning; never behind its end.
struct DNSReader {
    private let bytes: [UInt8]
    private(set) var position = 0

    init(_ bytes: [UInt8], at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    mutating func word() throws(DNSFormatError) -> UInt16 {
        let range = try skip(2)
        return UInt16(bytes[range.lowerBound]) << 8 | UInt16(bytes[range.lowerBound + 1])
    }

    mutating func long() throws(DNSFormatError) -> UInt32 {
        let high = try word()
        return UInt32(high) << 16 | UInt32(try word())
    }

    mutating func skip(_ count: Int) throws(DNSFormatError) -> Range<Int> {
        guard count <= bytes.count - position else { throw DNSFormatError(description: "the message ends too early") }
        defer { position += count }
        return position..<(position + count)
    }

    /// A name, which may end in a pointer to an earlier one (RFC 1035 §4.1.4). A pointer has to point before everything
    /// that was read of this name, so that names cannot go round in circles.
    mutating func name() throws(DNSFormatError) -> DNSName {
        var wire: [UInt8] = []
        var place = position
        var floor = position
        var end: Int?
        while true {
            guard place < bytes.count else { throw DNSFormatError(description: "a name ends too early") }
            let length = Int(bytes[place])
            switch length {
            case 0:
                wire.append(0)
                position = end ?? place + 1
                return DNSName(wire: wire)
            case 1...DNSName.maxLabel:
                guard place + 1 + length <= bytes.count else {
                    throw DNSFormatError(description: "a name ends too early")
                }
                wire.append(contentsOf: bytes[place...(place + length)])
                guard wire.count < DNSName.maxLength else { throw DNSFormatError(description: "a name is too long") }
                place += 1 + length
            case 0xc0...0xff:
                guard place + 1 < bytes.count else { throw DNSFormatError(description: "a name ends too early") }
                let target = (length & 0x3f) << 8 | Int(bytes[place + 1])
                guard target < floor, target >= DNSWriter.headerSize else {
                    throw DNSFormatError(description: "a name points to what is not before it")
                }
                end = end ?? place + 2
                floor = target
                place = target
            default: throw DNSFormatError(description: "a label of an unknown kind")
            }
        }
    }
}
