import Proxy
import WeftABI

/// What requests are told apart by, whichever lane has counted them.
struct RequestKey {
    /// Identifiers as in the kernel's maps; 0: unknown.
    var source: UInt64
    var service: UInt64
    var destination: UInt64
    /// Of the response; 0: there was none.
    var status: UInt16
    var flags: ResponseFlags
    /// enum weft_lane.
    var lane: UInt8
    /// The route template of the service, from 1 on; 0: none.
    var template: UInt8
    /// The SPIFFE id that a certificate has proved of the client; nil: none.
    var principal: String?
    /// Whether the client's connection came through a tunnel, and whether the one to the server went through one.
    var isFromTunnel = false
    var isToTunnel = false

    /// - Parameter peers: those of the worker that has counted.
    init(_ key: WorkerStatistics.Key, peers: PeerNames?) {
        source = key.source
        service = key.service
        destination = key.destination
        status = key.status
        flags = key.flags
        template = key.template
        lane = UInt8(truncatingIfNeeded: (key.isPassedOn ? WEFT_LANE_TUNNEL : WEFT_LANE_PROXY).rawValue)
        principal = peers?.name(key.peer)
        isFromTunnel = key.isFromTunnel
        isToTunnel = key.isToTunnel
    }

    init(_ key: KernelRequestKey) {
        source = key.source
        service = key.service
        destination = key.destination
        status = key.status
        lane = key.lane
        template = key.route
        flags =
            switch UInt32(key.outcome) {
            case WEFT_REQUEST_CLIENT_ENDED.rawValue: .downstreamTermination
            case WEFT_REQUEST_SERVER_ENDED.rawValue: .upstreamTermination
            default: []
            }
        isFromTunnel = UInt32(key.lane) == WEFT_LANE_TUNNEL.rawValue
        isToTunnel = isFromTunnel
    }
}

/// A key of the kernel's `requests` map as a dictionary key.
struct KernelRequestKey: Hashable {
    var source: UInt64
    var service: UInt64
    var destination: UInt64
    var status: UInt16
    var lane: UInt8
    var reporter: UInt8
    /// enum weft_request_outcome.
    var outcome: UInt8
    var route: UInt8

    init(_ key: weft_requests_key) {
        source = key.source
        service = key.service
        destination = key.destination
        status = key.status
        lane = key.lane
        reporter = key.reporter
        outcome = key.outcome
        route = key.route
    }

    /// All ones: what the kernel counts when its map is full.
    var isOverflow: Bool { source == .max && service == .max && destination == .max && lane == .max }

    var isUnparsed: Bool { UInt32(outcome) == WEFT_REQUEST_UNPARSED.rawValue }

    /// Whether the client's end, and whether the server's, is this node's to report.
    var isFromSource: Bool { UInt32(reporter) != WEFT_REPORTER_DESTINATION.rawValue }
    var isFromDestination: Bool { UInt32(reporter) != WEFT_REPORTER_SOURCE.rawValue }
}
