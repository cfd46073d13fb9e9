public import Mesh

/// A certificate that may sign others, with its key: the root, or an intermediate below it.
public struct SigningAuthority: Sendable {
    public let certificate: Certificate
    public let key: PrivateKey
    /// What follows the leaf in chains that it issues: itself and the authorities above it, DER; the root is left out.
    public let chain: [[UInt8]]

    /// Certificates are valid from a little before they are made, because clocks differ. In seconds.
    static let backDate: Int64 = 60

    public static let rootLifetime: Int64 = 3650 * 86400
    /// Of a node's intermediate. It is renewed in the middle of it, so a node may be without its root for 45 days.
    public static let nodeLifetime: Int64 = 90 * 86400

    /// - Parameter intermediates: the authorities above it, the nearest first, without the root.
    init(certificate: Certificate, key: PrivateKey, intermediates: [Certificate] = []) {
        self.certificate = certificate
        self.key = key
        chain = (certificate.isSelfSigned ? [] : [certificate.der]) + intermediates.map(\.der)
    }

    /// A new root for a trust domain: signs itself, for ten years.
    static func makeRoot(trustDomain: String, now: Int64) throws(IdentityError) -> SigningAuthority {
        guard let id = SPIFFEID("spiffe://\(trustDomain)") else {
            throw IdentityError(
                .invalid, "'\(trustDomain)' cannot be a trust domain: use letters in lower case, digits, '.', '-', '_'")
        }
        let key = try PrivateKey.generate()
        let content = CertificateContent(
            profile: .root, subject: try subject("Weft root"), id: id, notBefore: now - backDate,
            notAfter: now + rootLifetime)
        let certificate = try CertificateBuilder.make(content, for: key.publicKey, issuer: nil, signer: key)
        return SigningAuthority(certificate: certificate, key: key)
    }

    /// An intermediate for a node, with a new key.
    func makeNode(_ name: String, now: Int64) throws(IdentityError) -> SigningAuthority {
        let key = try PrivateKey.generate()
        let certificate = try issueNode(name, for: key.publicKey, now: now)
        return SigningAuthority(
            certificate: certificate, key: key,
            intermediates: try chain.map { der throws(IdentityError) in
                try Certificate(der: der)
            })
    }

    /// A certificate that makes `key` the authority of a node. Its common name is the node's name.
    func issueNode(_ name: String, for key: PublicKey, now: Int64) throws(IdentityError) -> Certificate {
        guard NodeName.isValid(name) else {
            throw IdentityError(.invalid, "'\(name)' cannot be a node's name: \(NodeName.rule)")
        }
        guard certificate.pathLength != 0 else {
            throw IdentityError(
                .invalid, "'\(certificate.subject)' may not issue to authorities (pathlen:0): it takes the root's key")
        }
        let content = CertificateContent(
            profile: .node, subject: try Self.subject(name), id: try trustDomainID(), notBefore: now - Self.backDate,
            notAfter: try end(now, Self.nodeLifetime))
        return try CertificateBuilder.make(content, for: key, issuer: certificate, signer: self.key)
    }

    /// An X.509-SVID with a new key, valid for `lifetime` seconds or as long as the authority itself.
    /// Source: https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
    public func issue(_ id: SPIFFEID, lifetime: Int64, now: Int64) throws(IdentityError) -> WorkloadCertificate {
        guard !id.path.isEmpty else { throw IdentityError(.invalid, "\(id) is no workload's: it has no path") }
        let key = try PrivateKey.generate()
        let content = CertificateContent(
            profile: .workload, subject: [], id: id, notBefore: now - Self.backDate, notAfter: try end(now, lifetime))
        let leaf = try CertificateBuilder.make(content, for: key.publicKey, issuer: certificate, signer: self.key)
        return WorkloadCertificate(
            spiffeID: id.description, chain: [leaf.der] + chain, privateKey: try key.der(), notBefore: leaf.notBefore,
            notAfter: leaf.notAfter)
    }

    private func end(_ now: Int64, _ lifetime: Int64) throws(IdentityError) -> Int64 {
        guard certificate.notAfter > now else {
            throw IdentityError(.expired, "the CA's certificate '\(certificate.subject)' has expired: renew it")
        }
        return min(now + lifetime, certificate.notAfter)
    }

    private func trustDomainID() throws(IdentityError) -> SPIFFEID {
        guard let domain = certificate.spiffeID?.trustDomain, let id = SPIFFEID("spiffe://\(domain)") else {
            throw IdentityError(.invalid, "the CA's certificate '\(certificate.subject)' names no trust domain")
        }
        return id
    }

    /// Each authority has a subject of its own, so that lists and chains are found by it even among namesakes.
    private static func subject(_ name: String) throws(IdentityError) -> [(attribute: String, value: String)] {
        [("O", "Weft"), ("CN", name), ("serialNumber", hexadecimal(try OpenSSL.randomBytes(8)))]
    }
}

/// What a node may be called in certificates, files and tokens.
public enum NodeName {
    static let rule = "1 to 64 letters, digits, '.', '-' or '_', the first of them a letter or a digit"

    public static func isValid(_ name: String) -> Bool {
        let isAlphanumeric = { (byte: UInt8) in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        guard (1...64).contains(name.utf8.count), let first = name.utf8.first, isAlphanumeric(first) else {
            return false
        }
        return name.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f }
    }
}
