public import Mesh

/// The certificates of one node: reads what they are made from, keeps them with an `IdentityManager`, and says what has
/// to be asked of the CA on another node. It does file I/O in the calls and nothing between them; the caller has the
/// clock, the thread and the network.
public struct NodeIdentity {
    /// Files are looked at this often: milliseconds.
    public static let lookInterval: Int64 = 5000

    public let options: NodeIdentityOptions
    public let directory: CADirectory
    public private(set) var manager: IdentityManager
    /// What issues here; nil before a node has joined.
    public private(set) var authority: SigningAuthority?
    /// Why the last reading of the CA's files or the last request to the CA failed; nil: it did not.
    public private(set) var authorityProblem: IdentityError?
    /// What is wrong with files of other domains' bundles and of `identityDirectory`.
    public private(set) var fileProblems: [IdentityError] = []
    /// When the first of the own domain's roots expires: seconds since 1970.
    public private(set) var rootExpiry: Int64?
    private var ownBundle = TrustBundle(roots: [])
    private var otherBundles: [String: TrustBundle] = [:]
    private var external: IdentityDirectory?
    private var externalRoots: [String: [[UInt8]]] = [:]
    private var signatures: [String: FileSignature] = [:]
    private var nextLook: Int64 = 0
    private let client: JoinClient?
    private var request = RequestSchedule()

    /// Reads the CA, or makes it; throws where there can be no certificates for a reason that somebody has to see to.
    ///
    /// - Parameter now: milliseconds since 1970, here and everywhere.
    public init(
        _ options: NodeIdentityOptions, now: Int64,
        random: any RandomNumberGenerator = SystemRandomNumberGenerator()
    ) throws(IdentityError) {
        try options.check()
        self.options = options
        directory = CADirectory(path: "\(options.stateDirectory)/ca", trustDomain: options.trustDomain)
        manager = IdentityManager(trustDomain: options.trustDomain, random: random)
        external = options.identityDirectory.map {
            IdentityDirectory(path: $0, trustDomain: options.trustDomain)
        }
        client = try options.joinAddress.map { address throws(IdentityError) in
            try JoinClient(address: address, trustDomain: options.trustDomain, node: options.node)
        }
        try readAuthority(now: now)
        if options.joinAddress != nil, authority == nil, options.joinToken == nil {
            throw IdentityError(
                .invalid,
                "this node has not joined \(options.joinAddress ?? "") yet: give it a token by --join-token"
                    + " (`weft ca token create --node \(options.node)` makes one at the CA)")
        }
        look(now: now)
    }

    public var trust: TrustSnapshot { manager.trust }

    // MARK: Turns

    /// Wants certificates for these ids. True if `trust` changed.
    public mutating func setWanted(_ ids: Set<SPIFFEID>, now: Int64) -> Bool { manager.setWanted(ids, now: now) }

    /// Renews now: one identity, or all. The number of them.
    public mutating func renew(_ id: String? = nil, now: Int64) -> Int { manager.renew(id, now: now) }

    /// When `turn` has something to do.
    public var nextDeadline: Int64 { min(nextLook, manager.nextDeadline ?? .max) }

    /// Does what is due: looks at files, issues at most `limit` certificates. True if `trust` changed.
    public mutating func turn(now: Int64, limit: Int = .max) -> Bool {
        let before = manager.trust.generation
        if now >= nextLook || nextLook - now > Self.lookInterval { look(now: now) }
        var roots: [String: [[UInt8]]] = [:]
        let (external, authority, problem, lifetime) = (external, authority, authorityProblem, options.lifetime)
        _ = manager.renewDue(now: now, limit: limit) { id throws(IdentityError) in
            guard let external, external.has(id) else {
                guard let authority else {
                    throw problem ?? IdentityError(.unreachable, "this node has not joined its CA yet")
                }
                return try authority.issue(id, lifetime: lifetime, now: now / 1000)
            }
            let read = try external.read(id, now: now / 1000)
            roots[id.description] = read.roots.map(\.der)
            return read.certificate
        }
        if !roots.isEmpty {
            externalRoots.merge(roots) { $1 }
            publishBundles()
        }
        return manager.trust.generation != before
    }

    private mutating func look(now: Int64) {
        nextLook = now + Self.lookInterval
        let found = findSignatures()
        if found != signatures || isIntermediateDue(now: now) {
            do throws(IdentityError) {
                try readAuthority(now: now)
            } catch {
                // What was read before stays in use.
                authorityProblem = error
            }
            (otherBundles, fileProblems) = BundleDirectory.read(
                "\(options.stateDirectory)/bundles", previous: otherBundles)
            // Reading may have written.
            signatures = findSignatures()
        }
        do throws(IdentityError) {
            for id in try external?.refresh() ?? [] {
                externalRoots[id] = nil
                manager.renew(id, now: now)
            }
        } catch {
            if !fileProblems.contains(error) { fileProblems.append(error) }
        }
        publishBundles()
    }

