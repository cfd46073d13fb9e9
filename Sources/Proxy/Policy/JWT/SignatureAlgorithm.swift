/// Signatures that tokens may have (RFC 7518 section 3.1, RFC 8037 section 3.1). Neither `none` nor keyed hashes are among
/// them.
enum SignatureAlgorithm: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, edDSA

    var name: StaticString {
        switch self {
        case .rs256: "RS256"
        case .rs384: "RS384"
        case .rs512: "RS512"
        case .ps256: "PS256"
        case .ps384: "PS384"
        case .ps512: "PS512"
        case .es256: "ES256"
        case .es384: "ES384"
        case .es512: "ES512"
        case .edDSA: "EdDSA"
        }
    }

    /// nil: none of them.
    init?(_ text: RawSpan) {
        for algorithm in Self.allCases where ByteText.equal(text, algorithm.name) {
            self = algorithm
            return
        }
        return nil
    }

    enum Digest: BitwiseCopyable { case none, sha256, sha384, sha512 }

    var digest: Digest {
        switch self {
        case .rs256, .ps256, .es256: .sha256
        case .rs384, .ps384, .es384: .sha384
        case .rs512, .ps512, .es512: .sha512
        case .edDSA: .none
        }
    }

    var usesPSS: Bool { self == .ps256 || self == .ps384 || self == .ps512 }

    /// Of the two halves of an ECDSA signature, bytes; nil for others.
    var coordinateSize: Int? {
        switch self {
        case .es256: 32
        case .es384: 48
        case .es512: 66
        default: nil
        }
    }
}

/// What a key is. It alone says which algorithms it is used with, never a token (RFC 8725 section 3.1).
enum KeyType: UInt8, BitwiseCopyable, Sendable {
    case rsa, p256, p384, p521, ed25519

    func allows(_ algorithm: SignatureAlgorithm) -> Bool {
        switch self {
        case .rsa: algorithm.coordinateSize == nil && algorithm != .edDSA
        case .p256: algorithm == .es256
        case .p384: algorithm == .es384
        case .p521: algorithm == .es512
        case .ed25519: algorithm == .edDSA
        }
    }
}
