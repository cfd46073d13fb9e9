public import Mesh
internal import Synchronization

/// What one worker knows of one endpoint.
public struct EndpointState: BitwiseCopyable, Sendable {
    public let address: IPAddress
    public let port: UInt16
    /// As configured.
    public let weight: UInt16
    /// See `Cluster.Endpoint`.
    public let identity: UInt64
    public let sessionID: UInt64
    public let shared: SharedReference<EndpointShared>
    /// 0: nearest.
    let distance: UInt8
    let isDraining: Bool
    var latency: PeakEWMA
    /// `weight` with slow start, in 1/1024; 0 if it is not to be used.
    var share: UInt32 = 0
    /// The tier of distance that it is used in; nil if it is not to be used.
    var tier: UInt8?
    /// Smooth round robin's.
    var turn: Int64 = 0

    init(_ endpoint: Cluster.Endpoint, distance: UInt8, latency: PeakEWMA) {
        address = endpoint.config.address
        port = endpoint.config.port
        weight = endpoint.config.weight
        identity = endpoint.identity
        sessionID = endpoint.sessionID
        shared = endpoint.shared.reference
        self.distance = distance
        isDraining = endpoint.config.isDraining
        self.latency = latency
    }

    var active: Int { max(shared.value.active.load(ordering: .relaxed), 0) }

    /// P2C's measure: what a request more would have to expect.
    func load(now: UInt64) -> Double { latency.latency(now: now) * Double(active + 1) }
}
