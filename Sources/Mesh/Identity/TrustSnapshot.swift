/// What proves identities at one moment: the certificates of this node's workloads, and what peers' certificates are
/// checked against. An immutable value; whoever holds connections takes a new one over between two of them.
public struct TrustSnapshot: Sendable, Equatable {
    /// Grows by one with every change.
    public var generation: UInt64
    public var trustDomain: String
    /// By SPIFFE id (`spiffe://td/ns/shop/sa/web`): those of this node that have been issued.
    public var identities: [String: WorkloadCertificate]
    /// By trust domain, the mesh's own included. A peer is validated against its own domain's bundle and no other
    /// (SPIFFE federation); during a root's rotation a bundle holds both roots.
    public var bundles: [String: TrustBundle]

    public init(
        generation: UInt64 = 0, trustDomain: String = "cluster.local", identities: [String: WorkloadCertificate] = [:],
        bundles: [String: TrustBundle] = [:]
    ) {
        self.generation = generation
        self.trustDomain = trustDomain
        self.identities = identities
        self.bundles = bundles
    }
}

/// An X.509-SVID with its key.
/// Source: https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
public final class WorkloadCertificate: Sendable, Equatable {
    public let spiffeID: String
    /// DER, the leaf first, then the intermediates; the root is left out.
    public let chain: [[UInt8]]
    /// PKCS #8, DER.
    public let privateKey: [UInt8]
    /// Seconds since 1970.
    public let notBefore: Int64
    public let notAfter: Int64

    public init(spiffeID: String, chain: [[UInt8]], privateKey: [UInt8], notBefore: Int64, notAfter: Int64) {
        self.spiffeID = spiffeID
        self.chain = chain
        self.privateKey = privateKey
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    public static func == (a: WorkloadCertificate, b: WorkloadCertificate) -> Bool { a === b || a.chain == b.chain }
}

/// What certificates of one trust domain are checked against.
public struct TrustBundle: Sendable, Equatable {
    /// Root certificates, DER.
    public var roots: [[UInt8]]
    /// Certificate revocation lists (RFC 5280), DER; a certificate whose issuer has none here counts as not revoked.
    public var revocations: [[UInt8]]

    public init(roots: [[UInt8]], revocations: [[UInt8]] = []) {
        self.roots = roots
        self.revocations = revocations
    }
}
