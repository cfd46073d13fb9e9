/// What became of one request: the source of metrics and of the access log.
public struct RequestRecord: BitwiseCopyable, Sendable {
    /// Identifiers as in the kernel's maps; 0: unknown.
    public var source: UInt64 = 0
    public var service: UInt64 = 0
    /// The workload that answered.
    public var destination: UInt64 = 0
    /// The rule that decided (`HTTPRule.identifier`); 0: none.
    public var rule: UInt64 = 0
    /// The route template of the service that it met, from 1 on; 0: none.
    public var template: UInt8 = 0
    /// Whether it came to a workload of this node from outside, and not from one of this node's.
    public var isInbound = false
    /// Whether its client's connection came through a tunnel, and whether the last one to a backend went through one.
    public var isFromTunnel = false
    public var isToTunnel = false
    /// Whether it was read in a tunnel whose bytes were only passed on.
    public var isPassedOn = false
    /// The client's identity, as a certificate has proved it: a number in the worker's `PeerNames`; 0: none.
    public var peer: UInt32 = 0
    public var status: UInt16 = 0
    public var flags: ResponseFlags = []
    public var detail = ResponseDetail.viaUpstream
    public var minorVersion: UInt8 = 1
    public var attempts: UInt8 = 0
    /// Bytes of the bodies, and of everything.
    public var requestBody: UInt64 = 0
    public var responseBody: UInt64 = 0
    public var received: UInt64 = 0
    public var sent: UInt64 = 0
    /// CLOCK_MONOTONIC, nanoseconds: first byte of the request seen, response's head seen, end.
    public var started: UInt64 = 0
    public var responded: UInt64 = 0
    public var ended: UInt64 = 0

    public init() {}

    /// It has no answer, a server's error, or was refused or ended by the proxy.
    public var isFailure: Bool { status >= 500 || status == 0 || !flags.subtracting(.delayInjected).isEmpty }

    /// Who has sent it, and how it came.
    mutating func take(_ downstream: Downstream) {
        source = downstream.client == 0 ? downstream.source : downstream.client
        isInbound = downstream.isInbound
        isFromTunnel = downstream.tunnel.index != .max
        peer = downstream.principal
    }
}

/// Envoy's response flags.
/// Source: https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
public struct ResponseFlags: OptionSet, BitwiseCopyable, Sendable, Hashable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let noHealthyUpstream = Self(rawValue: 1 << 0)  // UH
    public static let upstreamConnectionFailure = Self(rawValue: 1 << 1)  // UF
    public static let upstreamOverflow = Self(rawValue: 1 << 2)  // UO
    public static let noRoute = Self(rawValue: 1 << 3)  // NR
    public static let retryLimitExceeded = Self(rawValue: 1 << 4)  // URX
    public static let noCluster = Self(rawValue: 1 << 5)  // NC
    public static let durationTimeout = Self(rawValue: 1 << 6)  // DT
    public static let downstreamTermination = Self(rawValue: 1 << 7)  // DC
    public static let failedHealthCheck = Self(rawValue: 1 << 8)  // LH
    public static let upstreamTimeout = Self(rawValue: 1 << 9)  // UT
    public static let localReset = Self(rawValue: 1 << 10)  // LR
    public static let upstreamReset = Self(rawValue: 1 << 11)  // UR
    public static let upstreamTermination = Self(rawValue: 1 << 12)  // UC
    public static let delayInjected = Self(rawValue: 1 << 13)  // DI
    public static let faultInjected = Self(rawValue: 1 << 14)  // FI
    public static let rateLimited = Self(rawValue: 1 << 15)  // RL
    public static let streamIdleTimeout = Self(rawValue: 1 << 16)  // SI
    public static let downstreamProtocolError = Self(rawValue: 1 << 17)  // DPE
    public static let upstreamProtocolError = Self(rawValue: 1 << 18)  // UPE
    public static let overload = Self(rawValue: 1 << 19)  // OM
    public static let unauthorized = Self(rawValue: 1 << 20)  // UAEX

    /// Flags and Envoy's short names, in the order in which they are printed.
    public static let names: [(flag: ResponseFlags, name: String)] = [
        (.noHealthyUpstream, "UH"), (.upstreamConnectionFailure, "UF"), (.upstreamOverflow, "UO"), (.noRoute, "NR"),
        (.retryLimitExceeded, "URX"), (.noCluster, "NC"), (.durationTimeout, "DT"), (.downstreamTermination, "DC"),
        (.failedHealthCheck, "LH"), (.upstreamTimeout, "UT"), (.localReset, "LR"), (.upstreamReset, "UR"),
        (.upstreamTermination, "UC"), (.delayInjected, "DI"), (.faultInjected, "FI"), (.rateLimited, "RL"),
        (.streamIdleTimeout, "SI"), (.downstreamProtocolError, "DPE"), (.upstreamProtocolError, "UPE"),
        (.overload, "OM"), (.unauthorized, "UAEX"),
    ]
}
