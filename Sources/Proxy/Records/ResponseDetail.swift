/// Why a response is what it is: Envoy's response code details where it has one. The text is in `x-weft-reason` and in
/// the access log.
public enum ResponseDetail: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case viaUpstream, directResponse, redirected, corsPreflight
    case routeNotFound, invalidBackend, noHealthyUpstream, upstreamOverflow
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
