/// The tokens that a CA has given out: a file for each in `<state-dir>/ca/tokens/`, with a hash of the secret and not the
/// secret. A token that was used leaves an empty `<id>.used` behind, so that a second use is told from a wrong token.
public struct JoinTokenStore: Sendable {
    let path: String

    /// Why a token is not taken; the text is sent to the node.
    public enum Refusal: String, Error, Sendable, CaseIterable {
        case unknown = "the token is not known to this CA"
        case used = "the token has been used already: create another"
        case expired = "the token has expired: create another"
        case node = "the token is for another node"
    }

    /// Names of tokens that were used, and tokens that expired, are kept for this long: seconds.
    private static let memory: Int64 = 7 * 86400

    /// Makes a token for `node` that is good for `lifetime` seconds.
    public func create(
        node: String, root: Certificate, lifetime: Int64, now: Int64
    ) throws(IdentityError) -> JoinToken {
        guard NodeName.isValid(node) else {
            throw IdentityError(.invalid, "'\(node)' cannot be a node's name: \(NodeName.rule)")
        }
        try StateFile.makePrivateDirectory(path)
        try removeOld(now: now)
        let token = JoinToken(
            id: try OpenSSL.randomBytes(8), secret: try OpenSSL.randomBytes(32), rootFingerprint: root.fingerprint,
            node: node)
        let text = "\(hexadecimal(OpenSSL.sha256(token.secret))) \(now + lifetime) \(node)\n"
        try StateFile.write(Array(text.utf8), to: file(token.id))
        return token
    }

    /// Whether a token is good for `node`. It stays good until `take`.
    func check(id: [UInt8], secret: [UInt8], node: String, now: Int64) throws(IdentityError) -> Refusal? {
        guard id.count == 8 else { return .unknown }
        guard StateFile.exists(file(id)) else { return StateFile.exists(file(id) + ".used") ? .used : .unknown }
        let text = String(decoding: try StateFile.read(file(id)), as: UTF8.self)
        let parts = text.split(whereSeparator: \.isWhitespace)
        guard parts.count == 3, let hash = bytes(hexadecimal: parts[0]), let expiry = Int64(parts[1]) else {
            throw IdentityError(.malformed, "\(file(id)): it is not a token's file")
        }
        // Whoever does not have the secret learns nothing else of the token.
        guard OpenSSL.areEqual(hash, OpenSSL.sha256(secret)) else { return .unknown }
        guard now < expiry else { return .expired }
        return parts[2] == node ? nil : .node
    }

    /// Uses a token up. False if somebody else was faster.
    func take(id: [UInt8]) throws(IdentityError) -> Bool {
        guard try StateFile.rename(file(id), to: file(id) + ".used") else { return false }
        try StateFile.write([], to: file(id) + ".used")
        return true
    }

    private func removeOld(now: Int64) throws(IdentityError) {
        for name in try StateFile.names(in: path) {
            guard let modified = FileSignature("\(path)/\(name)")?.modified, modified < now - Self.memory else {
                continue
            }
            try StateFile.remove("\(path)/\(name)")
        }
    }

    private func file(_ id: [UInt8]) -> String { "\(path)/\(hexadecimal(id))" }
}
