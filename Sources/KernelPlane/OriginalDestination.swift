import Glibc
public import Mesh
import WeftABI

/// What the kernel knows of a connection that it has turned to the agent.
public struct OriginalDestination: Sendable, Hashable {
    /// What the application connected to.
    public var address: IPAddress
    public var port: UInt16
    /// The service's identifier in the kernel's maps (see `Identifier.service`); 0 if the application asked for a
    /// workload's own address.
    public var service: UInt64
    public var lane: Lane
    /// The workload that connected; 0: unknown.
    public var source: UInt64
    /// The network namespace of the application.
    public var netnsCookie: UInt64
    /// When it called connect(): CLOCK_MONOTONIC, nanoseconds.
    public var startedAt: UInt64
    /// The cookie of its client's socket, if what that sends may be redirected; 0: it may not.
    public var pair: UInt64

    public enum Lane: Sendable, Hashable {
        /// Where it goes is decided request by request.
        case proxy
        /// The kernel has decided: through a tunnel to this workload, which policy allows.
        ///
        /// - Parameters:
        ///   - backend: the endpoint of the service that was chosen (see `Identifier.backend`), 0 without a service: then
        ///     `address` and `port` are the destination's own.
        ///   - workload: see `Identifier.workload(_:)`.
        case tunnel(backend: UInt64, workload: UInt64)
    }

    /// Of an accepted socket; nil if the connection was not captured. One system call.
    public init?(of socket: CInt) {
        var origin = weft_origin()
        let size = socklen_t(MemoryLayout<weft_origin>.size)
        var length = size
        // SO_ORIGINAL_DST (linux/netfilter_ipv4.h), answered by bpf/agent.bpf.c.
        guard unsafe getsockopt(socket, CInt(IPPROTO_IP), 80, &origin, &length) == 0, length == size else { return nil }
        address = IPAddress(origin.address)
        port = UInt16(bigEndian: origin.port)
        service = origin.service
        lane =
            UInt32(origin.lane) == WEFT_LANE_TUNNEL.rawValue
            ? .tunnel(backend: origin.backend, workload: origin.destination) : .proxy
        source = origin.source
        netnsCookie = origin.netns_cookie
        startedAt = origin.started_ns
        pair = origin.pair
    }
}
