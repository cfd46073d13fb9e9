import Mesh

/// What a PEM file holds: certificates in order, at most one key, revocation lists.
public struct CertificateFile: Sendable {
    public var certificates: [Certificate] = []
    public var key: PrivateKey?
    public var revocations: [RevocationList] = []

    /// Reads a file; errors name it.
    public init(path: String) throws(IdentityError) {
        let bytes = try StateFile.read(path)
        do throws(IdentityError) {
            try self.init(pem: bytes)
        } catch {
            throw error.at(path)
        }
    }

    /// Blocks of other kinds (`EC PARAMETERS`, `TRUST…`) are skipped.
    public init(pem: [UInt8]) throws(IdentityError) {
        for block in try PEM.decode(pem) {
            switch block.label {
            case PEM.certificate, "X509 CERTIFICATE": certificates.append(try Certificate(der: block.bytes))
            case PEM.privateKey, "EC PRIVATE KEY", "RSA PRIVATE KEY":
                guard key == nil else { throw IdentityError(.malformed, "it has more than one private key") }
                key = try PrivateKey(der: block.bytes)
            case PEM.revocationList: revocations.append(try RevocationList(der: block.bytes))
            case "ENCRYPTED PRIVATE KEY":
                throw IdentityError(
                    .malformed,
                    "its key is encrypted: give it without a passphrase (`openssl pkey -in FILE -out FILE`)")
            default: break
            }
        }
    }

    /// PEM of certificates with their key after them.
    static func encode(_ certificates: [Certificate], key: PrivateKey) throws(IdentityError) -> [UInt8] {
        PEM.encode(
            certificates.map { PEM.Block(label: PEM.certificate, bytes: $0.der) }
                + [PEM.Block(label: PEM.privateKey, bytes: try key.der())])
    }

    /// PEM of roots with revocation lists after them.
    static func encode(_ roots: [Certificate], revocations: [RevocationList]) -> [UInt8] {
        PEM.encode(
            roots.map { PEM.Block(label: PEM.certificate, bytes: $0.der) }
                + revocations.map { PEM.Block(label: PEM.revocationList, bytes: $0.der) })
    }
}

extension SigningAuthority {
    /// An authority that was given: the certificates have to lead to one of `roots`, the first be that of `key` and fit
    /// to sign for `trustDomain`. Certificates of roots among them are left out of the chain.
    ///
    /// - Parameter place: the file, for errors.
    init(
        _ certificates: [Certificate], key: PrivateKey, roots: [Certificate], trustDomain: String, place: String,
        now: Int64
    ) throws(IdentityError) {
        guard let first = certificates.first else {
            throw IdentityError(.malformed, "\(place): there is no certificate in it")
        }
        guard first.belongs(to: key) else {
            throw IdentityError(
                .invalid, "\(place): the private key is not that of the first certificate, '\(first.subject)'")
        }
        guard first.isAuthority else {
            throw IdentityError(
                .invalid, "\(place): '\(first.subject)' is not a CA's certificate (CA:true with keyCertSign)")
        }
        guard first.notAfter > now else {
            throw IdentityError(.expired, "\(place): '\(first.subject)' has expired: renew it")
        }
        let named = first.uris.compactMap { SPIFFEID($0) }
        guard named.allSatisfy({ $0.trustDomain == trustDomain }) else {
            throw IdentityError(
                .invalid,
                "\(place): '\(first.subject)' is of the trust domain \(named[0].trustDomain), not of \(trustDomain):"
                    + " start with --trust-domain \(named[0].trustDomain) or use another CA")
        }
        let intermediates = certificates.dropFirst().filter { !$0.isSelfSigned }
        do throws(IdentityError) {
            try ChainVerifier.verify(first, intermediates: intermediates, roots: roots, purpose: .authority, now: now)
        } catch {
            throw error.at(place)
        }
        self.init(certificate: first, key: key, intermediates: intermediates)
    }

    /// The authority of the files `--ca-cert` and `--ca-key`, with the roots of `--ca-bundle` or, without one, those in
    /// the first file. The root's key need not be on this machine.
    public static func read(
        certificates path: String, key keyPath: String, bundle: String?, trustDomain: String, now: Int64
    ) throws(IdentityError) -> (authority: SigningAuthority, bundle: CertificateFile) {
        let file = try CertificateFile(path: path)
        guard let key = try CertificateFile(path: keyPath).key else {
            throw IdentityError(.malformed, "\(keyPath): there is no private key in it (--ca-key)")
        }
        var trusted = file
        if let bundle { trusted = try CertificateFile(path: bundle) }
        trusted.key = nil
        trusted.certificates = trusted.certificates.filter(\.isSelfSigned)
        guard !trusted.certificates.isEmpty else {
            throw IdentityError(
                .invalid, "\(bundle ?? path): there is no root certificate in it: give a file with it by --ca-bundle")
        }
        let authority = try SigningAuthority(
            file.certificates, key: key, roots: trusted.certificates, trustDomain: trustDomain, place: path, now: now)
        return (authority, trusted)
    }
}
