/// Why a token is refused (RFC 8725: whatever is not understood is).
enum TokenError: UInt8, Error, BitwiseCopyable, CaseIterable {
    /// No JWS in compact form with JSON objects in it.
    case malformed
    case tooLarge
    /// More tokens than one request may carry.
    case tooMany
    /// `none`, HMAC, or an algorithm that no key of the issuer is for.
    case algorithm
    /// `crit`: extensions that have to be understood.
    case critical
    /// No rule is for the claim `iss` at the place where the token was.
    case issuer
    case audience
    case expired
    case notYetValid
    /// A time that is none.
    case time
    /// No key of the issuer has the identifier.
    case unknownKey
    /// The issuer's keys have not been got yet.
    case keysUnavailable
    case signature

    var detail: ResponseDetail {
        switch self {
        case .malformed: .jwtMalformed
        case .tooLarge: .jwtTooLarge
        case .tooMany: .jwtTooMany
        case .algorithm: .jwtAlgorithm
        case .critical: .jwtCritical
        case .issuer: .jwtIssuer
        case .audience: .jwtAudience
        case .expired: .jwtExpired
        case .notYetValid: .jwtNotYetValid
        case .time: .jwtTime
        case .unknownKey: .jwtUnknownKey
        case .keysUnavailable: .jwtKeysUnavailable
        case .signature: .jwtSignature
        }
    }

    /// `error_description` of the challenge (RFC 6750 section 3).
    var text: StaticString {
        switch self {
        case .malformed: "the token is malformed"
        case .tooLarge: "the token is too large"
        case .tooMany: "too many tokens"
        case .algorithm: "the token's algorithm is not accepted"
        case .critical: "the token has critical extensions"
        case .issuer: "the token's issuer is not known here"
        case .audience: "the token is for another audience"
        case .expired: "the token has expired"
        case .notYetValid: "the token is not valid yet"
        case .time: "the token's times are malformed"
        case .unknownKey: "the token's key is not known"
        case .keysUnavailable: "jwks not available"
        case .signature: "the token's signature does not verify"
        }
    }
}
