import Mesh

/// Writes messages. Names that are the question's, or end in it, are not written again (RFC 1035 §4.1.4).
public struct DNSWriter {
    static let headerSize = 12
    /// What a client without EDNS takes in a datagram (RFC 1035 §4.2.1), and what Weft offers and takes with it: fragments
    /// of datagrams get lost (https://www.dnsflagday.net/2020/).
    public static let plainPayload = 512
    public static let maxPayload = 1232
    /// Of a message over TCP.
    public static let maxStream = 65535

    private(set) var bytes: [UInt8] = []
    private let question: DNSQuestion

    private init(id: UInt16, flags: DNSFlags, code: DNSResponseCode, question: DNSQuestion) {
        self.question = question
        append(id)
        append(flags.rawValue | code.rawValue & 0xf)
        append(1 as UInt16)
        for _ in 0..<3 { append(0 as UInt16) }
        bytes += question.name.wire
        append(question.type.rawValue)
        append(question.recordClass)
    }

    /// A query for an upstream server.
    public static func query(
        id: UInt16, _ question: DNSQuestion, flags: DNSFlags, usesEDNS: Bool, wantsSecurity: Bool
    ) -> [UInt8] {
        var writer = DNSWriter(id: id, flags: flags, code: .noError, question: question)
        if usesEDNS {
            appendExtension(to: &writer.bytes, code: .noError, wantsSecurity: wantsSecurity)
        }
        return writer.bytes
    }

    /// An answer to `query` of at most `limit` bytes; one that does not fit says so (TC) and has the records that do.
    public static func response(
        to query: DNSQuery, _ code: DNSResponseCode, isAuthoritative: Bool = false, answers: [DNSRecord] = [],
        authority: DNSRecord? = nil, additional: [DNSRecord] = [], limit: Int
    ) -> [UInt8] {
        var flags: DNSFlags = [.response, .recursionAvailable]
        flags.formUnion(query.flags.intersection([.recursionDesired, .checkingDisabled]))
        if isAuthoritative { flags.insert(.authoritative) }
        var writer = DNSWriter(id: query.id, flags: flags, code: code, question: query.question)
        let room = limit - (query.edns == nil ? 0 : extensionSize)
        var isTruncated = false
        var counts: [UInt16] = [0, 0, 0]
        for (section, records) in [answers, authority.map { [$0] } ?? [], additional].enumerated() {
            for record in records where !isTruncated {
                let before = writer.bytes.count
                writer.append(record)
                if writer.bytes.count > room {
                    writer.bytes.removeLast(writer.bytes.count - before)
                    // Additional records are a courtesy (RFC 2181 §9).
                    guard section < 2 else { break }
                    isTruncated = true
                } else {
                    counts[section] += 1
                }
            }
        }
        if isTruncated { writer.bytes[2] |= UInt8(DNSFlags.truncated.rawValue >> 8) }
        for (section, count) in counts.enumerated() {
            writer.bytes[6 + 2 * section] = UInt8(count >> 8)
            writer.bytes[7 + 2 * section] = UInt8(truncatingIfNeeded: count)
        }
        if let edns = query.edns {
            appendExtension(to: &writer.bytes, code: code, wantsSecurity: edns.wantsSecurity)
        }
        return writer.bytes
    }

    static let extensionSize = 11

    /// Adds the OPT record (RFC 6891 §6.1.2) to a message that has none.
    static func appendExtension(to bytes: inout [UInt8], code: DNSResponseCode, wantsSecurity: Bool) {
        bytes += [
            0, 0, UInt8(DNSType.opt.rawValue), UInt8(maxPayload >> 8), UInt8(maxPayload & 0xff),
            UInt8(truncatingIfNeeded: code.rawValue >> 4), 0, wantsSecurity ? 0x80 : 0, 0, 0, 0,
        ]
        let additional = (UInt16(bytes[10]) << 8 | UInt16(bytes[11])) + 1
        bytes[10] = UInt8(additional >> 8)
        bytes[11] = UInt8(truncatingIfNeeded: additional)
    }

    private mutating func append(_ record: DNSRecord) {
        append(record.name)
        append(record.type.rawValue)
        append(dnsClassInternet)
        append(record.ttl)
        let length = bytes.count
        append(0 as UInt16)
        switch record.value {
        case .address(let address): bytes += address.isIPv4 ? address.bytes[12...] : address.bytes[...]
        case .srv(let priority, let weight, let port, let target):
            append(priority)
            append(weight)
            append(port)
            bytes += target.wire  // never compressed (RFC 2782)
        case .ptr(let name): append(name)
        case .soa(let authority):
            append(authority.server)
            append(authority.mailbox)
            append(authority.serial)
            for seconds in [3600, 600, 86400] as [UInt32] { append(seconds) }
            append(authority.minimum)
        }
        let count = UInt16(bytes.count - length - 2)
        bytes[length] = UInt8(count >> 8)
        bytes[length + 1] = UInt8(truncatingIfNeeded: count)
    }

    private mutating func append(_ name: DNSName) {
        let asked = question.name.lowercased
        let wire = name.lowercased
        // The longest end that both names have, found label by label.
        var start = 0
        while start < wire.count, wire[start] > 0 {
            let rest = wire[start...]
            if rest.count <= asked.count, asked.suffix(rest.count).elementsEqual(rest),
                let place = Self.labelStart(asked, asked.count - rest.count)
            {
                bytes += name.wire[..<start]
                append(UInt16(0xc000 | (Self.headerSize + place)))
                return
            }
            start += 1 + Int(wire[start])
        }
        bytes += name.wire
    }

    /// `position` if a label begins there.
    private static func labelStart(_ wire: [UInt8], _ position: Int) -> Int? {
        var start = 0
        while start < position { start += 1 + Int(wire[start]) }
        return start == position ? position : nil
    }

    private mutating func append(_ value: UInt16) {
        bytes.append(UInt8(value >> 8))
        bytes.append(UInt8(truncatingIfNeeded: value))
    }

    private mutating func append(_ value: UInt32) {
        append(UInt16(value >> 16))
        append(UInt16(truncatingIfNeeded: value))
    }
}
