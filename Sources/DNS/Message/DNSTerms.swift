/// A type of records (IANA, DNS parameters).
public struct DNSType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let a = DNSType(rawValue: 1)
    public static let ns = DNSType(rawValue: 2)
    public static let cname = DNSType(rawValue: 5)
    public static let soa = DNSType(rawValue: 6)
    public static let ptr = DNSType(rawValue: 12)
    public static let aaaa = DNSType(rawValue: 28)
    public static let srv = DNSType(rawValue: 33)
    public static let opt = DNSType(rawValue: 41)
    public static let ixfr = DNSType(rawValue: 251)
    public static let axfr = DNSType(rawValue: 252)
    public static let any = DNSType(rawValue: 255)
}

/// The class of everything here.
public let dnsClassInternet: UInt16 = 1

/// A response code (RFC 1035 §4.1.1); those from 16 on need EDNS (RFC 6891 §6.1.3).
public struct DNSResponseCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let noError = DNSResponseCode(rawValue: 0)
    public static let formatError = DNSResponseCode(rawValue: 1)
    public static let serverFailure = DNSResponseCode(rawValue: 2)
    public static let nameError = DNSResponseCode(rawValue: 3)
    public static let notImplemented = DNSResponseCode(rawValue: 4)
    public static let refused = DNSResponseCode(rawValue: 5)
    public static let badVersion = DNSResponseCode(rawValue: 16)
}

/// The second word of a message (RFC 1035 §4.1.1, RFC 4035 §3.1.6).
public struct DNSFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let response = DNSFlags(rawValue: 1 << 15)
    public static let authoritative = DNSFlags(rawValue: 1 << 10)
    public static let truncated = DNSFlags(rawValue: 1 << 9)
    public static let recursionDesired = DNSFlags(rawValue: 1 << 8)
    public static let recursionAvailable = DNSFlags(rawValue: 1 << 7)
    public static let authenticData = DNSFlags(rawValue: 1 << 5)
    public static let checkingDisabled = DNSFlags(rawValue: 1 << 4)

    var opcode: UInt16 { rawValue >> 11 & 0xf }
    var code: UInt16 { rawValue & 0xf }
}

/// What somebody asks.
public struct DNSQuestion: Hashable, Sendable {
    public var name: DNSName
    public var type: DNSType
    public var recordClass: UInt16

    public init(name: DNSName, type: DNSType, recordClass: UInt16 = dnsClassInternet) {
        self.name = name
        self.type = type
        self.recordClass = recordClass
    }
}

/// A message that cannot be understood: what is wrong with it.
public struct DNSFormatError: Error, Equatable, CustomStringConvertible {
    public let description: String
}
