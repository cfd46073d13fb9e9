import CLinux
import Glibc
import KernelPlane
import Mesh
import WeftABI

/// An address, a port and a protocol as they are typed and shown: `127.96.0.10:80/tcp`, `[fd00::1]:53/udp`.
struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    var address: IPAddress
    /// In host order.
    var port: UInt16
    /// The IP protocol's number; 0 for any.
    var transport: UInt8

    init(address: IPAddress, port: UInt16, transport: UInt8) {
        self.address = address
        self.port = port
        self.transport = transport
    }

    /// From a map: the port is in network order.
    init(_ address: weft_address, _ port: UInt16, _ transport: UInt8) {
        self.init(address: IPAddress(address), port: UInt16(bigEndian: port), transport: transport)
    }

    /// - Parameter transport: the protocol if the text names none.
    init?(_ text: String, transport: UInt8 = UInt8(IPPROTO_TCP)) {
        var transport = transport
        var rest = Substring(text)
        if let slash = text.lastIndex(of: "/") {
            guard let named = parseTransport(text[text.index(after: slash)...]) else { return nil }
            transport = named
            rest = text[..<slash]
        }
        guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]) else {
            return nil
        }
        var host = rest[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let address = IPAddress(String(host)) else { return nil }
        self.init(address: address, port: port, transport: transport)
    }

    /// Without the protocol.
    var host: String {
        (address.isIPv4 ? "\(address)" : "[\(address)]") + ":\(port)"
    }

    var description: String { transport == 0 ? host : "\(host)/\(transportName(transport))" }
}

extension weft_address {
    init(_ address: IPAddress) { self = address.abi }
}

func transportName(_ number: UInt8) -> String {
    switch Int(number) {
    case Int(IPPROTO_TCP): "tcp"
    case Int(IPPROTO_UDP): "udp"
    case 0: "any"
    default: "\(number)"
    }
}

func parseTransport(_ text: some StringProtocol) -> UInt8? {
    switch text.lowercased() {
    case "tcp": UInt8(IPPROTO_TCP)
    case "udp": UInt8(IPPROTO_UDP)
    default: nil
    }
}
