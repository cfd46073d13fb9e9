import COpenSSL
import Glibc

/// Why a TLS connection could not be made or went away, in the terms of X.509-SVIDs and RFC 8446.
///
/// What is said of a certificate is said of the peer's, unless it says "own".
enum TLSFailure: UInt8, Error, Sendable, CaseIterable {
    /// The own identity has no certificate (yet).
    case noOwnCertificate
    /// The own certificate or key cannot be read, or they do not belong together.
    case badOwnCertificate
    /// The peer sent no certificate.
    case noCertificate
    /// The certificate, or one that it depends on, is past its notAfter.
    case expired
    case notYetValid
    case revoked
    /// The issuer's revocation list is past its nextUpdate: nobody knows what has been revoked since.
    case staleRevocationList
    /// The issuer's revocation list, or the bundle's, cannot be read or is not signed by the issuer.
    case badRevocationList
    /// No bundle of the trust domain that the certificate names.
    case unknownTrustDomain
    /// No chain from the certificate to a root of its own trust domain's bundle.
    case untrusted
    /// Above it is an authority that may not sign this name (RFC 5280 §4.2.1.10).
    case nameConstraint
    /// Not exactly one URI among the subject's alternative names.
    case notOneURISAN
    /// That URI is not the SPIFFE id of a workload.
    case badSPIFFEID
    /// A certificate that may sign others is nobody's identity.
    case isCA
    /// No digitalSignature, or one of keyCertSign and cRLSign.
    case missingKeyUsage
    /// No serverAuth at a server's, no clientAuth at a client's.
    case missingExtendedKeyUsage
    /// A signature does not fit the key that it is said to be of.
    case badSignature
    /// A key or digest of too few bits.
    case weakKey
    /// The peer does not speak `h2` (ALPN, RFC 7301).
    case noALPN
    /// The peer does not speak TLS 1.3, or not TLS.
    case protocolVersion
    /// No cipher suite, group or signature algorithm in common.
    case noCommonParameters
    /// Bytes that are not what TLS has here.
    case protocolError
    /// A record that was changed on its way.
    case badRecord
    /// The peer ended the connection without close_notify: what it sent may be incomplete.
    case peerClosed
    /// The peer did not accept the own certificate.
    case certificateRefused
    /// The peer sent another alert.
    case alert
    /// The peer has proved an identity, and it is not one of those that were expected.
    case unexpectedIdentity
    /// The socket failed.
    case io

    /// For metrics and logs; it never changes.
    var text: String {
        switch self {
        case .noOwnCertificate: "no_own_certificate"
        case .badOwnCertificate: "bad_own_certificate"
        case .noCertificate: "no_certificate"
        case .expired: "expired"
        case .notYetValid: "not_yet_valid"
        case .revoked: "revoked"
        case .staleRevocationList: "stale_revocation_list"
        case .badRevocationList: "bad_revocation_list"
        case .unknownTrustDomain: "unknown_trust_domain"
        case .untrusted: "untrusted"
        case .nameConstraint: "name_constraint"
        case .notOneURISAN: "not_one_uri_san"
        case .badSPIFFEID: "bad_spiffe_id"
        case .isCA: "is_ca"
        case .missingKeyUsage: "missing_key_usage"
        case .missingExtendedKeyUsage: "missing_extended_key_usage"
        case .badSignature: "bad_signature"
        case .weakKey: "weak_key"
        case .noALPN: "no_alpn"
        case .protocolVersion: "protocol_version"
        case .noCommonParameters: "no_common_parameters"
        case .protocolError: "protocol_error"
        case .badRecord: "bad_record"
        case .peerClosed: "peer_closed"
        case .certificateRefused: "certificate_refused"
        case .alert: "alert"
        case .unexpectedIdentity: "unexpected_identity"
        case .io: "io"
        }
    }
}

extension TLSFailure {
    /// What the verification of a chain ended with (X509_V_ERR_*).
    init(verification error: CInt) {
        self =
            switch error {
            case X509_V_ERR_CERT_HAS_EXPIRED: .expired
            case X509_V_ERR_CERT_NOT_YET_VALID: .notYetValid
            case X509_V_ERR_CERT_REVOKED: .revoked
            case X509_V_ERR_CRL_HAS_EXPIRED: .staleRevocationList
            case X509_V_ERR_CRL_NOT_YET_VALID, X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER,
                X509_V_ERR_CRL_SIGNATURE_FAILURE, X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE,
                X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD, X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD,
                X509_V_ERR_DIFFERENT_CRL_SCOPE, X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION,
                X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
                .badRevocationList
            case X509_V_ERR_CERT_SIGNATURE_FAILURE, X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE: .badSignature
            case X509_V_ERR_PERMITTED_VIOLATION, X509_V_ERR_EXCLUDED_VIOLATION, X509_V_ERR_SUBTREE_MINMAX,
                X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX,
                X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
                .nameConstraint
            case X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_CA_MD_TOO_WEAK: .weakKey
            default: .untrusted
            }
    }

    /// What the peer is told of a certificate, by the X509_V_ERR_* that OpenSSL makes this alert of.
    var verificationError: CInt {
        switch self {
        case .expired, .notYetValid: X509_V_ERR_CERT_HAS_EXPIRED
        case .revoked: X509_V_ERR_CERT_REVOKED
        case .unknownTrustDomain, .untrusted: X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        case .badSignature: X509_V_ERR_CERT_SIGNATURE_FAILURE
        default: X509_V_ERR_CERT_REJECTED
        }
    }

    /// Begin of the reasons that stand for alerts of the peer: SSL_AD_REASON_OFFSET.
    private static let alerts: CInt = 1000

    /// What the peer has said (RFC 8446 §6.2).
    init(alert: UInt8) { self.init(reason: Self.alerts + CInt(alert)) }

    /// What a system call has said, an errno; 0: the stream has ended.
    init(socket error: CInt) { self = error == 0 || error == ECONNRESET || error == EPIPE ? .peerClosed : .io }

    /// What libssl put into the error queue (SSL_R_*).
    init(reason: CInt) {
        self =
            switch reason {
            case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: .noCertificate
            case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_WRONG_VERSION_NUMBER, SSL_R_VERSION_TOO_LOW,
                SSL_R_VERSION_TOO_HIGH, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_UNKNOWN_PROTOCOL,
                SSL_R_WRONG_SSL_VERSION, SSL_R_BAD_LEGACY_VERSION, SSL_R_NO_PROTOCOLS_AVAILABLE,
                Self.alerts + SSL_AD_PROTOCOL_VERSION:
                .protocolVersion
            case SSL_R_NO_APPLICATION_PROTOCOL, Self.alerts + SSL_AD_NO_APPLICATION_PROTOCOL: .noALPN
            case SSL_R_UNEXPECTED_EOF_WHILE_READING: .peerClosed
            case SSL_R_BAD_SIGNATURE: .badSignature
            case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_R_DIGEST_CHECK_FAILED: .badRecord
            case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_KEY_SHARE,
                SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
                SSL_R_WRONG_CURVE, SSL_R_WRONG_SIGNATURE_TYPE:
                .noCommonParameters
            case Self.alerts + SSL_AD_BAD_CERTIFICATE...Self.alerts + SSL_AD_CERTIFICATE_UNKNOWN,
                Self.alerts + SSL_AD_UNKNOWN_CA, Self.alerts + SSL_AD_ACCESS_DENIED,
                Self.alerts + SSL_AD_CERTIFICATE_REQUIRED:
                .certificateRefused
            case Self.alerts...: .alert
            default: .protocolError
            }
    }
}
