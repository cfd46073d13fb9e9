import Proxy
import WeftABI

/// Who asked whom, how, and who has seen it: what the golden signals are kept for.
struct SignalKey: Hashable, Sendable {
    /// Identifiers as in the kernel's maps; 0: unknown.
    var source: UInt64
    var service: UInt64
    var destination: UInt64
    /// `HTTPRule.identifier` of the rule that decided; 0: none.
    var rule: UInt64 = 0
    var lane: UInt8
    var reporter: UInt8
    /// Of a destination outside of the mesh.
    var addressClass: UInt8 = 0
    /// The service's route template that it has met, from 1; 0: none.
    var template: UInt8 = 0
    /// Whether it went through an mTLS tunnel between nodes.
    var isTunnelled = false

    init(_ key: weft_traffic_key) {
        source = key.source
        service = key.service
        destination = key.destination
        lane = key.lane
        reporter = key.reporter
        addressClass = key.address_class
        isTunnelled = Self.isTunnel(key.lane)
    }

    init(_ key: weft_requests_key) {
        source = key.source
        service = key.service
        destination = key.destination
        lane = key.lane
        reporter = key.reporter
        template = key.route
        isTunnelled = Self.isTunnel(key.lane)
    }

    /// A request that the proxy has carried is counted once for both ends, as the client's; one that came from outside of
    /// the node is the server's.
    init(_ key: WorkerStatistics.Key) {
        source = key.source
        service = key.service
        destination = key.destination
        rule = key.rule
        template = key.template
        lane = UInt8((key.isPassedOn ? WEFT_LANE_TUNNEL : WEFT_LANE_PROXY).rawValue)
        reporter = UInt8((key.isInbound ? WEFT_REPORTER_DESTINATION : WEFT_REPORTER_SOURCE).rawValue)
        isTunnelled = key.isFromTunnel || key.isToTunnel
    }

    /// A connection that came through a tunnel.
    init(_ key: WorkerStatistics.ConnectionKey) {
        source = key.source
        service = key.service
        destination = key.destination
        lane = UInt8(WEFT_LANE_TUNNEL.rawValue)
        reporter = UInt8(WEFT_REPORTER_DESTINATION.rawValue)
        isTunnelled = true
    }

    private static func isTunnel(_ lane: UInt8) -> Bool { UInt32(lane) == WEFT_LANE_TUNNEL.rawValue }

    /// What found no room of its own in the kernel's map, or in a worker's table.
    var isOverflow: Bool { source == .max && service == .max && destination == .max }

    var isPassthrough: Bool { UInt32(lane) == WEFT_LANE_PASSTHROUGH.rawValue }

    /// Whether connections in this lane end at the agent, so that the client's end does not know its server.
    var isProxied: Bool { UInt32(lane) == WEFT_LANE_PROXY.rawValue }

    /// Whether the server's end alone has counted it.
    var isServersOwn: Bool { UInt32(reporter) == WEFT_REPORTER_DESTINATION.rawValue }
}
