/// The principals of the peers of a worker's connections, each once: connections name them by number. Bounded, as peers
/// have only what the trusted CAs have issued.
struct PeerPrincipals: ~Copyable {
    /// Of a connection without an authenticated peer.
    static let none: UInt32 = 0
    static let capacity = 1 << 20

    private var places: [String: UInt32] = [:]
    private var ends: [Int] = [0]
    private var bytes: [UInt8] = []
    /// Gets the names as well, for those who read the worker's records.
    private let names: PeerNames

    init(_ names: PeerNames = PeerNames()) { self.names = names }

    /// The number of a verified SPIFFE id; nil: it is none, or there is no room for one more.
    mutating func number(of spiffeID: String) -> UInt32? {
        if let known = places[spiffeID] { return known }
        let scheme = "spiffe://"
        guard spiffeID.hasPrefix(scheme), spiffeID.utf8.count > scheme.utf8.count, ends.count <= Self.capacity else {
            return nil
        }
        bytes.append(contentsOf: spiffeID.utf8.dropFirst(scheme.utf8.count))
        ends.append(bytes.count)
        let number = UInt32(ends.count - 1)
        places[spiffeID] = number
        names.add(spiffeID)
        return number
    }

    /// The SPIFFE id without its scheme; empty for `none`.
    @_lifetime(borrow self)
    func principal(_ number: UInt32) -> RawSpan {
        let number = Int(number)
        guard number > 0, number < ends.count else { return RawSpan() }
        return unsafe bytes.span.bytes.extracting(ends[number - 1]..<ends[number])
    }

    /// What stands behind `/ns/` in a principal; empty: nothing.
    @_lifetime(copy principal)
    static func namespace(of principal: RawSpan) -> RawSpan {
        let marker: StaticString = "/ns/"
        let length = marker.utf8CodeUnitCount
        for index in 0..<max(principal.byteCount - length, 0) {
            guard ByteText.equal(principal.extracting(index..<index + length), marker) else { continue }
            let start = index + length
            let end = ByteText.index(of: UInt8(ascii: "/"), in: principal, from: start) ?? principal.byteCount
            return principal.extracting(start..<end)
        }
        return principal.extracting(0..<0)
    }
}
