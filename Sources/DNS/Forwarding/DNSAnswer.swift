/// An upstream server's answer, made ready to be passed on to anybody who asks the same.
public struct DNSAnswer: Sendable {
    /// The message without its OPT record: that is between two neighbours (RFC 6891 §6.1.1).
    private var bytes: [UInt8] = []
    private var question: DNSQuestion?
    private var ttls: [(offset: Int, ttl: UInt32)] = []
    private var questionEnd = DNSWriter.headerSize
    public private(set) var code = DNSResponseCode.serverFailure
    public private(set) var isTruncated = false
    /// Seconds for which it may be kept; nil: not at all.
    public private(set) var lifetime: UInt32?

    /// Longer than this nothing is kept: names move, and a lie should not live for ever.
    static let maxLifetime: UInt32 = 3600
    static let maxNegativeLifetime: UInt32 = 300

    /// A failure of this server's own.
    public init() {}

    public static let serverFailure = DNSAnswer()

    /// Checks that `bytes` answer what was asked, and takes them.
    ///
    /// - Throws: when they are no message. An answer to something else is nil.
    public init?(_ bytes: [UInt8], to question: DNSQuestion, id: UInt16) throws(DNSFormatError) {
        guard bytes.count >= DNSWriter.headerSize, UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == id else { return nil }
        let message = try DNSMessage(bytes)
        guard message.flags.contains(.response), message.flags.opcode == 0 else { return nil }
        // Servers that do not understand a query may answer with the header only.
        if message.question == nil {
            guard message.records.isEmpty, message.flags.code != 0 else { return nil }
        } else {
            guard message.question == question else { return nil }
        }
        code = message.code
        isTruncated = message.flags.contains(.truncated)
        self.question = message.question
        questionEnd = message.questionEnd
        take(message, bytes)
        lifetime = Self.lifetime(of: message, bytes)
    }

    private mutating func take(_ message: DNSMessage, _ bytes: [UInt8]) {
        var bytes = bytes
        var records = message.records
        if let start = message.ednsStart {
            // What comes behind it could be named by nobody before it; additional records are a courtesy.
            bytes.removeSubrange(start...)
            records.removeAll { $0.start > start }
        }
        let additional = UInt16(records.count { $0.section == .additional })
        bytes[10] = UInt8(additional >> 8)
        bytes[11] = UInt8(truncatingIfNeeded: additional)
        ttls = records.map { ($0.ttlOffset, $0.ttl) }
        self.bytes = bytes
    }

    /// RFC 2181 §8 and, for negative answers, RFC 2308 §5.
    private static func lifetime(of message: DNSMessage, _ bytes: [UInt8]) -> UInt32? {
        guard !message.flags.contains(.truncated), message.question != nil,
            message.code == .noError || message.code == .nameError
        else { return nil }
        let isNegative =
            message.code == .nameError || !message.records.contains { $0.section == .answer && $0.type != .cname }
        var seconds = isNegative ? maxNegativeLifetime : maxLifetime
        if isNegative {
            guard let authority = message.records.first(where: { $0.section == .authority && $0.type == .soa }) else {
                return nil
            }
            // Two names and five numbers, of which the last is meant.
            guard authority.data.count >= 22 else { return nil }
            let minimum = bytes[authority.data].suffix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
            seconds = min(seconds, minimum)
        }
        for record in message.records { seconds = min(seconds, record.ttl & 1 << 31 == 0 ? record.ttl : 0) }
        return seconds
    }

    /// The answer for a client: its id, its spelling of the name, its limit, and an OPT record if it understands them.
    ///
    /// - Parameter age: seconds since the answer came.
    public func message(to query: DNSQuery, age: UInt32, limit: Int) -> [UInt8] {
        guard question != nil, bytes.count >= questionEnd else {
            return DNSWriter.response(to: query, code, limit: limit)
        }
        let room = limit - (query.edns == nil ? 0 : DNSWriter.extensionSize)
        var answer = bytes
        if answer.count > room || isTruncated {
            answer.removeSubrange(questionEnd...)
            for index in 6..<12 { answer[index] = 0 }
            answer[2] |= UInt8(DNSFlags.truncated.rawValue >> 8)
        } else {
            for (offset, ttl) in ttls {
                let left = ttl & 1 << 31 == 0 && ttl > age ? ttl - age : 0
                for index in 0..<4 { answer[offset + index] = UInt8(truncatingIfNeeded: left >> (24 - 8 * index)) }
            }
        }
        answer[0] = UInt8(query.id >> 8)
        answer[1] = UInt8(truncatingIfNeeded: query.id)
        // Recursion desired is the client's word; recursion is available here.
        answer[2] = answer[2] & 0xfe | UInt8(query.flags.rawValue >> 8) & 1
        answer[3] |= 0x80
        // Names are as long in any spelling, so the records' pointers stay right.
        answer.replaceSubrange(
            DNSWriter.headerSize..<(DNSWriter.headerSize + query.question.name.wire.count),
            with: query.question.name.wire)
        if let edns = query.edns {
            DNSWriter.appendExtension(to: &answer, code: code, wantsSecurity: edns.wantsSecurity)
        }
        return answer
    }
}
