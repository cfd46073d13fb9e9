import Logging
import Mesh

/// Decides a node's request: a function of what the node sent and proved.
struct JoinDesk {
    let directory: CADirectory
    let contents: CADirectory.Contents
    let logger: Logger
    let now: Int64

    /// - Parameter peer: the certificates that the node's end of the connection has proved to have the key of.
    func answer(_ request: JoinMessage, peer: [Certificate]) throws(IdentityError) -> JoinMessage {
        guard let operation = request.fields["operation"].flatMap(JoinOperation.init(rawValue:)) else {
            throw IdentityError(.malformed, "the operation is not join, renew or bundle")
        }
        guard let node = request.fields["node"], NodeName.isValid(node) else {
            throw IdentityError(.malformed, "the node's name is not one: \(NodeName.rule)")
        }
        switch operation {
        case .join: return try join(node, request)
        case .renew:
            _ = try check(peer, node)
            let answer = try issue(node, request)
            logger.info("a node's intermediate was renewed", metadata: ["node": "\(node)"])
            return answer
        case .bundle:
            let isNews = try keepRevocations(request, of: try check(peer, node))
            return granted(chain: [], isNews ? try directory.read(now: now) : contents)
        }
    }

    /// What the node's intermediate has revoked.
    private func keepRevocations(_ request: JoinMessage, of issuer: Certificate) throws(IdentityError) -> Bool {
        guard !request.body.isEmpty else { return false }
        var isNews = false
        for block in try PEM.decode(request.body) {
            guard block.label == PEM.revocationList else {
                throw IdentityError(.malformed, "the message has what is no revocation list")
            }
            if try directory.keep(try RevocationList(der: block.bytes), of: issuer) { isNews = true }
        }
        if isNews { logger.notice("a node has revoked certificates", metadata: ["node": "\(issuer.commonName ?? "")"]) }
        return isNews
    }

    private func join(_ node: String, _ request: JoinMessage) throws(IdentityError) -> JoinMessage {
        let parts = (request.fields["token"] ?? "").split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let id = bytes(hexadecimal: parts[0]), let secret = bytes(hexadecimal: parts[1]) else {
            throw IdentityError(.malformed, "the token is not one")
        }
        if let refusal = try directory.tokens.check(id: id, secret: secret, node: node, now: now) {
            logger.warning(
                "a node may not join: \(refusal.rawValue)",
                metadata: ["node": "\(node)", "token": "\(hexadecimal(id))"])
            throw IdentityError(.refused, refusal.rawValue)
        }
        let answer = try issue(node, request)
        // Of several that come with the same token at the same time one gets its certificate.
        guard try directory.tokens.take(id: id) else {
            throw IdentityError(.refused, JoinTokenStore.Refusal.used.rawValue)
        }
        logger.notice("a node joined", metadata: ["node": "\(node)"])
        return answer
    }

    private func issue(_ node: String, _ request: JoinMessage) throws(IdentityError) -> JoinMessage {
        guard let root = contents.root else { throw directory.noRoot() }
        let blocks = try PEM.decode(request.body)
        guard blocks.count == 1, blocks[0].label == PEM.request else {
            throw IdentityError(.malformed, "the message has no certificate request")
        }
        let key = try CertificateRequest.key(ofDER: blocks[0].bytes)
        return granted(chain: [try root.issueNode(node, for: key, now: now)], contents)
    }

    private func granted(chain: [Certificate], _ contents: CADirectory.Contents) -> JoinMessage {
        JoinMessage(
            ["status": "ok", "chain": "\(chain.count)"],
            body: CertificateFile.encode(chain + contents.roots, revocations: contents.revocations))
    }

    /// The peer has to be the agent of `node`: its certificate says so, and comes from the intermediate of that node,
    /// which comes from a root here. A node's intermediate could issue such a certificate for another node's name.
    ///
    /// - Returns: that intermediate.
    private func check(_ peer: [Certificate], _ node: String) throws(IdentityError) -> Certificate {
        guard let leaf = peer.first else {
            throw IdentityError(.refused, "the node has shown no certificate")
        }
        guard leaf.spiffeID?.description == "spiffe://\(directory.trustDomain)\(JoinPath.node(node))",
            let issuer = peer.dropFirst().first(where: { leaf.isSigned(by: $0) }), issuer.commonName == node
        else { throw IdentityError(.refused, "the node's certificate is not that of the agent of \(node)") }
        try ChainVerifier.verify(
            leaf, intermediates: Array(peer.dropFirst()), roots: contents.roots,
            revocations: contents.revocations.map(\.der), purpose: .client, now: now)
        return issuer
    }
}
