public import Mesh
import WeftABI

/// Where the agent's own listeners are.
public struct ProxyAddresses: Sendable, Equatable {
    public struct Place: Sendable, Hashable {
        public var address: IPAddress
        public var port: UInt16

        public init(address: IPAddress, port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// Where captured connections of IPv4 sockets go, and of IPv6 sockets that use an IPv4-mapped address.
    public let outbound4: Place
    /// Where those of IPv6 sockets go.
    public let outbound6: Place
    /// Where connections of clients outside of the mesh go.
    public let inbound: Place
    /// Where tunnels from other nodes arrive. At an unspecified address: at every address of either family.
    public let tunnel: Place

    public enum Invalid: Error, CustomStringConvertible {
        /// Captured connections are told a place: it has to be one.
        case unspecified(Place)

        public var description: String {
            switch self {
            case .unspecified(let place):
                "\(place.address) port \(place.port) is no single address: captured connections are sent there"
            }
        }
    }

    /// - Parameter outbound: of either family; the other family's is its loopback address with the same port. Every
    ///   network namespace with a workload gets listeners of its own there.
    public init(outbound: Place, inbound: Place, tunnel: Place) throws(Invalid) {
        guard !outbound.address.isUnspecified else { throw .unspecified(outbound) }
        let isIPv4 = outbound.address.isIPv4
        outbound4 = isIPv4 ? outbound : Place(address: IPAddress(v4: 0x7f00_0001), port: outbound.port)
        outbound6 = isIPv4 ? Place(address: IPAddress(high: 0, low: 1 << 56), port: outbound.port) : outbound
        self.inbound = inbound
        self.tunnel = tunnel
    }

    /// Where those connections are taken in a network namespace: the kernel hands them over whatever the listener's own
    /// address is, so in another than the agent's, and for the other address family, that is the loopback one.
    func inboundPlaces(isOwn: Bool) -> [Place] {
        let loopback = [IPAddress(v4: 0x7f00_0001), IPAddress(high: 0, low: 1 << 56)]
        guard isOwn else { return loopback.map { Place(address: $0, port: inbound.port) } }
        let others = loopback.filter { $0.isIPv4 != inbound.address.isIPv4 }
        return [inbound] + others.map { Place(address: $0, port: inbound.port) }
    }

    var abi: weft_proxy {
        var proxy = weft_proxy()
        proxy.outbound4 = outbound4.address.abi
        proxy.outbound6 = outbound6.address.abi
        proxy.outbound_port = outbound4.port.bigEndian
        proxy.tunnel_port = tunnel.port.bigEndian
        return proxy
    }

    /// The keys of `addresses` under which connections to the agent itself are recognised.
    ///
    /// - Parameters:
    ///   - own: the cookie of the agent's network namespace.
    ///   - namespaces: of the others in which it listens.
    func endpoints(own: UInt64, namespaces: some Collection<UInt64>) -> [weft_endpoint_key] {
        func key(_ place: Place, scope: UInt64) -> [weft_endpoint_key] {
            let addresses =
                place.address.isUnspecified
                ? [IPAddress(v4: 0x7f00_0001), IPAddress(high: 0, low: 1 << 56)] : [place.address]
            return addresses.map { address in
                var key = weft_endpoint_key()
                key.scope = scope
                key.address = address.abi
                key.port = place.port.bigEndian
                key.protocol = TransportProtocol.tcp.number
                return key
            }
        }
        let here = ([outbound4, outbound6, tunnel] + inboundPlaces(isOwn: true)).flatMap { key($0, scope: own) }
        let everywhere = Place(address: IPAddress(v4: 0), port: tunnel.port)
        return here
            + namespaces.filter { $0 != own }.flatMap { namespace in
                ([outbound4, outbound6, everywhere] + inboundPlaces(isOwn: false)).flatMap { key($0, scope: namespace) }
            }
    }
}
