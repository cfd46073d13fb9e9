public import Mesh

/// Names a set of endpoints that requests are balanced over.
public struct ClusterKey: Hashable, Sendable, CustomStringConvertible {
    public var service: ObjectName
    public var port: UInt16
    /// One of the service's subsets; nil: all of its endpoints.
    public var subset: String?

    public init(service: ObjectName, port: UInt16, subset: String? = nil) {
        self.service = service
        self.port = port
        self.subset = subset
    }

    /// `namespace/name:port`, with `/subset` where there is one.
    public var description: String { "\(service):\(port)" + (subset.map { "/\($0)" } ?? "") }
}

/// A cluster as one snapshot has it.
public struct ClusterConfig: Sendable, Equatable {
    public var key: ClusterKey
    /// Sorted by address and port, none of them twice. At most 65,535 are used.
    public var endpoints: [MeshEndpoint]
    public var traffic: HTTPTraffic
    /// How far each endpoint is, 0 the nearest; empty: all the same. They count with `prefersLocality`.
    public var distances: [UInt8] = []

    public init(key: ClusterKey, endpoints: [MeshEndpoint], traffic: HTTPTraffic = HTTPTraffic()) {
        self.key = key
        self.endpoints = endpoints
        self.traffic = traffic
    }
}
