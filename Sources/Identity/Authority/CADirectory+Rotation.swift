extension CADirectory {
    /// How far a rotation of the root is. Each step waits until every node knows of the one before: nodes that joined
    /// ask for the bundle every ten minutes, others are given it.
    public enum RotationStage: String, Sendable {
        /// One root, and it is the active.
        case settled
        /// A root that is to follow is trusted already.
        case staged
        /// The new root issues; the old one is still trusted.
        case activated
    }

    public static func stage(of contents: Contents) -> RotationStage {
        contents.nextRoot != nil ? .staged : contents.roots.count > 1 ? .activated : .settled
    }

    /// Makes the root that is to follow, and trusts it beside the active one.
    @discardableResult
    public func stageRoot(now: Int64) throws(IdentityError) -> Contents {
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        var contents = try read(now: now)
        guard contents.root != nil else { throw noRoot() }
        switch Self.stage(of: contents) {
        case .settled: break
        case .staged:
            throw IdentityError(.refused, "a new root is staged already: activate it when every node trusts it")
        case .activated:
            throw IdentityError(.refused, "the last rotation is not at its end: retire the old root first")
        }
        let next = try SigningAuthority.makeRoot(trustDomain: trustDomain, now: now)
        contents.nextRoot = next
        contents.roots.append(next.certificate)
        // A root that is in the directory is trusted, so the bundle may come second.
        try StateFile.write(try CertificateFile.encode([next.certificate], key: next.key), to: nextRootFile)
        try writeBundle(contents.roots, contents)
        return contents
    }

    /// Lets the staged root issue, to begin with a new intermediate for this node. The old one stays trusted; its key is
    /// gone.
    @discardableResult
    public func activateRoot(node name: String, now: Int64) throws(IdentityError) -> Contents {
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        var contents = try read(now: now)
        guard let next = contents.nextRoot else {
            throw IdentityError(.refused, "no new root is staged: do that first")
        }
        // The old root has to be in the bundle before its file goes.
        try writeBundle(contents.roots, contents)
        _ = try StateFile.rename(nextRootFile, to: rootFile)
        contents.root = next
        contents.nextRoot = nil
        contents = try renewNode(name, contents, now: now)
        return try read(now: now)
    }

    /// Ends the trust in every root but the active one.
    @discardableResult
    public func retireRoots(now: Int64) throws(IdentityError) -> Contents {
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        let contents = try read(now: now)
        guard let root = contents.root else { throw noRoot() }
        guard Self.stage(of: contents) == .activated else {
            throw IdentityError(.refused, "there is no old root to retire: \(Self.stage(of: contents).rawValue)")
        }
        guard contents.node?.certificate.isSigned(by: root.certificate) != false else {
            throw IdentityError(
                .refused, "this node's intermediate still comes from the old root: rotate it first, or start the agent")
        }
        try writeBundle([root.certificate], contents)
        return try read(now: now)
    }

    /// Makes a new intermediate for this node.
    @discardableResult
    public func rotateNode(_ name: String, now: Int64) throws(IdentityError) -> Contents {
        let lock = try DirectoryLock(path)
        defer { lock.release() }
        return try renewNode(name, try read(now: now), now: now)
    }

    /// An intermediate for another node, from the active root: its PEM file `node.pem`, and the `bundle.pem` beside it.
    public func issueNode(_ name: String, now: Int64) throws(IdentityError) -> (node: [UInt8], bundle: [UInt8]) {
        let contents = try read(now: now)
        guard let root = contents.root else { throw noRoot() }
        let node = try root.makeNode(name, now: now)
        return (
            try CertificateFile.encode([node.certificate], key: node.key),
            CertificateFile.encode(contents.roots, revocations: contents.revocations)
        )
    }
}
