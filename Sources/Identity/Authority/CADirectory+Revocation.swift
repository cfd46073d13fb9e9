extension CADirectory {
    /// Who has issued what is to be revoked.
    public enum Issuer: String, Sendable {
        /// This node's intermediate, which issues to workloads.
        case node
        /// The root, which issues to nodes.
        case root
    }

    /// Revokes a certificate that an authority of this directory has issued.
    @discardableResult
    public func revoke(_ certificate: Certificate, now: Int64) throws(IdentityError) -> RevocationList {
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        let contents = try read(now: now)
        for authority in [contents.node, contents.root, contents.nextRoot] {
            guard let authority, certificate.isSigned(by: authority.certificate), certificate != authority.certificate
            else { continue }
            return try append(certificate.serial, authority, now: now)
        }
        throw IdentityError(
            .refused,
            "'\(certificate.issuer)' has issued it, whose key is not in \(path): revoke it where that key is, or revoke"
                + " the certificate of that authority")
    }

    /// Revokes a serial number in hexadecimal digits, as `openssl x509 -serial` prints it.
    @discardableResult
    public func revoke(serial: String, of issuer: Issuer, now: Int64) throws(IdentityError) -> RevocationList {
        let digits = serial.lowercased().filter { $0 != ":" }
        let significant = String(digits.drop { $0 == "0" })
        guard !digits.isEmpty, digits.utf8.count <= 40,
            bytes(hexadecimal: (digits.count % 2 == 0 ? "" : "0") + digits) != nil
        else { throw IdentityError(.malformed, "'\(serial)' is not a serial number in hexadecimal digits") }
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        let contents = try read(now: now)
        guard let authority = issuer == .root ? contents.root : contents.node else {
            throw issuer == .root ? noRoot() : IdentityError(.invalid, "there is no intermediate in \(path)")
        }
        // Two digits for each byte, as OpenSSL writes numbers.
        return try append((significant.count % 2 == 0 ? "" : "0") + significant, authority, now: now)
    }

    /// Keeps what the authority of another node has revoked, for the bundles of all nodes. What it has revoked once stays so.
    ///
    /// - Returns: whether any of it is news.
    public func keep(_ list: RevocationList, of issuer: Certificate) throws(IdentityError) -> Bool {
        guard let identifier = issuer.keyIdentifier, list.isSigned(by: issuer) else {
            throw IdentityError(.refused, "the revocation list is not of '\(issuer.subject)'")
        }
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        let file = "\(path)/\(identifier).crl"
        if StateFile.exists(file), let known = try CertificateFile(path: file).revocations.first {
            guard known != list else { return false }
            guard Set(known.serials).isSubset(of: list.serials) else {
                throw IdentityError(.refused, "the revocation list of '\(issuer.subject)' takes revocations back")
            }
        }
        try StateFile.write(PEM.encode([PEM.Block(label: PEM.revocationList, bytes: list.der)]), to: file)
        return true
    }

    private func append(
        _ serial: String, _ authority: SigningAuthority, now: Int64
    ) throws(IdentityError) -> RevocationList {
        guard let identifier = authority.certificate.keyIdentifier else {
            throw IdentityError(.invalid, "'\(authority.certificate.subject)' has no key identifier")
        }
        let file = "\(path)/\(identifier).crl"
        let previous = StateFile.exists(file) ? try CertificateFile(path: file).revocations.first : nil
        if let previous, previous.serials.contains(serial) { return previous }
        let list = try RevocationList.make(adding: serial, to: previous, authority: authority, now: now)
        try StateFile.write(PEM.encode([PEM.Block(label: PEM.revocationList, bytes: list.der)]), to: file)
        return list
    }
}
