public import Mesh

/// A record that Weft itself answers with.
public struct DNSRecord: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        /// An address of either family: A (RFC 1035 §3.4.1) or AAAA (RFC 3596 §2.2).
        case address(IPAddress)
        case srv(priority: UInt16, weight: UInt16, port: UInt16, target: DNSName)
        case ptr(DNSName)
        case soa(DNSAuthority)
    }

    public var name: DNSName
    /// Seconds.
    public var ttl: UInt32
    public var value: Value

    public init(name: DNSName, ttl: UInt32, value: Value) {
        self.name = name
        self.ttl = ttl
        self.value = value
    }

    public var type: DNSType {
        switch value {
        case .address(let address): address.isIPv4 ? .a : .aaaa
        case .srv: .srv
        case .ptr: .ptr
        case .soa: .soa
        }
    }
}

/// A zone's SOA record (RFC 1035 §3.3.13).
public struct DNSAuthority: Sendable, Equatable {
    public var server: DNSName
    public var mailbox: DNSName
    public var serial: UInt32
    /// Seconds for which a negative answer may be kept (RFC 2308 §4).
    public var minimum: UInt32
}
