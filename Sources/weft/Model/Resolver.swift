import KernelPlane
import WeftABI

/// Finds the names of identifiers, and the identifiers of names, in the node's own maps.
final class Resolver {
    enum Kind: UInt8, CaseIterable {
        case service = 1
        case workload, identity, rule, policy
    }

    private let maps: NodeMaps
    private var texts: [UInt64: String?] = [:]
    private var endpoints: [UInt64: Endpoint?] = [:]

    init(_ maps: NodeMaps) { self.maps = maps }

    /// The name of an identifier; nil if the node has none for it.
    func text(_ id: UInt64) -> String? {
        if let known = texts[id] { return known }
        // The programs count what finds no room in `traffic` under all ones.
        let text = id == 0 ? nil : id == .max ? "overflow" : (try? maps.names.get(id)).flatMap { $0 }?.string
        texts[id] = .some(text)
        return text
    }

    /// The name, or the identifier itself; `none` for 0.
    func name(_ id: UInt64, none: String = "-") -> String { id == 0 ? none : text(id) ?? hexadecimal(id) }

    /// A named identifier for programs: its name, null for 0, the identifier if it has no name.
    func value(_ id: UInt64) -> Value { id == 0 ? .null : .string(name(id)) }

    /// The name of a service port with what tells it from others of the same name: the kernel has a service for each
    /// transport and address family of a port, and their identifiers are hashes of both.
    func serviceName(_ id: UInt64) -> String {
        guard let text = text(id) else { return name(id) }
        let variants = [("TCP/4", ""), ("TCP/6", "/ipv6"), ("UDP/4", "/udp"), ("UDP/6", "/udp/ipv6")]
        return text + (variants.first { identifier(of: "\(text)/\($0.0)", .service) == id }?.1 ?? "")
    }

    /// A service for a record: the plain name for programs, the telling one for people.
    func serviceField(_ id: UInt64) -> Field { Field("service", value(id), text: serviceName(id)) }

    /// The address of a backend; nil if it is gone.
    func endpoint(ofBackend id: UInt64) -> Endpoint? {
        if let known = endpoints[id] { return known }
        let found = (try? maps.backends.get(id)).flatMap { $0 }
        let endpoint = found.map { Endpoint($0.address, $0.port, $0.protocol) }
        endpoints[id] = .some(endpoint)
        return endpoint
    }

    func backendName(_ id: UInt64) -> String { id == 0 ? "-" : endpoint(ofBackend: id)?.host ?? hexadecimal(id) }

    /// The identifier that is written as `0x…` or as the name of something of this kind.
    func id(_ text: String, _ kind: Kind) throws -> UInt64 {
        if let id = parseIdentifier(text) { return id }
        // Identifiers are hashes of names, so most names need no search.
        let hashed = identifier(of: text, kind)
        if self.text(hashed) == text { return hashed }
        let found = try maps.names.entries().first { $0.value.kind == kind.rawValue && $0.value.string == text }
        guard let found else { throw Failure.no("this node knows no \(kind) named '\(text)'") }
        return found.key
    }

    /// The services that a text names: `namespace/name` for every port, `namespace/name:port` for one. The kernel has a
    /// service for each address family of a port, so that one name may stand for two.
    func serviceIDs(_ text: String) throws -> [UInt64] {
        if let id = parseIdentifier(text) { return [id] }
        let found = try maps.names.entries().filter {
            guard $0.value.kind == Kind.service.rawValue else { return false }
            let name = $0.value.string
            return name == text || name.hasPrefix(text + ":") || serviceName($0.key) == text
        }
        guard !found.isEmpty else {
            throw Failure.no("this node has no service '\(text)' (names are NAMESPACE/NAME; see 'weft service list')")
        }
        return found.map(\.key).sorted { naturally(serviceName($0), serviceName($1)) }
    }

    /// The service that a backend belongs to.
    func serviceField(ofBackend id: UInt64) -> Field {
        serviceField((try? maps.backends.get(id)).flatMap { $0 }?.service ?? 0)
    }

    /// The name of the service that a backend belongs to.
    func service(ofBackend id: UInt64) -> String {
        serviceName((try? maps.backends.get(id)).flatMap { $0 }?.service ?? 0)
    }
}

/// `0x` and up to 16 hexadecimal digits.
func parseIdentifier(_ text: some StringProtocol) -> UInt64? {
    guard text.lowercased().hasPrefix("0x"), let id = UInt64(text.dropFirst(2), radix: 16) else { return nil }
    return id
}

/// The identifier that the agent gives to a name.
func identifier(of text: String, _ kind: Resolver.Kind) -> UInt64 {
    let bytes = Array(text.utf8)
    return unsafe bytes.withUnsafeBufferPointer { unsafe weft_id(kind.rawValue, $0.baseAddress, UInt64($0.count)) }
}
