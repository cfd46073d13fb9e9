/// `GET /v1/stat` of the agent's admin API.
struct StatAnswer: Decodable {
    /// Seconds that the numbers stand for; nil: since the maps were made.
    var window: Double?
    var rows: [Row]

    struct Row: Decodable {
        var kind: String
        var namespace: String
        var name: String
        var route: String?
        var meshed: Meshed?
        var requests: UInt64
        /// In a second.
        var rps: Double?
        /// From 0 to 1.
        var success: Double?
        var latency: Latency
        var tcp: Connections
        /// Shares by lane.
        var lanes: [String: Double]
        var health: String
    }

    struct Meshed: Decodable {
        var ready: Int
        var total: Int
    }

    /// Milliseconds.
    struct Latency: Decodable {
        var p50: Double?
        var p95: Double?
        var p99: Double?
    }

    struct Connections: Decodable {
        var open: Int64
        var openedPerSecond: Double?
        var failedPerSecond: Double?
        var deniedPerSecond: Double?
        var sentBytesPerSecond: Double?
        var receivedBytesPerSecond: Double?
        /// Milliseconds.
        var rtt: Double?
        var retransmitsPerSecond: Double?
        /// Seconds a second, of all connections together.
        var windowLimited: Double?
    }
}

/// `GET /v1/graph`.
struct GraphAnswer: Decodable {
    var window: Double?
    var nodes: [Node]
    var edges: [Edge]

    struct Node: Decodable {
        var id: String
        /// `workload`, `service` or `outside`.
        var kind: String
        var namespace: String
        var name: String
        var local: Bool
        var rps: Double?
        var success: Double?
        var p95: Double?
        var health: String
    }

    struct Edge: Decodable {
        var from: String
        var to: String
        /// `namespace/name`.
        var service: String?
        var lanes: [String]
        var requests: UInt64
        var rps: Double?
        var success: Double?
        var p50: Double?
        var p95: Double?
        var p99: Double?
        var openedPerSecond: Double?
        var bytesPerSecond: Double?
        var deniedPerSecond: Double?
        var failedPerSecond: Double?
        var open: Int64?
        var secured: String
        var health: String
    }
}
