import DNS
import Mesh

/// A query as a client writes it.
func queryBytes(
    _ name: String, _ type: DNSType, id: UInt16 = 0x1234, edns: UInt16? = nil, flags: UInt16 = 0x0100
) throws -> [UInt8] {
    struct NoName: Error {}
    guard let name = DNSName(name) else { throw NoName() }
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 0xff), UInt8(flags >> 8), UInt8(flags & 0xff), 0, 1]
    bytes += [0, 0, 0, 0, 0, edns == nil ? 0 : 1]
    bytes += name.wire + [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 0xff), 0, 1]
    if let edns { bytes += [0, 0, 41, UInt8(edns >> 8), UInt8(edns & 0xff), 0, 0, 0, 0, 0, 0] }
    return bytes
}

func query(_ name: String, _ type: DNSType = .a, edns: UInt16? = nil) throws -> DNSQuery {
    try DNSQuery(try queryBytes(name, type, edns: edns))
}

/// One record with `owner` (bytes of a name) for a message put together by hand.
func recordBytes(
    _ data: [UInt8], _ type: DNSType = .a, ttl: UInt32 = 60, owner: [UInt8] = [0xc0, 12]
) -> [UInt8] {
    owner + [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 0xff), 0, 1]
        + (0..<4).map { UInt8(truncatingIfNeeded: ttl >> (24 - 8 * $0)) }
        + [UInt8(data.count >> 8), UInt8(data.count & 0xff)] + data
}

/// The answer of an upstream server.
func answerBytes(
    _ question: DNSQuestion, id: UInt16 = 7, flags: UInt16 = 0x8180, counts: (UInt8, UInt8, UInt8) = (1, 0, 0),
    _ records: [UInt8]
) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 0xff), UInt8(flags >> 8), UInt8(flags & 0xff), 0, 1]
    bytes += [0, counts.0, 0, counts.1, 0, counts.2]
    bytes += question.name.wire + [UInt8(question.type.rawValue >> 8), UInt8(question.type.rawValue & 0xff), 0, 1]
    return bytes + records
}

extension DNSQuestion {
    init(_ name: String, _ type: DNSType = .a) { self.init(name: DNSName(name) ?? .root, type: type) }
}
