internal import Mesh

/// Where a hash finds its endpoint. Made once per generation for all endpoints, whatever their health: lookups pass
/// over those that cannot be used, so that only their share of the keys moves, and moves back.
enum HashTable: Sendable {
    case ring(SharedTable<RingPoint>)
    case maglev(SharedTable<EndpointIndex>)

    struct RingPoint: BitwiseCopyable, Sendable {
        var hash: UInt64
        var endpoint: EndpointIndex
    }

    /// nil for an algorithm that does not hash.
    init?(_ algorithm: HTTPBalancer.Algorithm, endpoints: [MeshEndpoint]) {
        switch algorithm {
        case .ringHash(let minimumSize): self = .ring(SharedTable(Self.ring(endpoints, minimumSize: minimumSize)))
        case .maglev: self = .maglev(SharedTable(Self.maglev(endpoints)))
        default: return nil
        }
    }

    /// Envoy's. Always the same, for with every other size nearly every key would move.
    private static let maglevSize = 65_537
    private static let maximumRingSize = 8_388_608

    /// Ketama-like: every endpoint has points in proportion to its weight, at hashes of its address and port.
    static func ring(_ endpoints: [MeshEndpoint], minimumSize: UInt32) -> [RingPoint] {
        let total = endpoints.reduce(0) { $0 + UInt64($1.weight) }
        guard total > 0, let lightest = endpoints.lazy.map(\.weight).filter({ $0 > 0 }).min() else { return [] }
        // As in Envoy the lightest endpoint has a whole number of points, at least one.
        let points = (UInt64(lightest) * UInt64(minimumSize) + total - 1) / total
        let size = min(Double(max(points, 1)) * Double(total) / Double(lightest), Double(maximumRingSize))
        var ring: [RingPoint] = []
        ring.reserveCapacity(Int(size) + endpoints.count)
        for (index, endpoint) in endpoints.enumerated() where endpoint.weight > 0 {
            let count = max(1, Int((Double(endpoint.weight) / Double(total) * size).rounded()))
            let id = endpointHash(endpoint)
            for point in 0..<count {
                ring.append(
                    RingPoint(hash: mix64(id &+ UInt64(point) &* 0x9e37_79b9_7f4a_7c15), endpoint: EndpointIndex(index))
                )
            }
        }
        ring.sort { ($0.hash, $0.endpoint.rawValue) < ($1.hash, $1.endpoint.rawValue) }
        return ring
    }

    static func maglev(_ endpoints: [MeshEndpoint]) -> [EndpointIndex] {
        let members = endpoints.indices.filter { endpoints[$0].weight > 0 }
        let backends = members.map { (id: endpointHash(endpoints[$0]), weight: endpoints[$0].weight) }
        return MaglevTable.build(backends, size: maglevSize).map { EndpointIndex(members[$0]) }
    }

    private static func endpointHash(_ endpoint: MeshEndpoint) -> UInt64 {
        mix64(mix64(mix64(endpoint.address.high) ^ endpoint.address.low) ^ UInt64(endpoint.port))
    }
}

/// A `HashTable` as a worker looks into it.
enum HashLookup: BitwiseCopyable, Sendable {
    case none
    case ring(SharedTableView<HashTable.RingPoint>)
    case maglev(SharedTableView<EndpointIndex>)

    init(_ table: HashTable?) {
        switch table {
        case nil: self = .none
        case .ring(let table): self = .ring(table.view)
        case .maglev(let table): self = .maglev(table.view)
        }
    }
}
