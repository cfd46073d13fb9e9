public import Mesh

/// What a node asks the CA of another node for.
public struct JoinClient: Sendable {
    /// `HOST:PORT` of the CA.
    public let address: String
    public let trustDomain: String
    /// This node's name.
    public let node: String
    /// How long one request may take.
    public let seconds: Int64

    public init(address: String, trustDomain: String, node: String, seconds: Int64 = 10) throws(IdentityError) {
        guard JoinSocket.split(address) != nil else {
            throw IdentityError(.malformed, "'\(address)' is not HOST:PORT or [IPV6]:PORT")
        }
        self.address = address
        self.trustDomain = trustDomain
        self.node = node
        self.seconds = seconds
    }

    /// What the CA gave.
    public struct Answer: Sendable {
        /// The new intermediate and what is above it; empty if only the bundle was asked for.
        public var chain: [Certificate]
        public var key: PrivateKey?
        /// Roots and revocation lists.
        public var bundle: CertificateFile
    }

    /// Gets the first intermediate. The CA has to prove the root that the token names before it is told the secret.
    public func join(_ token: JoinToken, now: Int64) throws(IdentityError) -> Answer {
        guard token.node == node else {
            throw IdentityError(.refused, "the token is for the node \(token.node), and this one is \(node)")
        }
        let connection = try connect(chain: [], key: nil)
        let chain = try connection.peerChain()
        guard let root = chain.first(where: { $0.fingerprint == token.rootFingerprint && $0.isSelfSigned }) else {
            throw IdentityError(
                .invalid,
                "\(address) does not prove the root that the token names: it is not this CA, or its root was"
                    + " rotated since (create another token)")
        }
        try check(chain, roots: [root], revocations: [], now: now)
        let answer = try request(
            connection, .join, token: "\(hexadecimal(token.id)).\(hexadecimal(token.secret))", now: now)
        guard answer.bundle.certificates.contains(root) else {
            throw IdentityError(.invalid, "the roots that \(address) gave are without the one that the token names")
        }
        return answer
    }

    /// Gets the next intermediate, against the present one.
    public func renew(_ present: SigningAuthority, bundle: TrustBundle, now: Int64) throws(IdentityError) -> Answer {
        try request(try connect(present, bundle, now: now), .renew, token: nil, now: now)
    }

    /// Gets the roots and revocation lists that are in force, and tells what the present intermediate has revoked.
    public func bundle(_ present: SigningAuthority, bundle: TrustBundle, now: Int64) throws(IdentityError) -> Answer {
        let lists = try bundle.revocations.map { der throws(IdentityError) in try RevocationList(der: der) }
        let blocks = lists.filter { $0.isSigned(by: present.certificate) }.map {
            PEM.Block(label: PEM.revocationList, bytes: $0.der)
        }
        return try request(
            try connect(present, bundle, now: now), .bundle, token: nil, body: PEM.encode(blocks), now: now)
    }

    private func connect(
        _ present: SigningAuthority, _ bundle: TrustBundle, now: Int64
    ) throws(IdentityError) -> TLSConnection {
        guard let id = SPIFFEID("spiffe://\(trustDomain)\(JoinPath.node(node))") else {
            throw IdentityError(.invalid, "'\(node)' cannot be in a SPIFFE id")
        }
        let own = try present.issue(id, lifetime: 300, now: now)
        let connection = try connect(chain: own.chain, key: try PrivateKey(der: own.privateKey))
        let roots = try bundle.roots.map { der throws(IdentityError) in try Certificate(der: der) }
        try check(try connection.peerChain(), roots: roots, revocations: bundle.revocations, now: now)
        return connection
    }

    private func connect(chain: [[UInt8]], key: PrivateKey?) throws(IdentityError) -> TLSConnection {
        let socket = try JoinSocket.connect(to: address, seconds: seconds)
        do throws(IdentityError) {
            return try TLSConnection(socket, .client, chain: chain, key: key, seconds: seconds)
        } catch {
            throw error.at(address)
        }
    }

    /// The peer has to be the CA, and not a workload or a node of the same mesh.
    private func check(
        _ chain: [Certificate], roots: [Certificate], revocations: [[UInt8]], now: Int64
    ) throws(IdentityError) {
        guard let leaf = chain.first else { throw IdentityError(.invalid, "\(address) has shown no certificate") }
        guard leaf.spiffeID?.description == "spiffe://\(trustDomain)\(JoinPath.authority)" else {
            throw IdentityError(
                .invalid,
                "\(address) is not the CA of \(trustDomain): it is '\(leaf.uris.joined(separator: ", "))'")
        }
        do throws(IdentityError) {
            try ChainVerifier.verify(
                leaf, intermediates: Array(chain.dropFirst()), roots: roots, revocations: revocations,
                purpose: .server, now: now)
        } catch {
            throw error.at(address)
        }
    }

    private func request(
        _ connection: TLSConnection, _ operation: JoinOperation, token: String?, body: [UInt8] = [], now: Int64
    ) throws(IdentityError) -> Answer {
        var fields = ["operation": operation.rawValue, "node": node]
        fields["token"] = token
        let key = operation == .bundle ? nil : try PrivateKey.generate()
        var body = body
        if let key {
            body = PEM.encode([
                PEM.Block(label: PEM.request, bytes: try CertificateRequest.make(commonName: node, key: key))
            ])
        }
        do throws(IdentityError) {
            try connection.send(JoinMessage(fields, body: body))
            return try read(try connection.receive(limit: JoinMessage.sizeLimit), key, now: now)
        } catch {
            throw error.at(address)
        }
    }

    private func read(_ message: JoinMessage, _ key: PrivateKey?, now: Int64) throws(IdentityError) -> Answer {
        guard message.fields["status"] == "ok" else {
            throw IdentityError(.refused, "the CA said no: \(message.fields["reason"] ?? "it gave no reason")")
        }
        var bundle = try CertificateFile(pem: message.body)
        let count = message.fields["chain"].flatMap { Int($0) } ?? -1
        guard (0...8).contains(count), count < bundle.certificates.count, (count > 0) == (key != nil),
            bundle.key == nil
        else { throw IdentityError(.malformed, "the CA's answer has not the certificates that it should") }
        let chain = Array(bundle.certificates.prefix(count))
        bundle.certificates.removeFirst(count)
        guard bundle.certificates.allSatisfy({ $0.isSelfSigned && $0.isAuthority }) else {
            throw IdentityError(.invalid, "the CA's answer has roots that are none")
        }
        if let key {
            _ = try SigningAuthority(
                chain, key: key, roots: bundle.certificates, trustDomain: trustDomain, place: "the CA's answer",
                now: now)
        }
        return Answer(chain: chain, key: key, bundle: bundle)
    }
}
