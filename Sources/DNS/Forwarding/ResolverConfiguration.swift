public import Mesh

/// A server that other names are asked of.
public struct DNSUpstream: Hashable, Sendable, CustomStringConvertible {
    public var address: IPAddress
    public var port: UInt16

    public init(address: IPAddress, port: UInt16 = 53) {
        self.address = address
        self.port = port
    }

    /// Parses `10.0.0.2`, `10.0.0.2:5353`, `::1` and `[::1]:5353`.
    public init?(_ text: String) {
        if let address = IPAddress(text) {
            self.init(address: address)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard let address = IPAddress(host), !host.contains(":") || text.hasPrefix("[") else { return nil }
        self.init(address: address, port: port)
    }

    public var description: String { address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}

/// What resolv.conf(5) says of the node's resolvers. Search domains are the clients' business.
public struct ResolverConfiguration: Sendable, Equatable {
    /// resolv.conf(5) knows three; more do no harm.
    static let maxServers = 8

    public var servers: [DNSUpstream] = []

    public init(servers: [DNSUpstream] = []) { self.servers = servers }

    /// - Parameter isSelf: whether an address is one at which Weft itself answers: it must not ask itself.
    public init(resolvConf text: String, isSelf: (DNSUpstream) -> Bool) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count >= 2, words[0] == "nameserver" else { continue }
            // A link-local server has a zone, which is of no use without its interface.
            guard let server = DNSUpstream(String(words[1])), !isSelf(server), !servers.contains(server),
                servers.count < Self.maxServers
            else { continue }
            servers.append(server)
        }
    }
}
