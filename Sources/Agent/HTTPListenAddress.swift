import CLinux
import Glibc

/// Where the control plane listens.
public enum HTTPListenAddress: Sendable, Equatable, CustomStringConvertible {
    /// An IPv4 or IPv6 address in text, and a port (0: any free one).
    case ip(String, port: UInt16)
    case unix(path: String)

    public struct Invalid: Error, CustomStringConvertible {
        public let description: String
    }

    /// Parses `127.0.0.1:15000`, `[::1]:15000`, `:15000` (every address) and `unix:/path` or `/path`.
    public init(_ text: String) throws(Invalid) {
        if text.hasPrefix("/") || text.hasPrefix("unix:") {
            let path = text.hasPrefix("/") ? text : String(text.dropFirst("unix:".count))
            guard path.hasPrefix("/") else { throw Invalid(description: "\(text): a socket's path has to be absolute") }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw Invalid(description: "\(text): write ADDRESS:PORT, [IPV6]:PORT or unix:/PATH")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            throw Invalid(description: "\(text): an IPv6 address needs brackets: [ADDRESS]:PORT")
        }
        let address = HTTPListenAddress.ip(host.isEmpty ? "::" : host, port: port)
        guard address.socketAddress() != nil else {
            throw Invalid(description: "\(text): \(host) is not an IP address; names are not looked up")
        }
        self = address
    }

    public var description: String {
        switch self {
        case .ip(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// The kernel's form of the address and its length; nil if it has none.
    func socketAddress() -> (storage: sockaddr_storage, length: socklen_t)? {
        var storage = sockaddr_storage()
        switch self {
        case .ip(let host, let port):
            var v4 = sockaddr_in()
            var v6 = sockaddr_in6()
            if unsafe inet_pton(AF_INET, host, &v4.sin_addr) == 1 {
                v4.sin_family = sa_family_t(AF_INET)
                v4.sin_port = port.bigEndian
                unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: v4, as: sockaddr_in.self) }
                return (storage, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
            guard unsafe inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 else { return nil }
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: v6, as: sockaddr_in6.self) }
            return (storage, socklen_t(MemoryLayout<sockaddr_in6>.size))
        case .unix(let path):
            return Self.unixAddress(Array(path.utf8))
        }
    }

    /// The address of a Unix socket; a name that begins with NUL is in the abstract namespace.
    static func unixAddress(_ name: [UInt8]) -> (storage: sockaddr_storage, length: socklen_t)? {
        var address = sockaddr_un()
        let isAbstract = name.first == 0
        let capacity = MemoryLayout.size(ofValue: address.sun_path) - (isAbstract ? 0 : 1)
        guard !name.isEmpty, name.count <= capacity, isAbstract || !name.contains(0) else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        var storage = sockaddr_storage()
        unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.storeBytes(of: address, as: sockaddr_un.self) }
        let header = MemoryLayout<sa_family_t>.size
        return (storage, socklen_t(header + name.count + (isAbstract ? 0 : 1)))
    }
}
