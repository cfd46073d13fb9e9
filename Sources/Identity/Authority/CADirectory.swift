public import Mesh

/// The built-in CA of a trust domain, in `<state-dir>/ca/` (0700, its files 0600):
///
///     root.pem         the root's certificate and key; away on nodes that have only an intermediate
///     next-root.pem    the root that is to follow it, while it is being rotated
///     node.pem         this node's intermediate, what is above it, and its key
///     bundle.pem       every root that is trusted, revocation lists that came with them
///     KEYID.crl        what the authority with that key has revoked
///     tokens/          tokens for nodes that may join
///
/// A certificate and its key are in one file, so that no crash can leave two that do not belong together.
public struct CADirectory: Sendable {
    public let path: String
    public let trustDomain: String

    public init(path: String, trustDomain: String) {
        self.path = path
        self.trustDomain = trustDomain
    }

    /// The directory of a CA that was made already; its trust domain is that of its certificates.
    public init(existing path: String) throws(IdentityError) {
        // An error here tells a directory that may not be read from one that is not there.
        let names = try StateFile.names(in: path)
        for file in ["root.pem", "node.pem"] where names.contains(file) {
            for certificate in try CertificateFile(path: "\(path)/\(file)").certificates {
                guard let domain = certificate.spiffeID?.trustDomain else { continue }
                self.init(path: path, trustDomain: domain)
                return
            }
        }
        throw IdentityError(.file, "there is no CA in \(path): start weftd, or name its state directory (--state-dir)")
    }

    var rootFile: String { "\(path)/root.pem" }
    var nextRootFile: String { "\(path)/next-root.pem" }
    var nodeFile: String { "\(path)/node.pem" }
    var bundleFile: String { "\(path)/bundle.pem" }
    public var tokens: JoinTokenStore { JoinTokenStore(path: "\(path)/tokens") }

    /// What is in the directory.
    public struct Contents: Sendable {
        /// nil if its key is elsewhere.
        public var root: SigningAuthority?
        public var nextRoot: SigningAuthority?
        /// nil before the first start, and before a node has joined.
        public var node: SigningAuthority?
        /// The active one first.
        public var roots: [Certificate]
        public var revocations: [RevocationList]

        /// Roots and revocation lists.
        public var bundlePEM: [UInt8] { CertificateFile.encode(roots, revocations: revocations) }

        public var bundle: TrustBundle {
            TrustBundle(roots: roots.map(\.der), revocations: revocations.map(\.der))
        }
    }

    /// Reads what is there. Errors name the file; nothing that is broken is ever replaced by something new.
    public func read(now: Int64) throws(IdentityError) -> Contents {
        let root = try readRoot(rootFile, now: now)
        let next = try readRoot(nextRootFile, now: now)
        var trusted: [Certificate] = []
        for authority in [root, next] { if let authority { trusted.append(authority.certificate) } }
        var revocations: [RevocationList] = []
        if StateFile.exists(bundleFile) {
            let file = try CertificateFile(path: bundleFile)
            for certificate in file.certificates where !trusted.contains(certificate) { trusted.append(certificate) }
            revocations = file.revocations
        }
        var node: SigningAuthority?
        if StateFile.exists(nodeFile) {
            let file = try CertificateFile(path: nodeFile)
            guard let key = file.key else {
                throw IdentityError(.malformed, "\(nodeFile): there is no private key in it")
            }
            // One that has expired is as good as none where the root can make another.
            if root == nil || (file.certificates.first?.notAfter ?? .max) > now {
                node = try SigningAuthority(
                    file.certificates, key: key, roots: trusted, trustDomain: trustDomain, place: nodeFile, now: now)
            }
        }
        for name in try StateFile.names(in: path) where name.hasSuffix(".crl") {
            for list in try CertificateFile(path: "\(path)/\(name)").revocations where !revocations.contains(list) {
                revocations.append(list)
            }
        }
        return Contents(root: root, nextRoot: next, node: node, roots: trusted, revocations: revocations)
    }