    private func isIntermediateDue(now: Int64) -> Bool {
        guard options.certificateFile == nil, options.joinAddress == nil, let certificate = authority?.certificate
        else { return false }
        return now / 1000 >= certificate.notBefore + (certificate.notAfter - certificate.notBefore) / 2
    }

    private func findSignatures() -> [String: FileSignature] {
        var paths = [options.certificateFile, options.keyFile, options.bundleFile].compactMap { $0 }
        for directory in [directory.path, "\(options.stateDirectory)/bundles"] {
            for name in (try? StateFile.names(in: directory)) ?? []
            where name.hasSuffix(".pem") || name.hasSuffix(".crl") { paths.append("\(directory)/\(name)") }
        }
        var found: [String: FileSignature] = [:]
        for path in paths { found[path] = FileSignature(path) }
        return found
    }

    private mutating func readAuthority(now: Int64) throws(IdentityError) {
        if let certificates = options.certificateFile, let key = options.keyFile {
            let read = try SigningAuthority.read(
                certificates: certificates, key: key, bundle: options.bundleFile, trustDomain: options.trustDomain,
                now: now / 1000)
            var bundle = TrustBundle(roots: [])
            bundle.add(read.bundle)
            take(read.authority, bundle, now: now)
        } else if options.joinAddress != nil {
            let contents = try directory.read(now: now / 1000)
            guard contents.root == nil else {
                throw IdentityError(
                    .invalid,
                    "\(directory.path) has a root of its own: remove the directory to join \(options.joinAddress ?? "")"
                )
            }
            if let node = contents.node { take(node, contents.bundle, now: now) }
        } else {
            let contents = try directory.prepare(node: options.node, now: now / 1000)
            guard let node = contents.node else { throw directory.noRoot() }
            take(node, contents.bundle, now: now)
        }
    }

    private mutating func take(_ authority: SigningAuthority, _ bundle: TrustBundle, now: Int64) {
        let isAnother = self.authority.map { $0.chain != authority.chain || $0.certificate != authority.certificate }
        self.authority = authority
        authorityProblem = nil
        ownBundle = bundle
        rootExpiry = bundle.roots.compactMap { try? Certificate(der: $0).notAfter }.min()
        if isAnother != false { manager.renew(now: now) }
    }

    private mutating func publishBundles() {
        var bundles = otherBundles
        var own = ownBundle
        for (_, roots) in externalRoots.sorted(by: { $0.key < $1.key }) { own.add(TrustBundle(roots: roots)) }
        if let addition = otherBundles[options.trustDomain] { own.add(addition) }
        bundles[options.trustDomain] = own
        _ = manager.setBundles(bundles)
    }

    // MARK: The CA on another node

    /// What is to be asked of the CA now, on a thread that may block; nil: nothing, or the last answer is not there yet.
    public mutating func nextRequest(now: Int64) -> JoinRequest? {
        guard let client, request.isDue(now: now) else { return nil }
        let operation: JoinRequest.Operation
        if let authority, authority.certificate.notAfter > now / 1000 {
            operation = isRenewalDue(now: now) ? .renew(authority, ownBundle) : .bundle(authority, ownBundle)
        } else if let token = options.joinToken.flatMap(JoinToken.init) {
            operation = .join(token)
        } else {
            authorityProblem = IdentityError(
                .expired, "this node's intermediate has expired: join again by another --join-token")
            request.fail(now: now)
            return nil
        }
        request.isRunning = true
        return JoinRequest(client: client, operation: operation)
    }

    /// Whether the intermediate is in the second half of its life, or comes from another root than the active one, which
    /// the CA puts first: the other's days are numbered.
    private func isRenewalDue(now: Int64) -> Bool {
        guard let certificate = authority?.certificate else { return false }
        let middle = certificate.notBefore + (certificate.notAfter - certificate.notBefore) / 2
        guard now / 1000 < middle else { return true }
        guard let active = ownBundle.roots.first.flatMap({ try? Certificate(der: $0) }) else { return false }
        return !certificate.isSigned(by: active)
    }

    /// How many questions in a row the CA on another node has not answered; nil: there is none to ask.
    public var unansweredRequests: Int? { client == nil ? nil : request.failures }

    /// When `nextRequest` has something; nil: never, or while one is running.
    public var nextRequestAt: Int64? {
        options.joinAddress == nil || request.isRunning ? nil : request.nextAt
    }

    /// Takes what became of a request.
    public mutating func finish(_ result: Result<JoinClient.Answer, IdentityError>, now: Int64) {
        do throws(IdentityError) {
            let answer = try result.get()
            let contents: CADirectory.Contents
            if let key = answer.key {
                contents = try directory.store(chain: answer.chain, key: key, bundle: answer.bundle, now: now / 1000)
            } else {
                contents = try directory.store(bundle: answer.bundle, now: now / 1000)
            }
            if let node = contents.node { take(node, contents.bundle, now: now) }
            signatures = findSignatures()
            publishBundles()
            let isRenewedNext = answer.key == nil && isRenewalDue(now: now)
            request.succeed(now: now, interval: isRenewedNext ? 0 : options.refreshInterval)
        } catch {
            authorityProblem = error
            request.fail(now: now)
        }
    }
}
