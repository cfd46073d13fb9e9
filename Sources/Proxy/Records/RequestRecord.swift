/// What became of one request: the source of metrics and of the access log.
public struct RequestRecord: BitwiseCopyable, Sendable {
    /// Identifiers as in the kernel's maps; 0: unknown.
    public var source: UInt64 = 0
    public var service: UInt64 = 0
    /// The workload that answered.
    public var destination: UInt64 = 0
    /// The rule that decided (`HTTPRule.identifier`); 0: none.
    public var rule: UInt64 = 0
    /// Whether it came to a workload of this node from outside, and not from one of this node's.
    public var isInbound = false
    /// Whether its client's connection came through a tunnel, and whether the last one to a backend went through one.
    public var isFromTunnel = false
    public var isToTunnel = false
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

/// Why a response is what it is: Envoy's response code details where it has one. The text is in `x-weft-reason` and in
/// the access log.
public enum ResponseDetail: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case viaUpstream, directResponse, redirected, corsPreflight
    case routeNotFound, invalidBackend, noHealthyUpstream, upstreamOverflow, failFast
    case requestTimeout, perTryTimeout, connectFailure, connectTimeout, upstreamReset, upstreamProtocolError
    case retryLimit, retryBudget, rateLimited, quotaExceeded, faultAbort, faultDelay
    case malformedRequest, headTooLarge, uriTooLong, tooManyFields, headTimeout, bodyTimeout, pathRejected
    case connectRejected, upgradeRejected, versionUnsupported, expectationFailed
    case idleTimeout, downstreamClosed, overload, draining
    case externalDenied
    case jwtMalformed, jwtTooLarge, jwtTooMany, jwtAlgorithm, jwtCritical, jwtIssuer, jwtAudience, jwtExpired
    case jwtNotYetValid, jwtTime, jwtUnknownKey, jwtKeysUnavailable, jwtSignature
    case accessDenied, authorizerError

    /// As in the log: Envoy's spelling.
    public var text: String { String(describing: staticText) }

    var staticText: StaticString {
        switch self {
        case .viaUpstream: "via_upstream"
        case .directResponse: "direct_response"
        case .redirected: "redirect"
        case .corsPreflight: "cors_preflight"
        case .routeNotFound: "route_not_found"
        case .invalidBackend: "invalid_backend"
        case .noHealthyUpstream: "no_healthy_upstream"
        case .upstreamOverflow: "upstream_overflow"
        case .failFast: "fail_fast"
        case .requestTimeout: "response_timeout"
        case .perTryTimeout: "upstream_per_try_timeout"
        case .connectFailure: "upstream_connect_failure"
        case .connectTimeout: "upstream_connect_timeout"
        case .upstreamReset: "upstream_reset_before_response_started"
        case .upstreamProtocolError: "upstream_protocol_error"
        case .retryLimit: "upstream_retry_limit_exceeded"
        case .retryBudget: "retry_budget_exceeded"
        case .rateLimited: "request_rate_limited"
        case .quotaExceeded: "quota_exceeded"
        case .faultAbort: "fault_filter_abort"
        case .faultDelay: "fault_filter_delay"
        case .malformedRequest: "http1.codec_error"
        case .headTooLarge: "request_headers_too_large"
        case .uriTooLong: "uri_too_long"
        case .tooManyFields: "too_many_headers"
        case .headTimeout: "request_header_timeout"
        case .bodyTimeout: "request_body_timeout"
        case .pathRejected: "path_normalization_failed"
        case .connectRejected: "connect_rejected"
        case .upgradeRejected: "upgrade_rejected"
        case .versionUnsupported: "http_version_unsupported"
        case .expectationFailed: "expectation_failed"
        case .idleTimeout: "stream_idle_timeout"
        case .downstreamClosed: "downstream_remote_disconnect"
        case .overload: "overload"
        case .draining: "draining"
        case .externalDenied: "ext_authz_denied"
        case .jwtMalformed: "jwt_authn_access_denied{Jwt_is_malformed}"
        case .jwtTooLarge: "jwt_authn_access_denied{Jwt_is_too_large}"
        case .jwtTooMany: "jwt_authn_access_denied{Too_many_jwts}"
        case .jwtAlgorithm: "jwt_authn_access_denied{Jwt_alg_is_not_accepted}"
        case .jwtCritical: "jwt_authn_access_denied{Jwt_crit_is_not_understood}"
        case .jwtIssuer: "jwt_authn_access_denied{Jwt_issuer_is_not_configured}"
        case .jwtAudience: "jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}"
        case .jwtExpired: "jwt_authn_access_denied{Jwt_is_expired}"
        case .jwtNotYetValid: "jwt_authn_access_denied{Jwt_not_yet_valid}"
        case .jwtTime: "jwt_authn_access_denied{Jwt_time_is_malformed}"
        case .jwtUnknownKey: "jwt_authn_access_denied{Jwt_kid_is_not_found}"
        case .jwtKeysUnavailable: "jwt_authn_access_denied{Jwks_not_available}"
        case .jwtSignature: "jwt_authn_access_denied{Jwt_verification_fails}"
        case .accessDenied: "rbac_access_denied_matched_policy"
        case .authorizerError: "ext_authz_error"
        }
    }
}