    private func readRoot(_ path: String, now: Int64) throws(IdentityError) -> SigningAuthority? {
        guard StateFile.exists(path) else { return nil }
        let file = try CertificateFile(path: path)
        guard let key = file.key else { throw IdentityError(.malformed, "\(path): there is no private key in it") }
        return try SigningAuthority(
            file.certificates, key: key, roots: file.certificates.filter(\.isSelfSigned), trustDomain: trustDomain,
            place: path, now: now)
    }

    /// Reads the directory after making what is missing: a root where there is nothing at all, and this node's
    /// intermediate where it is missing, is in the second half of its life, or comes from another root than the active.
    public func prepare(node name: String, now: Int64) throws(IdentityError) -> Contents {
        try StateFile.makePrivateDirectory(path)
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        try StateFile.removeTemporaries(in: path)
        if !StateFile.exists(rootFile) && !StateFile.exists(nodeFile) {
            guard !StateFile.exists(bundleFile) else {
                throw IdentityError(
                    .file,
                    "\(path) has a trust bundle but neither root.pem nor node.pem: put the key back, or remove the"
                        + " directory to begin with a new root, which no other node will trust")
            }
            let root = try SigningAuthority.makeRoot(trustDomain: trustDomain, now: now)
            try StateFile.write(try CertificateFile.encode([root.certificate], key: root.key), to: rootFile)
        }
        let contents = try read(now: now)
        guard let root = contents.root else { return contents }
        if !StateFile.exists(bundleFile) { try writeBundle(contents.roots, contents) }
        if let node = contents.node, !Self.isDue(node, root, now: now) { return contents }
        return try renewNode(name, contents, now: now)
    }

    /// Whether an intermediate is to be made anew.
    private static func isDue(_ node: SigningAuthority, _ root: SigningAuthority, now: Int64) -> Bool {
        let certificate = node.certificate
        let middle = certificate.notBefore + (certificate.notAfter - certificate.notBefore) / 2
        return now >= middle || !certificate.isSigned(by: root.certificate)
    }

    func renewNode(_ name: String, _ contents: Contents, now: Int64) throws(IdentityError) -> Contents {
        guard let root = contents.root else { throw noRoot() }
        let node = try root.makeNode(name, now: now)
        try StateFile.write(try CertificateFile.encode([node.certificate], key: node.key), to: nodeFile)
        var renewed = contents
        renewed.node = node
        return renewed
    }

    func writeBundle(_ roots: [Certificate], _ contents: Contents) throws(IdentityError) {
        let own = try ownRevocations()
        let others = contents.revocations.filter { !own.contains($0) }
        try StateFile.write(CertificateFile.encode(roots, revocations: others), to: bundleFile)
    }

    /// Those that have files of their own.
    private func ownRevocations() throws(IdentityError) -> [RevocationList] {
        var lists: [RevocationList] = []
        for name in try StateFile.names(in: path) where name.hasSuffix(".crl") {
            lists += try CertificateFile(path: "\(path)/\(name)").revocations
        }
        return lists
    }

    /// Keeps what a CA on another node gave: its roots first, so that a crash leaves no intermediate without them.
    public func store(
        chain: [Certificate], key: PrivateKey, bundle: CertificateFile, now: Int64
    ) throws(IdentityError) -> Contents {
        _ = try SigningAuthority(
            chain, key: key, roots: bundle.certificates, trustDomain: trustDomain, place: "the CA's answer", now: now)
        try StateFile.makePrivateDirectory(path)
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        try StateFile.write(
            CertificateFile.encode(bundle.certificates, revocations: bundle.revocations), to: bundleFile)
        try StateFile.write(try CertificateFile.encode(chain, key: key), to: nodeFile)
        return try read(now: now)
    }

    /// Keeps the roots and revocations that a CA on another node trusts now.
    public func store(bundle: CertificateFile, now: Int64) throws(IdentityError) -> Contents {
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        let bytes = CertificateFile.encode(bundle.certificates, revocations: bundle.revocations)
        if try StateFile.read(bundleFile) != bytes { try StateFile.write(bytes, to: bundleFile) }
        return try read(now: now)
    }

    func noRoot() -> IdentityError {
        IdentityError(.invalid, "the root's key is not in \(path): do this on the node that has \(rootFile)")
    }
}
